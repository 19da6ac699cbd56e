"""What several test modules need: fresh scopes, figures by name, a recording observer, child processes."""

from __future__ import annotations

import contextvars
import functools
import json
import math
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, ParamSpec

from monkit_core import Func, Registry, Scope, Span, Stat, engine

ROOT = Path(__file__).parents[1]
VECTORS = ROOT / "tests" / "parity" / "vectors"
BOUND_S = 30
"""No test waits longer than this for another thread or process; none sleeps."""


P = ParamSpec("P")


def in_fresh_context(test: Callable[P, None]) -> Callable[P, None]:
    """For tests that start and end spans by hand: what they leave current on failing stays in them."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        contextvars.Context().run(test, *args, **kwargs)

    return run


def fresh_scope(name: str = "shop") -> tuple[Registry, Scope]:
    """A registry of the test's own, and a scope in it."""
    registry = Registry()
    return registry, registry.scope(name)


def figures(stats: Iterable[Stat]) -> list[tuple[str, str, float]]:
    """Series, field and value of each figure, in order."""
    return [(str(stat.key), stat.field, stat.value) for stat in stats]


def by_field(stats: Iterable[Stat]) -> dict[str, float]:
    """The figures of one series by their field."""
    return {stat.field: stat.value for stat in stats}


def live_names(registry: Registry) -> list[tuple[int, str]]:
    """Depth and short name of each running span."""
    return [(depth, span.func.short_name) for depth, span in registry.all_spans()]


def check_idle(registry: Registry) -> None:
    """Nothing runs, every counter is back at zero, and the sums of each function agree."""
    assert list(registry.all_spans()) == []
    assert not registry.live.roots
    assert not registry.live.orphans
    for scope in registry.scopes():
        for func in scope.funcs():
            assert func.current == 0, func
            assert sum(func.callers.values()) == calls_ended(func), func


def calls_ended(func: Func) -> int:
    """Successes, errors and panics."""
    return func.success_times.count + sum(func.errors.values()) + func.panics


class Recorder:
    """An observer that writes down what it is told."""

    def __init__(self, log: list[str] | None = None, name: str = "") -> None:
        self.log = [] if log is None else log
        self.name = name
        self.spans: list[Span] = []

    def span_started(self, span: Span) -> None:
        self.spans.append(span)
        self.log.append(f"{self.name}+{span.func.short_name}")

    def span_finished(self, span: Span, error: BaseException | None) -> None:
        end = "" if error is None else f" {span.error_name}{' panicked' if span.panicked else ''}"
        self.log.append(f"{self.name}-{span.func.short_name}{end}")


def vectors(name: str) -> Any:
    """The recorded inputs and outputs of the original, called *name*."""
    return json.loads((VECTORS / f"{name}.json").read_text("utf-8"))


def number(value: object) -> float:
    """A number of the vectors, which spell out what JSON cannot hold."""
    return float(str(value).replace("Inf", "inf")) if isinstance(value, str) else float(value)  # type: ignore[arg-type]


def same(ours: float, theirs: object, tolerance: float = 1e-6) -> bool:
    """Whether a figure equals one of the original, which keeps 32-bit floats."""
    wanted = number(theirs)
    return math.isclose(ours, wanted, rel_tol=tolerance) or (math.isnan(ours) and math.isnan(wanted))


def expected_figures(stats: Iterable[dict[str, Any]]) -> list[tuple[str, str, float]]:
    """The figures of a vector in the shape of `figures`."""
    return [(stat["key"], stat["field"], number(stat["val"])) for stat in stats]


OURS_ONLY = ("p50", "p90", "p99", "p999")
"""Fields that we append to the original's, from the lifetime histogram."""


def check_figures(ours: Iterable[tuple[str, str, float]], theirs: Iterable[dict[str, Any]]) -> None:
    """The same series, fields and order as the original's, values within 1e-6; ours may append `OURS_ONLY`."""
    kept = [figure for figure in ours if figure[1] not in OURS_ONLY]
    wanted = expected_figures(theirs)
    names, wanted_names = [figure[:2] for figure in kept], [figure[:2] for figure in wanted]
    assert names == wanted_names, f"{names} are not {wanted_names}"
    for (key, field, value), (_, _, expected) in zip(kept, wanted, strict=True):
        assert same(value, expected), (key, field, value, expected)


def run_python(*arguments: str, stdin: str | None = None, cwd: Path = ROOT, **environment: str) -> str:
    """What a child process prints; it fails the test if it fails or warns."""
    outcome = subprocess.run(
        [sys.executable, "-W", "error", *arguments],
        input=stdin,
        cwd=cwd,
        env={
            "PATH": "/usr/bin:/bin",
            "PYTHONPATH": str(ROOT),
            "PYTHONDONTWRITEBYTECODE": "1",
            "MONKIT_ENGINE": engine.name,
            **environment,
        },
        capture_output=True,
        text=True,
        timeout=BOUND_S,
        check=False,
    )
    assert outcome.returncode == 0, outcome.stderr
    assert outcome.stderr == ""
    return outcome.stdout.strip()
