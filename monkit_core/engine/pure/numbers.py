"""What is observed and counted on the way of a call, in plain Python: distributions, values, counters, meters."""

from __future__ import annotations

import math
import random
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import lru_cache
from itertools import accumulate
from typing import TYPE_CHECKING, cast

from monkit_core.convert import LARGEST, LARGEST_WHOLE, SMALLEST_WHOLE
from monkit_core.engine.figures import Looked, work_out
from monkit_core.locks import LOCK

if TYPE_CHECKING:
    from monkit_core.distribution import Distribution
    from monkit_core.series import SeriesKey

__all__ = [
    "RESERVOIR_SIZE", "WINDOW", "CounterCore", "DistributionCore", "DurationValCore", "FloatValCore", "Histogram",
    "IntValCore", "MeterCore",
]  # fmt: skip

_random = random.Random().random  # the program may have seeded the shared generator, which is left alone
RESERVOIR_SIZE = 64
WINDOW = 1024
_PASSED_OVER = 1 / math.log(1 - RESERVOIR_SIZE / WINDOW)
FOLD_AT = 256
_FOLD_DEPTH = 8
_MOST_SECONDS = 9.2e9  # just below 2**63 nanoseconds
_BELOW_ONE = math.nextafter(1.0, 0.0)
_EXACT = 1 << 53
"""Up to it a float holds every whole number."""
_BIN_BITS = 6
"""Leading bits of a number that say in which of the 32 bins of its octave it is; the first is always set."""


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

    def insert(self, ordered: Sequence[float]) -> None:
        """Count values, which come in rising order; each bin that they hit is looked up once."""
        bins, frexp, ldexp, size, limit = self._bins, math.frexp, math.ldexp, self._BINS, self._LIMIT
        above: float
        at, end = 0, len(ordered)
        while at < end:
            begin, value = at, ordered[at]
            # The two usual kinds of numbers get without a call, and whole ones in whole numbers, what `_place` says.
            if type(value) is int and 2 * size <= value < _EXACT:
                shift = value.bit_length() - _BIN_BITS
                step = (value >> shift) + 1
                index, above = (shift + _BIN_BITS + limit - 1) * size + step, step << shift
            else:
                fraction, exponent = frexp(value)
                if fraction > 0 and -limit < exponent < limit:
                    step = int(fraction * 2 * size) + 1
                    index, above = (exponent + limit - 1) * size + step, ldexp(step / (2 * size), exponent)
                else:
                    index, above = self._place(value)
            at += 1
            if at < end and ordered[at] < above:
                at = bisect_left(ordered, above, at + 1)
            bins[index] = bins.get(index, 0) + at - begin

    @classmethod
    def _place(cls, value: float) -> tuple[int, float]:
        """The bin of *value*, and below which value those that rise from it are in that bin too.

        Bins are 0 for zero, rising with the value, negative below zero.
        """
        fraction, exponent = math.frexp(value)
        if exponent > cls._LIMIT:
            fraction, exponent = math.copysign(_BELOW_ONE, fraction), cls._LIMIT
        if fraction == 0.0 or exponent <= -cls._LIMIT:
            return 0, math.ldexp(0.5, 1 - cls._LIMIT)
        step = int(abs(fraction) * 2 * cls._BINS)
        index = (exponent + cls._LIMIT - 1) * cls._BINS + step + 1
        if fraction < 0:
            return -index, -math.inf  # which are rare
        if fraction == _BELOW_ONE and exponent == cls._LIMIT:
            return index, math.inf
        return index, math.ldexp((step + 1) / (2 * cls._BINS), exponent)

    @classmethod
    @lru_cache(maxsize=1024)
    def _middle(cls, index: int) -> float:
        if index == 0:
            return 0.0
        exponent, position = divmod(abs(index) - 1, cls._BINS)
        middle = math.ldexp((position + cls._BINS + 0.5) / (2 * cls._BINS), exponent - cls._LIMIT)
        return middle if index > 0 else -middle

    def quantiles(self, wanted: Sequence[float]) -> list[float]:
        """The values that the fractions *wanted* (rising, 0 to 1) stay below, by the middles of bins."""
        bins = self._bins.copy()  # a signal handler may clear them at the next line
        if not bins:
            return [0.0] * len(wanted)
        order = sorted(bins)
        passed = list(accumulate(map(bins.__getitem__, order)))  # with each bin in turn
        last = passed[-1] - 1
        return [self._middle(order[bisect_right(passed, fraction * last)]) for fraction in wanted]

    def bins(self) -> list[tuple[float, int]]:
        """Of each bin that was hit, in rising order: the value in it that is nearest to zero, and its count."""
        return [(self._edge(index), count) for index, count in sorted(self._bins.copy().items())]

    @classmethod
    def _edge(cls, index: int) -> float:
        if index == 0:
            return 0.0
        exponent, position = divmod(abs(index) - 1, cls._BINS)
        edge = math.ldexp((position + cls._BINS) / (2 * cls._BINS), exponent - cls._LIMIT)
        return edge if index > 0 else -edge

    def clear(self) -> None:
        """Forget everything."""
        self._bins.clear()


