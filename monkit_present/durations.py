"""Durations in queries, as Go writes and reads them: ``100ms``, ``1.5s``, ``1h30m``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from monkit_core.formats.text import go_duration
from monkit_present.parameters import refused

__all__ = ["Duration"]

_UNITS_NS = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,  # micro sign
    "μs": 1_000,  # Greek letter mu, which Go takes too
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
}
_PART = re.compile(r"([0-9]{0,20})(?:\.([0-9]{0,20}))?(ns|us|µs|μs|ms|s|m|h)")


@dataclass(frozen=True, slots=True)
class Duration:
    """A duration above none and at most so many nanoseconds; its value is nanoseconds."""

    most_ns: int

    @property
    def takes(self) -> str:
        """See `Kind`."""
        return f"duration such as 100ms or 1.5s, above 0 and at most {go_duration(self.most_ns)}"

    @property
    def schema(self) -> dict[str, Any]:
        """See `Kind`."""
        return {"type": "string", "pattern": "^([0-9]*(\\.[0-9]*)?(ns|us|µs|μs|ms|s|m|h))+$"}

    def read(self, name: str, text: str) -> object:
        """See `Kind`."""
        ns = _nanoseconds(text)
        if ns is None or not 0 < ns <= self.most_ns:
            raise refused(
                name, text, f"expected a duration such as 100ms or 1.5s, above 0, at most {go_duration(self.most_ns)}"
            )
        return ns

    def accept(self, name: str, value: object) -> object:
        """See `Kind`."""
        return self.read(name, value if isinstance(value, str) else "")


def _nanoseconds(text: str) -> int | None:
    """Nanoseconds, a fraction of one cut off; ``None`` if *text* is no duration."""
    total, place = 0, 0
    if len(text) > 200:
        return None
    while place < len(text):
        part = _PART.match(text, place)
        if part is None or not (part[1] or part[2]):
            return None
        digits, unit_ns = part[2] or "", _UNITS_NS[part[3]]
        total += int(part[1] or 0) * unit_ns + int(digits or 0) * unit_ns // 10 ** len(digits)
        place = part.end()
    return total if text else None
