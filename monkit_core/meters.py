"""Meters: things one counts. Counters, gauges, meters, the difference of two, timers."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from types import TracebackType

from monkit_core import faults
from monkit_core.clock import NS_PER_S, monotonic_ns
from monkit_core.distribution import Distribution
from monkit_core.engine import CounterCore, MeterCore
from monkit_core.locks import LOCK
from monkit_core.readers import Readers
from monkit_core.series import Series, SeriesKey, SeriesSource
from monkit_core.variables import set_variable

__all__ = ["Counter", "DiffMeter", "Gauge", "Meter", "RunningTimer", "Timer"]

SLICES = 24
SLICE_NS = 600 * NS_PER_S


class Counter(CounterCore, SeriesSource):
    """A number that goes up and down, with the highest and lowest it had."""

    __slots__ = ("key",)

    def __init__(self, key: SeriesKey) -> None:
        super().__init__()
        self.key = key

    @property
    def high(self) -> int:
        """The highest it was, 0 before the first use."""
        return self.highest or 0

    @property
    def low(self) -> int:
        """The lowest it was, 0 before the first use."""
        return self.lowest or 0

    def reset(self) -> tuple[int, int, int]:
        """Start anew; returns value, low and high until now."""
        before = (self.value, self.low, self.high)
        self.clear()
        return before

    def series(self) -> Iterable[Series]:
        """``high`` and ``low`` (NaN before the first use), ``value``."""
        high, low = self.highest, self.lowest
        values = (math.nan if high is None else float(high), math.nan if low is None else float(low), float(self.value))
        return ((self.key, ("high", "low", "value"), values),)


class Gauge(SeriesSource):
    """A number that is asked for when somebody looks.

    A function that raises is reported once and its figure left out; it is also
    left out for who may not enter it, see `Readers`.
    """

    __slots__ = ("_readers", "key", "read")

    def __init__(self, key: SeriesKey, read: Callable[[], float]) -> None:
        self.key = key
        self.read = read
        self._readers = Readers()

    def series(self) -> Iterator[Series]:
        """``value``, unless it cannot be had."""
        if not self._readers.enter():
            return
        try:
            value = float(self.read())
        except Exception as problem:  # a user's function, of any kind
            faults.report(f"gauge {self.key}", problem)
            return
        finally:
            self._readers.leave()
        yield self.key, ("value",), (value,)


class Meter(MeterCore, SeriesSource):
    """How many, and how many a second over the last hours.

    The rate is over a sliding window of 24 slices of ten minutes, worked out
    when read: a slice closes at the first ten-minute mark after something was
    counted in it, and a mark at that very moment still belongs to it.

    Follows ``meter.go`` of the original, whose slices are moved by a ticking
    goroutine; ours move when the meter is used.
    """

    __slots__ = ("_epoch_ns", "_slices", "_start_ns", "_stored", "key")

    growing_fields = frozenset({"total"})

    def __init__(self, key: SeriesKey, clock: Callable[[], int] = monotonic_ns) -> None:
        super().__init__(clock)
        self.key = key
        self._epoch_ns = clock()
        self._restart(self._epoch_ns)

    def _restart(self, now: int) -> None:
        self._slices: deque[tuple[int, int]] = deque([(now, 0)] * (SLICES - 1), maxlen=SLICES - 1)
        self._start_ns = now  # of the newest slice, whose count stands in `count`
        self.closes_ns = now + SLICE_NS - (now - self._epoch_ns) % SLICE_NS
        self.count = 0
        self._stored = 0  # what left the window, and totals that were set

    def advance(self, now_ns: int) -> None:
        """Close the slice that ended before *now_ns*."""
        with LOCK:
            closed_ns = self.closes_ns
            if now_ns <= closed_ns:
                return
            self.closes_ns = self._epoch_ns - (self._epoch_ns - now_ns) // SLICE_NS * SLICE_NS
            if self.count:
                count, self.count = self.count, 0
                self._stored += self._slices[0][1]
                self._slices.append((self._start_ns, count))
                self._start_ns = closed_ns

    def set_total(self, total: int) -> None:
        """Let *total* be what was counted before the window; marks within it are added, the rate stays what it is."""
        with LOCK:
            self._stored = total

    def reset(self, total: int = 0) -> None:
        """Start anew from *total*."""
        with LOCK:
            self._restart(self.clock())
            self._stored = total

    @property
    def total(self) -> int:
        """How many since the start."""
        stored, counted, slices = self._look()
        return stored + counted + sum(count for _, count in slices)

    @property
    def rate(self) -> float:
        """How many a second over the window; 0 in its first instant."""
        now = self.clock()
        if now > self.closes_ns:
            self.advance(now)
        _, counted, slices = self._look()
        passed_ns = now - slices[0][0]
        counted += sum(count for _, count in slices)
        return counted * NS_PER_S / passed_ns if passed_ns > 0 else 0.0

    def _look(self) -> tuple[int, int, deque[tuple[int, int]]]:
        """What is stored, what the newest slice has, and the others, at one moment: a finaliser may close a slice."""
        with LOCK:
            return self._stored, self.count, self._slices.copy()

    def series(self) -> Iterable[Series]:
        """``rate`` a second and ``total``."""
        return ((self.key, ("rate", "total"), (self.rate, float(self.total))),)


class DiffMeter(SeriesSource):
    """The difference of two meters."""

    __slots__ = ("key", "minuend", "subtrahend")

    def __init__(self, key: SeriesKey, minuend: Meter, subtrahend: Meter) -> None:
        self.key = key
        self.minuend = minuend
        self.subtrahend = subtrahend

    def series(self) -> Iterable[Series]:
        """``rate`` and ``total`` of the first less those of the second."""
        rate = self.minuend.rate - self.subtrahend.rate
        return ((self.key, ("rate", "total"), (rate, float(self.minuend.total - self.subtrahend.total))),)


class RunningTimer:
    """One run of a timer."""

    __slots__ = ("_outer", "_start_ns", "_stopped", "_timer")

    def __init__(self, timer: Timer) -> None:
        self._timer = timer
        self._stopped = False
        self._outer: RunningTimer | None = None
        self._start_ns = monotonic_ns()

    def stop(self) -> float:
        """Seconds since the start; the first call is the one that counts."""
        elapsed_ns = monotonic_ns() - self._start_ns
        if not self._stopped:
            self._stopped = True
            self._timer.distribution.observe(elapsed_ns)
        return elapsed_ns / NS_PER_S


_innermost: ContextVar[RunningTimer | None] = ContextVar("monkit_timer", default=None)


def _take_out(inner: RunningTimer | None, run: RunningTimer) -> None:
    """Blocks left in another order than they were entered: let what stands inside *run* see past it."""
    while inner is not None:
        if inner._outer is run:
            inner._outer = run._outer
            return
        inner = inner._outer


class Timer(SeriesSource):
    """Durations of blocks: ``with mon.timer("decode"): ...``, or `start` and `RunningTimer.stop`.

    One timer may be shared by nested, interleaved and concurrent blocks, and a
    block may be left in another context than it was entered in.
    """

    __slots__ = ("_open", "distribution", "key")

    def __init__(self, key: SeriesKey) -> None:
        self.key = key
        self.distribution = Distribution(integral=True, scale=1e9)
        self._open: dict[RunningTimer, None] = {}

    def start(self) -> RunningTimer:
        """Start a run that is stopped by hand."""
        return RunningTimer(self)

    def __enter__(self) -> RunningTimer:
        run = RunningTimer(self)
        run._outer = _innermost.get()
        set_variable(_innermost, run)
        self._open[run] = None
        return run

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        while (run := self._to_leave()) is not None:
            if self._open.pop(run, run) is None:  # or another thread has just taken this one
                run.stop()
                innermost = _innermost.get()
                if innermost is run:
                    set_variable(_innermost, run._outer)
                else:
                    _take_out(innermost, run)
                run._outer = None  # a chain of tasks that start each other must not keep all runs alive
                return

    def _to_leave(self) -> RunningTimer | None:
        run = _innermost.get()
        while run is not None and run not in self._open:
            run = run._outer
        if run is None:
            run = next(reversed(self._open.copy()), None)  # a copy: other threads enter and leave
        return run

    def series(self) -> Iterable[Series]:
        """The fields of a distribution, in seconds."""
        return ((self.key, *self.distribution.published()),)
