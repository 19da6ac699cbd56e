"""Values: things one observes. Integers, floats, booleans, durations."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from monkit_core import faults
from monkit_core.convert import LARGEST, LARGEST_WHOLE, SMALLEST_WHOLE, to_float, to_int, to_ns
from monkit_core.distribution import Distribution
from monkit_core.engine import DurationValCore, FloatValCore, IntValCore
from monkit_core.series import Series, SeriesKey, SeriesSource

__all__ = ["BoolVal", "DurationVal", "FloatVal", "IntVal"]


class _Value(SeriesSource):
    """What reads the distribution of what was observed under a key.

    Observations become numbers in the thread that makes them, never under the
    engine's lock: their conversion is a user's code.
    """

    __slots__ = ()

    key: SeriesKey
    distribution: Distribution

    def quantile(self, fraction: float) -> float:
        """See `Distribution.quantile`."""
        return self.distribution.quantile(fraction)

    def reset(self) -> None:
        """Forget all observations."""
        self.distribution.reset()

    def series(self) -> Iterable[Series]:
        """``count`` and, once something was observed, the other fields."""
        return ((self.key, *self.distribution.published()),)

    def _convert(self, number: Callable[[object], float], value: object, least: float, most: float) -> None:
        try:
            found = number(value)
            if not least <= found <= most:  # also true of NaN
                raise ValueError(f"{type(value).__name__} out of range or not a number")
        except Exception as problem:  # any conversion of a user's object
            faults.report(f"observing {self.key}", problem)
        else:
            self.distribution.observe(found)


class IntVal(IntValCore, _Value):
    """Whole numbers of up to 64 bits; others are left out and reported once."""

    __slots__ = ()

    def __init__(self, key: SeriesKey) -> None:
        super().__init__(key, Distribution(integral=True))

    def convert(self, value: object) -> None:
        """See `IntValCore`."""
        self._convert(to_int, value, SMALLEST_WHOLE, LARGEST_WHOLE)


class FloatVal(FloatValCore, _Value):
    """Floating-point numbers; NaN and infinities are left out and reported once."""

    __slots__ = ()

    def __init__(self, key: SeriesKey) -> None:
        super().__init__(key, Distribution(integral=False))

    def convert(self, value: object) -> None:
        """See `FloatValCore`."""
        self._convert(to_float, value, -LARGEST, LARGEST)


class DurationVal(DurationValCore, _Value):
    """Durations, observed as seconds or `timedelta`, kept in nanoseconds, published in seconds."""

    __slots__ = ()

    def __init__(self, key: SeriesKey) -> None:
        super().__init__(key, Distribution(integral=True, scale=1e9))

    def convert(self, value: object) -> None:
        """See `DurationValCore`."""
        self._convert(to_ns, value, SMALLEST_WHOLE, LARGEST_WHOLE)


class BoolVal(SeriesSource):
    """Booleans: how often true, how often false, and which is ahead by how many.

    Counting relies on what `monkit_core.engine.pure.spans` says of the interpreter lock.
    """

    __slots__ = ("_false", "_recent", "_true", "key")

    growing_fields = frozenset({"false", "true"})

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

    def series(self) -> Iterable[Series]:
        """``disposition`` (how many more were true than false), ``false``, ``recent``, ``true``."""
        true, false = self._true, self._false
        values = (float(true - false), float(false), float(self._recent), float(true))
        return ((self.key, ("disposition", "false", "recent", "true"), values),)
