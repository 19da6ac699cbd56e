"""Raw values: the latest number as it is, and what is asked for of all of them.

Counting relies on what `monkit_core.engine.pure.spans` says of the interpreter lock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

from monkit_core import faults
from monkit_core.convert import to_float
from monkit_core.series import Series, SeriesKey, SeriesSource

__all__ = ["Aggregation", "Count", "RawVal", "Sum"]


class Aggregation(Protocol):
    """Makes one figure of all numbers, in the thread that observes them: quick, and never waiting.

    Attributes:
        field: what the figure is published as.
    """

    field: str

    @property
    def value(self) -> float:
        """The figure now."""
        ...

    def observe(self, number: float) -> None:
        """Take in one number."""
        ...


class Count:
    """How many numbers there were."""

    field = "count"

    def __init__(self) -> None:
        self.value = 0.0

    def observe(self, number: float) -> None:
        """Count one more."""
        self.value += 1


class Sum:
    """Their sum."""

    field = "sum"

    def __init__(self) -> None:
        self.value = 0.0

    def observe(self, number: float) -> None:
        """Add one more, whole; the original cuts it to an integer."""
        self.value += number


class RawVal(SeriesSource):
    """The latest of some numbers, NaN and infinities included, without quantiles.

    Args:
        key: the series.
        aggregations: called once each to make what sums up all numbers, such as `Count` and `Sum`.
    """

    __slots__ = ("_aggregations", "_recent", "key")

    def __init__(self, key: SeriesKey, *aggregations: Callable[[], Aggregation]) -> None:
        self.key = key
        self._recent = 0.0
        self._aggregations = tuple(make() for make in aggregations)

    def observe(self, value: float) -> None:
        """Take in one number. Never raises; what is no number is left out and reported once."""
        try:
            self._recent = number = to_float(value)
        except Exception as problem:  # a user's number, of any kind
            faults.report(f"observing {self.key}", problem)
            return
        for aggregation in self._aggregations:
            try:
                aggregation.observe(number)
            except Exception as problem:  # a user's aggregation, of any kind; the others go on
                faults.report(f"aggregating {self.key}", problem)

    @property
    def recent(self) -> float:
        """The latest number, 0 before the first."""
        return self._recent

    def series(self) -> Iterable[Series]:
        """``recent``, then each aggregation."""
        fields, values = ["recent"], [self._recent]
        for aggregation in self._aggregations:
            try:
                field, value = aggregation.field, float(aggregation.value)
            except Exception as problem:  # a user's aggregation, of any kind
                faults.report(f"reading {self.key}", problem)
            else:
                fields.append(field)
                values.append(value)
        return ((self.key, tuple(fields), tuple(values)),)
