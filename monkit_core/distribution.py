"""Distributions: low, high, sum and recent; a reservoir of recent values; a histogram of all.

The reservoir covers about the last thousand observations and is exact for the
first 64; the log-linear histogram covers the whole life of the distribution
with a bounded relative error. They answer different questions, so both are
published: ``r50`` from the reservoir, ``p50`` from the histogram.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from monkit_core.locks import LOCK

__all__ = ["RESERVOIR_SIZE", "WINDOW", "Distribution", "Histogram", "Summary"]

RESERVOIR_SIZE = 64
WINDOW = 1024
_FOLD_AT = 256
_FOLD_DEPTH = 8
_BELOW_ONE = math.nextafter(1.0, 0.0)
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

    def insert(self, values: Sequence[float]) -> None:
        """Count values."""
        bins, octaves, limit, frexp = self._bins, self._BINS, self._LIMIT, math.frexp
        for value in values:
            fraction, exponent = frexp(value)
            if exponent > limit:
                fraction, exponent = math.copysign(_BELOW_ONE, fraction), limit
            # 0 for zero, rising with the value, negative below zero.
            if fraction == 0.0 or exponent <= -limit:
                index = 0
            elif fraction > 0:
                index = (exponent + limit) * octaves + int(fraction * 2 * octaves) - octaves + 1
            else:
                index = -(exponent + limit) * octaves + int(fraction * 2 * octaves) + octaves - 1
            bins[index] = bins.get(index, 0) + 1

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
        integral: averages and quantiles are cut to whole numbers, as the
            original's integers and nanoseconds are.
        scale: what published figures are divided by (1e9: nanoseconds to seconds).

    Follows ``dist.go`` of the original, with 64-bit values and a cached sort.
    """

    __slots__ = (
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

    def __init__(self, *, integral: bool, scale: float = 1.0) -> None:
        self._integral = integral
        self._scale = scale
        self._pending: list[float] = []
        self._folding = False
        self._reservoir: list[float] = []
        self._sorted: list[float] | None = None
        self._histogram = Histogram()
        self._count = 0
        self._sum: float = 0
        self._low: float = 0
        self._high: float = 0
        self._recent: float = 0

    def observe(self, value: float) -> None:
        """Take in one number, finite and of up to 64 bits if it is whole. Never raises and never waits."""
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
            if values:
                self._insert(values)
        finally:
            self._folding = False

    def _insert(self, values: list[float]) -> None:
        low, high = min(values), max(values)
        if self._count == 0:
            self._low, self._high = low, high
        else:
            self._low, self._high = min(self._low, low), max(self._high, high)
        self._sum += sum(values)
        self._recent = values[-1]
        self._histogram.insert(values)
        self._sample(values)
        self._count += len(values)

    def _sample(self, values: list[float]) -> None:
        """Keep the first 64 values; of later ones each takes a place drawn among the last 1,024."""
        reservoir, rand = self._reservoir, random.random
        room = RESERVOIR_SIZE - len(reservoir)
        if room > 0:
            reservoir.extend(values[:room])
            self._sorted = None
            values = values[room:]
        for count, value in enumerate(values, max(self._count, RESERVOIR_SIZE)):
            place = int(rand() * (count if count < WINDOW else WINDOW))
            if place < RESERVOIR_SIZE:
                reservoir[place] = value
                self._sorted = None

    @contextmanager
    def _settled(self) -> Iterator[None]:
        """Hold the lock, with all values worked in; what a finaliser or signal handler observes meanwhile waits."""
        with LOCK:
            self._fold()
            before, self._folding = self._folding, True
            try:
                yield
            finally:
                self._folding = before

    @property
    def count(self) -> int:
        """How many values were taken in."""
        with self._settled():
            return self._count

    def summary(self, quantiles: Sequence[float] = ()) -> Summary:
        """Everything at one moment; *quantiles* are fractions asked of the reservoir."""
        with self._settled():
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
        with self._settled():
            return self._quantile(fraction)

    def fields(self) -> list[tuple[str, float]]:
        """The published fields in their order: ``count``, and the rest once there is a value."""
        with self._settled():
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
