"""Distributions: low, high, sum and recent; a reservoir of recent values; a histogram of all.

The reservoir covers about the last thousand observations and is exact for the
first 64; the log-linear histogram covers the whole life of the distribution
with a bounded relative error. They answer different questions, so both are
published: ``r50`` from the reservoir, ``p50`` from the histogram.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from monkit_core.locks import LOCK

__all__ = ["RESERVOIR_SIZE", "WINDOW", "Distribution", "Histogram", "Summary"]

RESERVOIR_SIZE = 64
WINDOW = 1024
_FOLD_AT = 256
_FOLD_DEPTH = 8
_LIFETIME_QUANTILES = (("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p999", 0.999))
_RESERVOIR_QUANTILES = (("r10", 0.1), ("r50", 0.5), ("r90", 0.9), ("r99", 0.99), ("rmax", 1.0))


class Histogram:
    """Counts in bins that are linear inside each power of two: 32 bins an octave.

    A value is off by at most half a bin, 1/64 of it (1.6 %). Magnitudes below
    2**-64 count as zero and those above 2**64 fall into the last bin, so there
    are at most about 8,000 bins.
    """

    __slots__ = ("_bins",)

    _BINS = 32
    _LIMIT = 64

    def __init__(self) -> None:
        self._bins: dict[int, int] = {}

    def insert(self, value: float) -> None:
        """Count one value."""
        index = self._index(value)
        self._bins[index] = self._bins.get(index, 0) + 1

    @classmethod
    def _index(cls, value: float) -> int:
        """Bin number: 0 for zero, rising with the value, negative below zero."""
        fraction, exponent = math.frexp(abs(value))
        if fraction == 0.0 or exponent <= -cls._LIMIT:
            return 0
        if exponent > cls._LIMIT:
            fraction, exponent = math.nextafter(1.0, 0.0), cls._LIMIT
        index = (exponent + cls._LIMIT) * cls._BINS + int(fraction * 2 * cls._BINS) - cls._BINS + 1
        return index if value > 0 else -index

    @classmethod
    def _middle(cls, index: int) -> float:
        if index == 0:
            return 0.0
        exponent, position = divmod(abs(index) - 1, cls._BINS)
        middle = math.ldexp((position + cls._BINS + 0.5) / (2 * cls._BINS), exponent - cls._LIMIT)
        return middle if index > 0 else -middle

    def quantiles(self, wanted: Sequence[float]) -> list[float]:
        """The values that the fractions *wanted* (rising, 0 to 1) stay below, by the middles of bins."""
        total = sum(self._bins.values())
        result: list[float] = []
        bins = iter(sorted(self._bins.items()))
        index, passed = 0, 0
        for fraction in wanted:
            rank = fraction * (total - 1)
            while passed <= rank and passed < total:
                index, here = next(bins)
                passed += here
            result.append(self._middle(index))
        return result

    def clear(self) -> None:
        """Forget everything."""
        self._bins.clear()


def _probe_stack(depth: int) -> None:
    """Raise `RecursionError` now if *depth* more calls would, before anything is half done."""
    if depth:
        _probe_stack(depth - 1)


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


class Distribution:
    """Observed numbers, summed up in bounded memory.

    `observe` appends to a short list that is folded in when somebody reads or
    when it has 256 values, which makes it cheap and safe to call from any
    thread, from finalisers and from signal handlers.

    Args:
        accept: turns what was observed into a number, or ``None`` to leave it
            out; called when values are folded in. ``None`` takes them as they are.
        integral: averages and quantiles are cut to whole numbers, as the
            original's integers and nanoseconds are.
        scale: what published figures are divided by (1e9: nanoseconds to seconds).

    Follows ``dist.go`` of the original, with 64-bit values and a cached sort.
    """

    __slots__ = (
        "_accept",
        "_count",
        "_folding",
        "_high",
        "_histogram",
        "_integral",
        "_low",
        "_pending",
        "_recent",
        "_reservoir",
        "_scale",
        "_sorted",
        "_sum",
    )  # fmt: skip

    def __init__(
        self, *, integral: bool, scale: float = 1.0, accept: Callable[[object], float | None] | None = None
    ) -> None:
        self._accept = accept
        self._integral = integral
        self._scale = scale
        self._pending: list[object] = []
        self._folding = False
        self._reservoir: list[float] = []
        self._sorted: list[float] | None = None
        self._histogram = Histogram()
        self._count = 0
        self._sum: float = 0
        self._low: float = 0
        self._high: float = 0
        self._recent: float = 0

    def observe(self, value: object) -> None:
        """Take in one value. Never raises and never waits."""
        pending = self._pending
        pending.append(value)
        if len(pending) >= _FOLD_AT and LOCK.acquire(blocking=False):
            try:
                _probe_stack(_FOLD_DEPTH)
                self._fold()
            except RecursionError:
                pass  # near the recursion limit: the values wait for the next fold
            finally:
                LOCK.release()

    def _fold(self) -> None:
        """Work the pending values in; the caller holds the lock.

        A finaliser that runs meanwhile in this thread may come here again: its
        values then wait for the next fold.
        """
        if self._folding:
            return
        self._folding = True
        try:
            pending = self._pending
            amount = len(pending)
            values = pending[:amount]
            del pending[:amount]
            for value in values:
                number = value if self._accept is None else self._accept(value)
                if number is not None:
                    self._insert(number)  # type: ignore[arg-type]  # without `accept` only numbers come in
        finally:
            self._folding = False

    def _insert(self, value: float) -> None:
        count = self._count
        if count == 0:
            self._low = self._high = value
        elif value < self._low:
            self._low = value
        elif value > self._high:
            self._high = value
        if count < RESERVOIR_SIZE:
            self._reservoir.append(value)
            self._sorted = None
        else:
            place = random.randrange(min(count, WINDOW))
            if place < RESERVOIR_SIZE:
                self._reservoir[place] = value
                self._sorted = None
        self._histogram.insert(value)
        self._count = count + 1
        self._sum += value
        self._recent = value

    @property
    def count(self) -> int:
        """How many values were taken in."""
        with LOCK:
            self._fold()
            return self._count

    def summary(self, quantiles: Sequence[float] = ()) -> Summary:
        """Everything at one moment; *quantiles* are fractions asked of the reservoir."""
        with LOCK:
            self._fold()
            return Summary(
                self._count,
                self._sum,
                self._low,
                self._high,
                self._recent,
                self._cut(self._sum / self._count) if self._count else 0,
                self._reservoir_average(),
                tuple(self._quantile(fraction) for fraction in quantiles),
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
        with LOCK:
            self._fold()
            return self._quantile(fraction)

    def fields(self) -> list[tuple[str, float]]:
        """The published fields in their order: ``count``, and the rest once there is a value."""
        with LOCK:
            self._fold()
            if self._count == 0:
                return [("count", 0.0)]
            lifetime = self._histogram.quantiles([fraction for _, fraction in _LIFETIME_QUANTILES])
            values = [
                ("sum", self._sum),
                ("min", self._low),
                ("max", self._high),
                ("rmin", self._quantile(0.0)),
                ("ravg", self._reservoir_average()),
                *((field, self._quantile(fraction)) for field, fraction in _RESERVOIR_QUANTILES),
                ("recent", self._recent),
                *(
                    (field, self._cut(min(max(value, self._low), self._high)))
                    for (field, _), value in zip(_LIFETIME_QUANTILES, lifetime, strict=True)
                ),
            ]
            return [("count", float(self._count)), *((field, value / self._scale) for field, value in values)]

    def reset(self) -> None:
        """Forget all observations."""
        with LOCK:
            self._pending.clear()
            self._reservoir.clear()
            self._sorted = None
            self._histogram.clear()
            self._count = 0
            self._sum = self._low = self._high = self._recent = 0

    def _cut(self, value: float) -> float:
        return int(value) if self._integral else value

    def _reservoir_average(self) -> float:
        return self._cut(sum(self._reservoir) / len(self._reservoir)) if self._reservoir else 0

    def _quantile(self, fraction: float) -> float:
        if not self._reservoir:
            return 0
        if self._sorted is None:
            self._sorted = sorted(self._reservoir)
        kept = self._sorted
        if fraction <= 0:
            return kept[0]
        if fraction >= 1:
            return kept[-1]
        position = fraction * (len(kept) - 1)
        index = int(position)
        below = kept[index]
        above = kept[min(index + 1, len(kept) - 1)]
        return self._cut(below + (position - index) * (above - below))