def probe_stack(depth: int) -> None:
    """Raise `RecursionError` now if *depth* more calls would, before anything is half done."""
    if depth:
        probe_stack(depth - 1)


class DistributionCore:
    """Observed numbers, summed up in bounded memory.

    `observe` appends to a short list that is folded in when somebody reads or
    when it has 256 values, which makes it cheap and safe to call from any
    thread, from finalisers and from signal handlers.

    Args:
        integral: what is observed is whole.
    """

    __slots__ = (
        "_count", "_folding", "_high", "_histogram", "_integral", "_low", "_pending", "_recent", "_reservoir",
        "_sum",
    )  # fmt: skip

    def __init__(self, integral: bool) -> None:
        self._integral = integral
        self._pending: list[float | None] = []  # always the same list; ``None`` where all was reset
        self._folding = False
        self._reservoir: list[float] = []
        self._histogram = Histogram()
        self._sum: float = 0
        self._low: float = 0
        self._high: float = 0
        self._recent: float = 0
        self._count = 0

    def observe(self, value: float) -> None:
        """Take in one number, finite and of up to 64 bits if it is whole. Never raises and never waits."""
        pending = self._pending
        pending.append(value)
        if len(pending) >= FOLD_AT:
            self.fold_if_free()

    def fold_if_free(self) -> None:
        """Work the pending values in, unless somebody reads or hardly any stack is left. Never raises."""
        if LOCK.acquire(blocking=False):
            try:
                probe_stack(_FOLD_DEPTH)
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
        if self._folding or not self._pending:
            return
        self._folding = True
        try:
            pending = self._pending
            amount = len(pending)
            values = pending[:amount]
            del pending[:amount]
            self._insert(values)
        finally:
            self._folding = False

    def _insert(self, taken: list[float | None]) -> None:
        values = cast("list[float]", taken)
        try:
            total = sum(values)
        except TypeError:  # they were reset in between: what came before does not count
            self._forget()
            del values[: len(taken) - taken[::-1].index(None)]
            total = sum(values)
        if not values:
            return
        ordered = sorted(values)
        low, high = ordered[0], ordered[-1]
        if self._count == 0:
            self._low, self._high = low, high
        else:
            self._low, self._high = min(self._low, low), max(self._high, high)
        self._sum += total
        self._recent = values[-1]
        self._histogram.insert(ordered)
        self._sample(values)
        self._count += len(values)

    def _sample(self, values: list[float]) -> None:
        """Keep the first 64 values; of later ones each takes a place drawn among the last 1,024.

        Where one in sixteen is kept, it is drawn how many are passed over, not for each whether it is.
        """
        reservoir, rand, amount = self._reservoir, _random, len(values)
        taken = min(max(RESERVOIR_SIZE - len(reservoir), 0), amount)
        reservoir.extend(values[:taken])
        early = min(max(WINDOW - self._count, taken), amount)
        for index in range(taken, early):
            place = int(rand() * (self._count + index))
            if place < RESERVOIR_SIZE:
                reservoir[place] = values[index]
        index = early
        while (index := index + int(math.log(1.0 - rand()) * _PASSED_OVER)) < amount:
            reservoir[int(rand() * RESERVOIR_SIZE)] = values[index]
            index += 1

    def look(self, lifetime: Sequence[float] = ()) -> Looked:
        """Everything at one moment: count, sum, low, high, recent, the sorted reservoir, *lifetime* quantiles."""
        with LOCK:
            self._fold()
            if None in self._pending:  # it was reset while a fold is under way
                return 0, 0, 0, 0, 0, [], (0.0,) * len(lifetime)
            # What a finaliser or signal handler observes meanwhile waits.
            before, self._folding = self._folding, True
            try:
                self._reservoir.sort()  # which place a later value takes is drawn, so their order is free
                quantiles = self._histogram.quantiles(lifetime) if lifetime else ()
                return self._count, self._sum, self._low, self._high, self._recent, self._reservoir.copy(), quantiles
            finally:
                self._folding = before

    def bins(self) -> tuple[int, float, float, list[tuple[float, int]]]:
        """Count, sum and low at one moment, and the bins of the histogram, rising: see `Histogram.bins`."""
        with LOCK:
            self._fold()
            before, self._folding = self._folding, True  # as in `look`
            try:
                return self._count, self._sum, self._low, self._histogram.bins()
            finally:
                self._folding = before

    def figures(
        self, fractions: Sequence[float] = (), lifetime: Sequence[float] = (), scale: float | None = None
    ) -> tuple[float, ...]:
        """Everything at one moment, 0 where nothing was observed.

        Args:
            fractions: quantiles of the reservoir, anything outside 0 to 1 is moved to the nearer end.
            lifetime: quantiles of the histogram, rising, from 0 to 1.
            scale: what all but the count is divided by; ``None`` leaves whole numbers whole.

        Returns:
            Count, sum, low, high, recent, average of all, average of the reservoir, then quantiles as they were
            asked for. What is derived from whole numbers is cut to whole ones, before it is divided.
        """
        return work_out(self.look(lifetime), self._integral, fractions, scale)

    def reset(self) -> None:
        """Forget all observations."""
        self._pending.append(None)
        with LOCK:
            self._fold()  # if one is under way, which a signal handler or finaliser interrupts, the next one does it

    def _forget(self) -> None:
        self._reservoir.clear()
        self._histogram.clear()
        self._count = 0
        self._sum = self._low = self._high = self._recent = 0


