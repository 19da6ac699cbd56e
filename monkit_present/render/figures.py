"""Figures: numbers the way people read them. They are the core's, so that its formats write them alike."""

from __future__ import annotations

import math
from datetime import datetime

from monkit_core.formats.figures import NO_VALUE, count, counted, duration

__all__ = [
    "NO_VALUE", "binary_bytes", "count", "counted", "duration", "number", "per_cent", "percent", "rate", "time_of_day",
]  # fmt: skip

_MINUS = "\N{MINUS SIGN}"
_NS_PER_S = 1_000_000_000


def number(value: float) -> str:
    """Write a number with three digits and, from 1,000 on, ``k``, ``M`` or ``G``: ``0.002``, ``14.8``, ``1.28M``."""
    if not math.isfinite(value):
        return NO_VALUE
    if value < 0:
        return _MINUS + number(-value)
    for unit, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= unit * 0.9995:
            return _digits(value / unit) + letter
    if value == int(value):
        return str(int(value))
    return f"{value:.3g}" if value < 0.1 else _digits(value)


def _digits(value: float) -> str:
    """Three digits of a number from 0.1 to below 1,000."""
    return f"{value:.2f}" if value < 9.995 else f"{value:.1f}" if value < 99.95 else f"{value:,.0f}"


def rate(value: float | None) -> str:
    """Write how many there are a second; a dash where nobody can tell."""
    return NO_VALUE if value is None else number(value)


def percent(share: float) -> str:
    """Write a share of 1 in per cent: one decimal below 10, none above, ``<0.1`` for a trace, ``0`` for none."""
    if not share:
        return "0"
    value = share * 100
    if value < 0.1:
        return "<0.1"
    return f"{value:.1f}" if value < 9.95 else f"{value:.0f}"


def binary_bytes(size: float) -> tuple[str, str]:
    """A number of bytes and its unit, ``("214", "MiB")``."""
    for unit, name in ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")):
        if size >= unit:
            return _digits(size / unit), name
    return f"{size:.0f}", "B"


def time_of_day(ns_since_1970: int) -> str:
    """The local time of day: ``14:02:11``."""
    return datetime.fromtimestamp(ns_since_1970 / _NS_PER_S).strftime("%H:%M:%S")


def per_cent(share: float) -> str:
    """The same with its sign: ``2.8 %``."""
    return f"{percent(share)} %"
