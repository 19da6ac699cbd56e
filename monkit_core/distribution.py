"""Distributions: low, high, sum and recent; a reservoir of recent values; a histogram of all.

The reservoir covers about the last thousand observations and is exact for the
first 64; the log-linear histogram covers the whole life of the distribution
with a bounded relative error. They answer different questions, so both are
published: ``r50`` from the reservoir, ``p50`` from the histogram.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from monkit_core.engine import DistributionCore

__all__ = ["Distribution", "Summary"]

_LIFETIME_QUANTILES = (("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p999", 0.999))
_RESERVOIR_QUANTILES = (("r10", 0.1), ("r50", 0.5), ("r90", 0.9), ("r99", 0.99), ("rmax", 1.0))
_LIFETIME = tuple(fraction for _, fraction in _LIFETIME_QUANTILES)


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

    __slots__ = ("_integral", "_scale")

    def __init__(self, *, integral: bool, scale: float = 1.0) -> None:
        super().__init__(integral)
        self._integral = integral
        self._scale = scale

    @property
    def count(self) -> int:
        """How many values were taken in."""
        return self.look()[0]

    def summary(self, quantiles: Sequence[float] = ()) -> Summary:
        """Everything at one moment; *quantiles* are fractions asked of the reservoir."""
        count, total, low, high, recent, kept, _ = self.look()
        return Summary(
            count,
            total,
            low,
            high,
            recent,
            self._cut(total / count) if count else 0,
            self._average(kept),
            tuple(self._quantile(kept, fraction) for fraction in quantiles),
        )

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
        return self._quantile(self.look()[5], fraction)

    def fields(self) -> list[tuple[str, float]]:
        """The published fields in their order: ``count``, and the rest once there is a value."""
        count, total, low, high, recent, kept, lifetime = self.look(_LIFETIME)
        if count == 0:
            return [("count", 0.0)]
        values = [
            ("sum", total),
            ("min", low),
            ("max", high),
            ("rmin", self._quantile(kept, 0.0)),
            ("ravg", self._average(kept)),
            *((field, self._quantile(kept, fraction)) for field, fraction in _RESERVOIR_QUANTILES),
            ("recent", recent),
            *(
                (field, self._cut(min(max(value, low), high)))
                for (field, _), value in zip(_LIFETIME_QUANTILES, lifetime, strict=True)
            ),
        ]
        return [("count", float(count)), *((field, value / self._scale) for field, value in values)]

    def _cut(self, value: float) -> float:
        return int(value) if self._integral else value

    def _average(self, kept: Sequence[float]) -> float:
        return self._cut(sum(kept) / len(kept)) if kept else 0

    def _quantile(self, kept: Sequence[float], fraction: float) -> float:
        if not kept:
            return 0
        if fraction <= 0:
            return kept[0]
        if fraction >= 1:
            return kept[-1]
        position = fraction * (len(kept) - 1)
        index = int(position)
        below = kept[index]
        above = kept[min(index + 1, len(kept) - 1)]
        return self._cut(below + (position - index) * (above - below))
