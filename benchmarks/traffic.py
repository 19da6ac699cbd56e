"""Traffic: registries in which much has happened, for pages and memory."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from random import Random

from monkit_core import Func, Registry

__all__ = ["busy_registry", "fill_times"]

_OBSERVED = 200
_FUNCS_A_SCOPE = 100
_NS_PER_S = 1_000_000_000


def _durations_ns(count: int) -> list[int]:
    """Log-normal: nine of ten within a factor of three of 5 ms."""
    draw = Random(1).lognormvariate
    return [int(draw(-5.3, 0.7) * _NS_PER_S) for _ in range(count)]


_DURATIONS_NS: Sequence[int] = _durations_ns(10 * _OBSERVED)


def _order(problem: Exception | None = None) -> None:
    if problem is not None:
        raise problem


def busy_registry(functions: int) -> Registry:
    """A registry with so many functions, a hundred a scope.

    Each was called from outside and from another function, has succeeded and
    has failed by two kinds of error, and has 200 durations in each of its
    distributions.
    """
    registry = Registry()
    funcs = []
    for i in range(functions):
        scope = registry.scope(f"shop.part_{i // _FUNCS_A_SCOPE:03}")
        monitored = scope.task(f"Orders.handle_{i}")(_order)
        monitored()
        with scope.task("serve"):
            for problem in (None, ValueError("bad"), TimeoutError("late"), None):
                with suppress(ValueError, TimeoutError):
                    monitored(problem)
        funcs.append(scope.func(f"Orders.handle_{i}"))
    fill_times(funcs)
    return registry


def fill_times(funcs: Iterable[Func]) -> None:
    """Let each of *funcs* have 200 durations in both distributions, as many functions in a program would."""
    for i, func in enumerate(funcs):
        start = i * 37 % (len(_DURATIONS_NS) - _OBSERVED)
        for duration_ns in _DURATIONS_NS[start : start + _OBSERVED]:
            func.success_times.observe(duration_ns)
            func.failure_times.observe(2 * duration_ns)
