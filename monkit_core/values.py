"""Values: things one observes. Integers, floats, booleans, durations."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from datetime import timedelta

from monkit_core import faults
from monkit_core.distribution import Distribution
from monkit_core.series import SeriesKey, Stat

__all__ = ["BoolVal", "DurationVal", "FloatVal", "IntVal"]

_LARGEST = 2**63


class _Value:
    """A series key and the distribution of what was observed under it."""

    __slots__ = ("distribution", "key")

    def __init__(self, key: SeriesKey, distribution: Distribution) -> None:
        self.key = key
        self.distribution = distribution

    def quantile(self, fraction: float) -> float:
        """See `Distribution.quantile`."""
        return self.distribution.quantile(fraction)

    def reset(self) -> None:
        """Forget all observations."""
        self.distribution.reset()

    def stats(self) -> Iterator[Stat]:
        """``count`` and, once something was observed, the other fields."""
        key = self.key
        return (Stat(key, field, value) for field, value in self.distribution.fields())


def _acceptor(key: SeriesKey, convert: Callable[[object], float], limit: float) -> Callable[[object], float | None]:
    """What turns an observation into a number within ±*limit*, and reports what cannot be one."""

    def accept(value: object) -> float | None:
        try:
            number = convert(value)
        except Exception as problem:  # any conversion of a user's object; reported, never raised
            faults.report(f"observing {key}", problem)
            return None
        if not -limit <= number <= limit:  # also true of NaN
            faults.report(f"observing {key}", f"{type(value).__name__} out of range or not a number")
            return None
        return number

    return accept


def _to_int(value: object) -> int:
    return value if type(value) is int else int(value)  # type: ignore[call-overload]


def _to_float(value: object) -> float:
    return float(value)  # type: ignore[arg-type]


def _to_ns(value: object) -> int:
    """Nanoseconds out of seconds or a `timedelta`."""
    if isinstance(value, timedelta):
        return (value // timedelta(microseconds=1)) * 1000
    return round(float(value) * 1e9)  # type: ignore[arg-type]


class IntVal(_Value):
    """Whole numbers of up to 64 bits; others are left out and reported once."""

    __slots__ = ()

    def __init__(self, key: SeriesKey) -> None:
        super().__init__(key, Distribution(integral=True, accept=_acceptor(key, _to_int, _LARGEST)))

    def observe(self, value: int) -> None:
        """Take in one number. Never raises."""
        self.distribution.observe(value)


class FloatVal(_Value):
    """Floating-point numbers; NaN and infinities are left out and reported once."""

    __slots__ = ()

    def __init__(self, key: SeriesKey) -> None:
        largest = math.nextafter(math.inf, 0)
        super().__init__(key, Distribution(integral=False, accept=_acceptor(key, _to_float, largest)))

    def observe(self, value: float) -> None:
        """Take in one number. Never raises."""
        self.distribution.observe(value)


class DurationVal(_Value):
    """Durations, observed as seconds or `timedelta`, kept in nanoseconds, published in seconds."""

    __slots__ = ()

    def __init__(self, key: SeriesKey) -> None:
        super().__init__(key, Distribution(integral=True, scale=1e9, accept=_acceptor(key, _to_ns, _LARGEST)))

    def observe(self, value: float | timedelta) -> None:
        """Take in one duration: seconds as a float, or a `timedelta`. Never raises."""
        self.distribution.observe(value)


class BoolVal:
    """Booleans: how often true, how often false, and which is ahead.

    Counting relies on what `monkit_core.span` says of the interpreter lock.
    """

    __slots__ = ("_false", "_recent", "_true", "key")

    def __init__(self, key: SeriesKey) -> None:
        self.key = key
        self._true = 0
        self._false = 0
        self._recent = False

    def observe(self, value: object) -> None:
        """Take in the truth of *value*."""
        if value:
            self._true += 1
            self._recent = True
        else:
            self._false += 1
            self._recent = False

    def stats(self) -> Iterator[Stat]:
        """``disposition`` (1 more true, -1 more false, 0 even), ``false``, ``recent``, ``true``."""
        true, false, key = self._true, self._false, self.key
        yield Stat(key, "disposition", float((true > false) - (true < false)))
        yield Stat(key, "false", float(false))
        yield Stat(key, "recent", float(self._recent))
        yield Stat(key, "true", float(true))
