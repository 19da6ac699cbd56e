"""Engines: which there are here, and what workers measure of each."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from benchmarks.figures import Result, Row, read_results

__all__ = ["available_engines", "measure_engine"]

_ROOT = Path(__file__).parents[1]
_ENGINES = ("native", "pure")
_NAME = "from monkit_core import engine; print(engine.name)"


def available_engines() -> list[str]:
    """Names of the engines that a process gets when it asks for them, the compiled one first.

    Raises:
        RuntimeError: there is none.
    """
    problems = []
    found = []
    for name in _ENGINES:
        asked = subprocess.run(
            [sys.executable, "-c", _NAME],
            cwd=_ROOT,
            env=_environment(name),
            capture_output=True,
            text=True,
            check=False,
        )
        if asked.stdout.strip() == name:
            found.append(name)
        else:
            problems.append(f"{name}: {asked.stderr.strip().splitlines()[-1:] or asked.stdout.strip()}")
    if not found:
        raise RuntimeError(f"one of the engines {', '.join(_ENGINES)} was expected, found none; {'; '.join(problems)}")
    return found


def measure_engine(engine: str, groups: Iterable[str], effort: str) -> Result:
    """Let a worker measure each of *groups* with this engine; says on standard error which.

    Raises:
        subprocess.CalledProcessError: a worker failed; it has said why.
    """
    rows: list[Row] = []
    result = Result("", "", {}, engine, ())
    with tempfile.TemporaryDirectory() as folder:
        for group in groups:
            print(f"{engine}: {group}", file=sys.stderr, flush=True)
            output = Path(folder) / f"{group}.json"
            subprocess.run(
                [sys.executable, "-m", "benchmarks.worker", group, effort, str(output)],
                cwd=_ROOT,
                env=_environment(engine),
                check=True,
            )
            (result,) = read_results(output)
            if result.engine != engine:
                raise RuntimeError(f"engine {engine} was expected, found {result.engine}")
            rows += result.rows
    return replace(result, rows=tuple(rows))


def _environment(engine: str) -> dict[str, str]:
    return {**os.environ, "MONKIT_ENGINE": engine}
