"""Numbers out of what users observe: integers, floats, durations. Text is refused, not parsed."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Any

__all__ = ["LARGEST", "LARGEST_WHOLE", "SMALLEST_WHOLE", "to_float", "to_int", "to_ns"]

SMALLEST_WHOLE = -(2**63)
LARGEST_WHOLE = 2**63 - 1
LARGEST = math.nextafter(math.inf, 0)
_MICROSECOND = timedelta(microseconds=1)


def _no_text(value: object) -> Any:
    if isinstance(value, str | bytes | bytearray):
        raise TypeError(f"a number was expected, found {type(value).__name__}")
    return value


def to_int(value: object) -> int:
    """What ``int`` makes of a number."""
    return value if type(value) is int else int(_no_text(value))


def to_float(value: object) -> float:
    """What ``float`` makes of a number."""
    return value if type(value) is float else float(_no_text(value))


def to_ns(value: object) -> int:
    """Nanoseconds out of seconds or a `timedelta`."""
    if isinstance(value, timedelta):
        return (value // _MICROSECOND) * 1000
    return round(to_float(value) * 1e9)
