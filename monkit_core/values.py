"""Values: things one observes. Integers, floats, booleans, durations."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

from monkit_core import faults
from monkit_core.distribution import Distribution
from monkit_core.series import SeriesKey, Stat

__all__ = ["BoolVal", "DurationVal", "FloatVal", "IntVal", "to_float"]

_LARGEST_WHOLE = 2**63
_LARGEST = math.nextafter(math.inf, 0)


class _Value:
    """A series key and the distribution of what was observed under it.

    Observations become numbers in the thread that makes them, never under the
    engine's lock: their conversion is a user's code.
    """

    __slots__ = ("distribution", "key")

    def __init__(self, key: SeriesKey, distribution: Distribution) -> None:
        self.key = key
        self.distribution = distribution

    def _take(self, value: object, convert: Callable[[object], float], limit: float) -> None:
        """Observe what *convert* makes of *value* if it is within ±*limit*; report anything else."""
        try:
            number = convert(value)
            if not -limit <= number <= limit:  # also true of NaN
                raise ValueError(f"{type(value).__name__} out of range or not a number")
        except Exception as problem:  # any conversion of a user's object
            faults.report(f"observing {self.key}", problem)
        else:
            self.distribution.observe(number)

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


def _no_text(value: object) -> Any:
    if isinstance(value, str | bytes | bytearray):
        raise TypeError(f"a number was expected, found {type(value).__name__}")
    return value


def _to_int(value: object) -> int:
    return value if type(value) is int else int(_no_text(value))


def to_float(value: object) -> float:
    """What ``float`` makes of a number; text is refused."""
    return value if type(value) is float else float(_no_text(value))


def _to_ns(value: object) -> int:
    """Nanoseconds out of seconds or a `timedelta`."""
    if isinstance(value, timedelta):
        return (value // timedelta(microseconds=1)) * 1000
    return round(to_float(value) * 1e9)


class IntVal(_Value):
    """Whole numbers of up to 64 bits; others are left out and reported once."""

    __slots__ = ()

    def __init__(self, key: SeriesKey) -> None:
        super().__init__(key, Distribution(integral=True))

    def observe(self, value: int) -> None:
        """Take in one number. Never raises."""
        self._take(value, _to_int, _LARGEST_WHOLE)


class FloatVal(_Value):
    """Floating-point numbers; NaN and infinities are left out and reported once."""

    __slots__ = ()

    def __init__(self, key: SeriesKey) -> None:
        super().__init__(key, Distribution(integral=False))

    def observe(self, value: float) -> None:
        """Take in one number. Never raises."""
        self._take(value, to_float, _LARGEST)


class DurationVal(_Value):
    """Durations, observed as seconds or `timedelta`, kept in nanoseconds, published in seconds."""

    __slots__ = ()

    def __init__(self, key: SeriesKey) -> None:
        super().__init__(key, Distribution(integral=True, scale=1e9))

    def observe(self, value: float | timedelta) -> None:
        """Take in one duration: seconds as a float, or a `timedelta`. Never raises."""
        self._take(value, _to_ns, _LARGEST_WHOLE)


class BoolVal:
    """Booleans: how often true, how often false, and which is ahead by how many.

    Counting relies on what `monkit_core.span` says of the interpreter lock.
    """

    __slots__ = ("_false", "_recent", "_true", "key")

    def __init__(self, key: SeriesKey) -> None:
        self.key = key
        self._true = 0
        self._false = 0
        self._recent = False

    def observe(self, value: object) -> None:
        """Take in the truth of *value*. Never raises."""
        try:
            truth = bool(value)
        except Exception as problem:  # a user's own notion of truth
            faults.report(f"observing {self.key}", problem)
            return
        if truth:
            self._true += 1
            self._recent = True
        else:
            self._false += 1
            self._recent = False

    def stats(self) -> Iterator[Stat]:
        """``disposition`` (how many more were true than false), ``false``, ``recent``, ``true``."""
        true, false, key = self._true, self._false, self.key
        yield Stat(key, "disposition", float(true - false))
        yield Stat(key, "false", float(false))
        yield Stat(key, "recent", float(self._recent))
        yield Stat(key, "true", float(true))
