"""Functions as plain values: what pages and dumps know of a monitored function."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from monkit_core.distribution import Distribution
from monkit_core.func import Func
from monkit_core.registry import Registry

__all__ = ["QUANTILES", "FuncRow", "TimesRow", "func_row", "func_rows"]


@dataclass(frozen=True, slots=True)
class TimesRow:
    """Durations of the successes or the failures of a function, all in nanoseconds.

    Attributes:
        count: how many.
        quantiles: of the reservoir, in the order of `QUANTILES`.
    """

    count: int
    sum: int
    low: int
    high: int
    recent: int
    full_average: int
    reservoir_average: int
    quantiles: tuple[int, ...]


QUANTILES = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 1.0)
"""The fractions that function pages show, as the original does."""


class FuncRow(NamedTuple):
    """One function.

    Attributes:
        id: 63 bits.
        scope: name of its scope.
        name: short name.
        tags: pairs that make a series of their own.
        parent_ids: of the functions that called it, in the order of their names.
        entry: it was called from outside of any span.
        errors: pairs of error name and count, in the order of the names.
        caller_calls: how many calls came from each of *parent_ids*, those that run now among them.
        entry_calls: how many came from outside of any span.
    """

    id: int
    scope: str
    name: str
    tags: tuple[tuple[str, str], ...]
    parent_ids: tuple[int, ...]
    entry: bool
    current: int
    highwater: int
    successes: int
    errors: tuple[tuple[str, int], ...]
    panics: int
    success_times: TimesRow
    failure_times: TimesRow
    caller_calls: tuple[int, ...]
    entry_calls: int

    @property
    def full_name(self) -> str:
        """Scope and name, joined by a dot."""
        return f"{self.scope}.{self.name}"

    @property
    def error_count(self) -> int:
        """Errors of all names."""
        return sum(count for _, count in self.errors)


def func_rows(registry: Registry) -> Iterator[FuncRow]:
    """Every function that is known, in the order of names, each looked at when it is its turn."""
    return map(func_row, registry.funcs())


def func_row(func: Func) -> FuncRow:
    """What is known of *func* now."""
    callers = func.callers
    parents = [caller for caller in callers if caller is not None]
    parents.sort(key=lambda func: (func.full_name, func.tags))
    success = _times_row(func.success_times)
    return FuncRow(
        id=func.id,
        scope=func.scope_name,
        name=func.short_name,
        tags=func.tags,
        parent_ids=tuple(parent.id for parent in parents),
        entry=None in callers,
        current=func.current,
        highwater=func.highwater,
        successes=success.count,
        errors=tuple(func.errors.items()),
        panics=func.panics,
        success_times=success,
        failure_times=_times_row(func.failure_times),
        caller_calls=tuple(callers[parent] for parent in parents),
        entry_calls=callers.get(None, 0),
    )


def _times_row(times: Distribution) -> TimesRow:
    count, total, low, high, recent, average, kept_average, *quantiles = map(int, times.figures(QUANTILES))
    return TimesRow(count, total, low, high, recent, average, kept_average, tuple(quantiles))
