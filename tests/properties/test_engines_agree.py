"""The same random programs on both engines: the same spans, parents, ends, live trees, records and totals."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys

import pytest

from tests.helpers import ROOT

needs_both = pytest.mark.skipif(
    importlib.util.find_spec("monkit_core.engine.native") is None, reason="the compiled engine is not built"
)
LONG_S = 600


def logs(engine: str, amount: int, **environment: str) -> list[str]:
    """What *engine* does with so many programs, a line for each."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.engine_log", str(amount)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "MONKIT_ENGINE": engine, **environment},
        capture_output=True,
        text=True,
        timeout=LONG_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def spans_in(lines: list[str]) -> int:
    """How many spans ended in these programs."""
    return sum(event[0] == "-" for line in lines for event in json.loads(line)[0])


def check_agreement(amount: int, **environment: str) -> int:
    """Compare so many programs; returns how many spans they had."""
    pure, native = logs("pure", amount, **environment), logs("native", amount, **environment)
    assert len(pure) == len(native) >= amount
    for number, (wanted, found) in enumerate(zip(pure, native, strict=True)):
        if wanted != found:
            (wanted_events, wanted_totals), (found_events, found_totals) = json.loads(wanted), json.loads(found)
            for place, (one, two) in enumerate(zip(wanted_events, found_events, strict=False)):
                assert one == two, f"program {number}, event {place}"
            assert found_totals == wanted_totals, f"program {number}"
            assert len(found_events) == len(wanted_events), f"program {number}"
    return spans_in(pure)


@needs_both
def test_engines_agree_on_random_programs() -> None:
    assert check_agreement(120) > 1_000


@needs_both
@pytest.mark.slow
@pytest.mark.parametrize("environment", [{}, {"PYTHONMALLOC": "debug", "PYTHONDEVMODE": "1"}], ids=["plain", "debug"])
def test_engines_agree_on_many_random_programs(environment: dict[str, str]) -> None:
    assert check_agreement(1_500, **environment) > 10_000
