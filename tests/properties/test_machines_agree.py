"""Programs drawn from a seed do the same on both engines, line by line of all that can be seen of them."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from typing import Any

import pytest

from tests.helpers import ROOT

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("monkit_core.engine.native") is None, reason="the compiled engine is not built"
)
ENGINES = ("pure", "native")
LONG_S = 900


def play(first: int, count: int, *options: str, flags: tuple[str, ...] = (), **environment: str) -> list[Any]:
    """What each engine says of the programs of some seeds; both run at once."""
    children = [
        subprocess.Popen(
            [
                sys.executable, "-X", "faulthandler", *flags, "-W", "error",
                "-m", "tests.engine_machine", str(first), str(count), *options,
            ],
            cwd=ROOT,
            env={
                **os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "0", "MONKIT_ENGINE": engine, **environment
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for engine in ENGINES
    ]  # fmt: skip
    try:
        told = [child.communicate(timeout=LONG_S) for child in children]
    finally:
        for child in children:
            child.kill()
            child.wait()
    for engine, child, (_, errors) in zip(ENGINES, children, told, strict=True):
        assert (child.returncode, errors) == (0, ""), f"{engine} ended by {child.returncode}: {errors}"
    return [[json.loads(line) for line in output.splitlines()] for output, _ in told]


def first_difference(seed: int) -> str:
    """Where the two part, with what came before."""
    (pure,), (native,) = play(seed, 1, "--log")
    for number, (ours, theirs) in enumerate(zip(pure["log"], native["log"], strict=False)):
        if ours != theirs:
            before = "\n".join(pure["log"][max(0, number - 15) : number])
            return f"seed {seed}, line {number}:\n{before}\npure:   {ours}\nnative: {theirs}"
    return f"seed {seed}: {len(pure['log'])} lines in the pure engine, {len(native['log'])} in the native one"


def agree(first: int, count: int, **how: Any) -> int:
    """Compare the programs of some seeds; how many calls were started."""
    pure, native = play(first, count, **how)
    for ours, theirs in zip(pure, native, strict=True):
        assert ours["digest"] == theirs["digest"], first_difference(ours["seed"])
    started: int = sum(told["started"] for told in pure)
    print(f"seeds {first} to {first + count - 1}: {started} calls were the same")
    return started


def test_engines_agree_on_programs_that_mix_everything() -> None:
    assert agree(0, 300) > 5_000


@pytest.mark.slow
def test_engines_agree_on_a_hundred_thousand_calls() -> None:
    assert agree(100_000, 4_000) > 100_000


@pytest.mark.slow
def test_engines_agree_in_development_mode() -> None:
    assert agree(200_000, 400, flags=("-X", "dev"), PYTHONMALLOC="debug") > 10_000


@pytest.mark.slow
def test_engines_survive_a_collector_that_runs_at_every_chance() -> None:
    """When it runs differs between the two, so the logs are not compared."""
    pure, native = play(300_000, 300, "--torture", flags=("-X", "dev"), PYTHONMALLOC="debug")
    assert len(pure) == len(native) == 300
    assert sum(told["started"] for told in native) > 5_000