class _ValueCore:
    __slots__ = ("_observe", "distribution", "key")

    def __init__(self, key: SeriesKey, distribution: Distribution) -> None:
        self.key = key
        self.distribution = distribution
        self._observe = distribution.observe

    def convert(self, value: object) -> None:
        """Observe *value* if it can be made a number of the right kind, and report it otherwise."""
        raise NotImplementedError


class IntValCore(_ValueCore):
    """Observes integers; what is none, or too large, goes to `convert` of the class below."""

    __slots__ = ()

    def observe(self, value: int) -> None:
        """Take in one number. Never raises."""
        if type(value) is int and SMALLEST_WHOLE <= value <= LARGEST_WHOLE:
            self._observe(value)
        else:
            self.convert(value)


class FloatValCore(_ValueCore):
    """Observes floating-point numbers; what is none, or not finite, goes to `convert` of the class below."""

    __slots__ = ()

    def observe(self, value: float) -> None:
        """Take in one number. Never raises."""
        if type(value) is float and -LARGEST <= value <= LARGEST:
            self._observe(value)
        else:
            self.convert(value)


class DurationValCore(_ValueCore):
    """Observes seconds; what is no float, or too large, goes to `convert` of the class below."""

    __slots__ = ()

    def observe(self, value: float | timedelta) -> None:
        """Take in one duration: seconds as a float, or a `timedelta`. Never raises."""
        if type(value) is float and -_MOST_SECONDS < value < _MOST_SECONDS:
            self._observe(round(value * 1e9))
        else:
            self.convert(value)


class CounterCore:
    """A number that goes up and down, with the highest and lowest it had.

    Follows ``counter.go`` of the original, without its wrap-around at 64 bits.
    Counting relies on what `monkit_core.engine.pure.spans` says of the interpreter lock.
    """

    __slots__ = ("_value", "highest", "lowest")

    def __init__(self) -> None:
        self._value = 0
        self.highest: int | None = None
        """``None`` before the first use."""
        self.lowest: int | None = None

    def set(self, value: int) -> int:
        """Make it *value*; returns what it was."""
        before, self._value = self._value, value
        self._stretch(value)
        return before

    def inc(self, amount: int = 1) -> int:
        """Add *amount*; returns the new value."""
        self._value = value = self._value + amount
        self._stretch(value)
        return value

    def dec(self, amount: int = 1) -> int:
        """Take *amount* away; returns the new value."""
        return self.inc(-amount)

    def _stretch(self, value: int) -> None:
        if self.highest is None or value > self.highest:
            self.highest = value
        if self.lowest is None or value < self.lowest:
            self.lowest = value

    @property
    def value(self) -> int:
        """The number now."""
        return self._value

    def clear(self) -> None:
        """Start anew."""
        self._value, self.highest, self.lowest = 0, None, None


class MeterCore:
    """What a mark changes of a meter: the count of its newest slice, while that is open.

    Attributes:
        count: of the newest slice.
        closes_ns: when that ends; marks after it go to `advance` of the class below first.
    """

    __slots__ = ("clock", "closes_ns", "count")

    def __init__(self, clock: Callable[[], int]) -> None:
        self.clock = clock
        self.count = 0
        self.closes_ns = 0

    def mark(self, amount: int = 1) -> None:
        """Count *amount* now."""
        now = self.clock()
        if now > self.closes_ns:
            self.advance(now)
        self.count += amount

    def advance(self, now_ns: int) -> None:
        """Close the slice that ended before *now_ns*."""
        raise NotImplementedError
