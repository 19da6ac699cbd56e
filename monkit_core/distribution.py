"""Distributions: low, high, sum and recent; a reservoir of recent values; a histogram of all.

The reservoir covers about the last thousand observations and is exact for the
first 64; the log-linear histogram covers the whole life of the distribution
with a bounded relative error. They answer different questions, so both are
published: ``r50`` from the reservoir, ``p50`` from the histogram.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from monkit_core.engine import DistributionCore

__all__ = ["Distribution", "Summary"]

_FIELDS = (
    "count", "sum", "min", "max", "rmin", "ravg", "r10", "r50", "r90", "r99", "rmax", "recent",
    "p50", "p90", "p99", "p999",
)  # fmt: skip
_RESERVOIR = (0.0, 0.1, 0.5, 0.9, 0.99, 1.0)  # rmin to rmax
_LIFETIME = (0.5, 0.9, 0.99, 0.999)  # p50 to p999
_NOTHING = (("count",), (0.0,))


@dataclass(frozen=True, slots=True)
class Summary:
    """What a distribution says at one moment, in its own unit (nanoseconds for durations)."""

    count: int
    sum: float
    low: float
    high: float
    recent: float
    full_average: float
    reservoir_average: float
    quantiles: tuple[float, ...]


class Distribution(DistributionCore):
    """Observed numbers, summed up in bounded memory; `observe` may be called from anywhere, and never waits.

    Args:
        integral: what is observed is whole; averages and quantiles are cut to
            whole numbers, as the original's integers and nanoseconds are.
        scale: what published figures are divided by (1e9: nanoseconds to seconds).

    Follows ``dist.go`` of the original, with 64-bit values and a cached sort.
    """

    __slots__ = ("_scale",)

    def __init__(self, *, integral: bool, scale: float = 1.0) -> None:
        super().__init__(integral)
        self._scale = scale

    @property
    def count(self) -> int:
        """How many values were taken in."""
        return self.look()[0]

    def summary(self, quantiles: Sequence[float] = ()) -> Summary:
        """Everything at one moment; *quantiles* are fractions asked of the reservoir."""
        found = self.figures(quantiles)
        count, total, low, high, recent, average, kept_average = found[:7]
        return Summary(int(count), total, low, high, recent, average, kept_average, found[7:])

    def quantile(self, fraction: float) -> float:
        """Estimate the value that *fraction* of recent observations stay below.

        The answer comes from the reservoir: exact for the first 64 observations,
        a sample of about the last thousand after that. Between two kept values
        it is interpolated. The sort is kept until the reservoir changes.

        Args:
            fraction: from 0 to 1; anything outside is moved to the nearer end.

        Returns:
            In the unit that was observed; 0 before the first observation.

        Follows ``Query`` of the original's ``durdist.go``.
        """
        return self.figures((fraction,))[7]

    def published(self) -> tuple[tuple[str, ...], tuple[float, ...]]:
        """The published fields and their values: ``count``, and the rest once there is a value."""
        found = self.figures(_RESERVOIR, _LIFETIME, self._scale)
        if not found[0]:
            return _NOTHING
        count, total, low, high, recent, _, ravg, rmin, r10, r50, r90, r99, rmax, p50, p90, p99, p999 = found
        return _FIELDS, (
            float(count), total, low, high, rmin, ravg, r10, r50, r90, r99, rmax, recent, p50, p90, p99, p999,
        )  # fmt: skip

    def buckets(self, bounds: Sequence[float]) -> tuple[int, float | None, list[int]]:
        """How many of all values are at most each of *bounds*, from the histogram, at one moment.

        A bin that a bound falls into counts as below it, so a bound stands for itself or up to 1/32 more; whole
        numbers below 64 are exact.

        Args:
            bounds: rising, in the published unit (seconds for durations).

        Returns:
            The count of all; their sum, ``None`` if one was negative and the sum may fall; a count for each bound.
        """
        count, total, low, bins = self.bins()
        counts: list[int] = []
        passed = place = 0
        for bound in bounds:
            while place < len(bins) and bins[place][0] / self._scale <= bound:
                passed += bins[place][1]
                place += 1
            counts.append(passed)
        return count, None if low < 0 else total / self._scale, counts

    def middles(self) -> list[tuple[float, int]]:
        """Every value that was ever observed as the middle of its bin, rising, with the count of the bin.

        A middle is off by at most 1/64 of the value; in the unit that was observed.
        """
        return [(_middle(edge), count) for edge, count in self.bins()[3]]

    @property
    def in_seconds(self) -> bool:
        """Whether nanoseconds are observed and seconds published."""
        return self._scale == 1e9

    def fields(self) -> list[tuple[str, float]]:
        """The published fields in their order, each with its value."""
        return list(zip(*self.published(), strict=True))


def _middle(edge: float) -> float:
    """The middle of the bin that begins at *edge*; bins are a 64th of the power of two above."""
    return edge + math.copysign(math.ldexp(1 / 128, math.frexp(edge)[1]), edge) if edge else 0.0
