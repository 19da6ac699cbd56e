"""The order example: killed anywhere it goes on, and a debugger can stop in its past."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import order
from monkit_workflow import connect, replay, write_history
from monkit_workflow.errors import Nondeterminism
from monkit_workflow.history_file import RecordedHistory

ROOT = Path(__file__).parents[2]
PROGRAM = ROOT / "examples" / "order.py"


def run(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(PROGRAM), *arguments, "--database", str(folder / "order.db")]
    return subprocess.run(command, capture_output=True, text=True, timeout=100, env=environment)


def recorded(folder: Path) -> RecordedHistory:
    async def read() -> RecordedHistory:
        async with connect(f"sqlite:///{folder / 'order.db'}") as client:
            return await client.handle("order-4711").history()

    return asyncio.run(read())


def test_order_whose_worker_is_killed_after_every_step_is_delivered_and_charged_once(tmp_path: Path) -> None:
    kills = [word for state in order.STATES for word in ("--kill-after", state)]
    done = run("demo", *kills, folder=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("*** kill -9") == len(order.STATES)
    assert "the order is done: receipt 4711-1, 25.90; Ada, bicycle 7" in done.stdout
    assert "the customer was charged 1 time" in done.stdout
    assert done.stderr == ""
    booked = [json.loads(line)["what"] for line in (tmp_path / "order.books").read_text().splitlines()]
    assert booked == list(order.STATES)


def test_refused_order_gives_the_money_back_and_its_history_can_be_debugged(tmp_path: Path) -> None:
    done = run("work", "--refused", folder=tmp_path)
    assert done.returncode == 1
    assert done.stdout.splitlines()[-2:] == [
        "  refunded: receipt 4711-1, 25.90",
        "the order failed: the kitchen is full",
    ]
    assert done.stderr == ""
    history = recorded(tmp_path)
    assert replay(history, order.OrderWorkflow).status == "failed"

    file = tmp_path / "order.json"
    file.write_bytes(write_history(history))
    line = next(
        number
        for number, text in enumerate(PROGRAM.read_text().splitlines(), 1)
        if 'raise ApplicationFailure("the kitchen is full"' in text
    )
    script = tmp_path / "debug.py"
    script.write_text(f"import order\nfrom monkit_workflow import replay\nreplay({str(file)!r}, order.OrderWorkflow)\n")
    commands = [f"b {PROGRAM}:{line}", "c", "p receipt", "p self._answer", "q"]
    debugger = [sys.executable, "-m", "pdb", *(word for command in commands for word in ("-c", command)), str(script)]
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'examples'}"}
    seen = subprocess.run(debugger, capture_output=True, text=True, timeout=100, env=environment, cwd=tmp_path)
    assert f"order.py:{line}" in seen.stdout
    assert "'receipt 4711-1, 25.90'" in seen.stdout
    assert "False" in seen.stdout


def test_changed_order_is_refused_with_what_differs_and_what_to_do(tmp_path: Path) -> None:
    run("work", folder=tmp_path)
    source = PROGRAM.read_text().replace("charge, order.id, order.cents,", '"tax_and_charge", order.id, order.cents,')
    changed: dict[str, object] = {"__name__": "changed_order"}
    module = type(sys)("changed_order")
    sys.modules["changed_order"] = module  # dataclasses look their module up
    try:
        changed = module.__dict__
        exec(compile(source, "changed_order.py", "exec"), changed)
        with pytest.raises(Nondeterminism) as caught:
            replay(recorded(tmp_path), changed["OrderWorkflow"])
    finally:
        del sys.modules["changed_order"]
    text = str(caught.value)
    assert "at event 5" in text
    assert "history has ActivityTaskScheduled 'charge'" in text
    assert "the code asked for the activity 'tax_and_charge'" in text
    assert "workflow.version" in text
