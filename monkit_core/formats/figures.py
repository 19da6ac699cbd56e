"""Figures: numbers the way people read them.

Every function takes a plain number and returns its text. Rounding happens once,
before the unit is chosen, so that nothing prints as ``1000ms`` or ``60.0s``.
"""

from __future__ import annotations

import math

__all__ = ["NO_VALUE", "count", "counted", "duration"]

NO_VALUE = "\N{EN DASH}"
_MINUS = "\N{MINUS SIGN}"

_NS_PER_S = 1_000_000_000
_NS_PER_MIN = 60 * _NS_PER_S


def duration(ns: int | float) -> str:
    """Write a duration with three digits.

    Args:
        ns: nanoseconds; a fraction is rounded to a whole one first.

    Returns:
        ``17ns``, ``914µs``, ``8.30ms``, ``413ms``, ``2.20s``, ``1m12s``,
        ``3h12m07s``, ``2d22h``; ``0s`` for zero, a dash for what is no number.
    """
    if isinstance(ns, float):
        if not math.isfinite(ns):
            return NO_VALUE
        ns = round(ns)
    if ns < 0:
        return _MINUS + duration(-ns)
    if ns < 1_000:
        return f"{ns}ns" if ns else "0s"
    # Each limit is the first value that the finer unit would round up to 1,000 (or 60 s).
    if ns < 999_500:
        return _three_digits(ns, 1_000) + "µs"
    if ns < 999_500_000:
        return _three_digits(ns, 1_000_000) + "ms"
    if ns < 59_950_000_000:
        return _three_digits(ns, _NS_PER_S) + "s"
    return _clock(ns)


def _three_digits(ns: int, unit: int) -> str:
    """Write *ns* / *unit*, from 0.9995 up to 999.5, with three digits."""
    value = ns / unit
    if value < 9.995:
        return f"{value:.2f}"
    return f"{value:.1f}" if value < 99.95 else f"{value:.0f}"


def _clock(ns: int) -> str:
    """Write a minute or more: to the second below a day, to the hour above."""
    seconds = (ns + _NS_PER_S // 2) // _NS_PER_S
    minutes, seconds = divmod(seconds, 60)
    if minutes < 60:
        return f"{minutes}m{seconds:02d}s"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours}h{minutes:02d}m{seconds:02d}s"
    days, hours = divmod((ns + 30 * _NS_PER_MIN) // (60 * _NS_PER_MIN), 24)
    return f"{days}d{hours:02d}h"


def count(n: int) -> str:
    """Write a whole number with commas: ``2,000``."""
    return f"{n:,}"


def counted(n: int, noun: str, plural: str = "") -> str:
    """Write a number and its noun: ``1 error``, ``2,000 errors``.

    Args:
        n: how many.
        noun: the singular.
        plural: the plural where it is not the singular and an *s*.
    """
    return f"{n:,} {noun if n == 1 else plural or noun + 's'}"
