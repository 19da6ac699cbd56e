"""What the tutorial "a workflow that survives" says is what happens."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENT = (ROOT / "docs/tutorial/a-workflow-that-survives.md").read_text()
TEA: str
TEA, WARM, SAVE, DEBUG = re.findall(r"```python\n(.*?)```", DOCUMENT, re.DOTALL)
PROGRAM = TEA.replace("timedelta(seconds=5)", "timedelta(seconds=1)")  # tests are less patient than readers
BOIL = "        await workflow.execute_activity(boil,"
CALL = "await workflow.execute_activity(warm_the_pot, start_to_close=MINUTE)\n"


def changed(call: str) -> str:
    """The program with the new step, called as *call* says."""
    mended = PROGRAM.replace(BOIL, call + BOIL).replace("[boil, pour]", "[boil, pour, warm_the_pot]")
    return mended.replace("@workflow.define\n", f"{WARM}\n\n@workflow.define\n", 1)


def run(folder: Path, program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{folder}"},
    )


def kill_while_the_tea_draws(folder: Path) -> str:
    # The line says that the water has boiled for good: the code goes on only with what is on disk.
    draws = "        await workflow.sleep("
    watched = PROGRAM.replace(draws, f'        print("drawing", flush=True)\n{draws}')
    with subprocess.Popen(
        [sys.executable, "-c", watched],
        stdout=subprocess.PIPE,
        text=True,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ) as process:
        assert process.stdout is not None
        seen = "".join(process.stdout.readline() for _ in range(3))
        process.kill()
    return seen


@pytest.fixture
def begun(tmp_path: Path) -> Path:
    assert sorted(kill_while_the_tea_draws(tmp_path).splitlines()) == ["boiling 0.5 l", "drawing", "sugar: 2"]
    return tmp_path


def test_killed_tea_is_poured_by_the_next_process_and_can_be_replayed(begun: Path) -> None:
    second = run(begun, PROGRAM)
    assert sorted(second.stdout.splitlines()) == ["2 cups, 2 lumps of sugar", "pouring", "sugar: 2"]
    assert second.stderr == ""
    third = run(begun, PROGRAM)
    assert third.stdout.splitlines() == ["sugar: 2", "2 cups, 2 lumps of sugar"]
    assert run(begun, SAVE).stderr == ""
    (begun / "tea.py").write_text(PROGRAM)
    replayed = run(begun, DEBUG)
    assert replayed.stdout.startswith("Replay(status='completed', result='2 cups, 2 lumps of sugar'")


def test_changed_code_is_refused_as_shown_and_the_advice_helps(begun: Path) -> None:
    refused = run(begun, changed(f"        {CALL}"))
    shown = " ".join(re.search(r"QueryFailed: (.*?new runs\.)", DOCUMENT, re.DOTALL).group(1).split())  # type: ignore[union-attr]
    # By the query, or by the task that was due. The signal may have come before the first task: then it is event 6.
    assert re.search(re.escape(shown).replace("event\\ 5", "event\\ [56]"), refused.stderr), refused.stderr
    mended = changed(f'        if workflow.patched("warm the pot"):\n            {CALL}')
    old = run(begun, mended)
    assert "2 cups, 2 lumps of sugar" in old.stdout
    assert "warming" not in old.stdout
    new = run(begun, mended.replace("tea-1", "tea-2"))
    assert new.stdout.splitlines()[0] == "warming the pot"
