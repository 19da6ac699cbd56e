"""Time in nanoseconds. Nothing else in the project reads a clock.

Durations come from a clock that never jumps; wall time is worked out from it
when something is shown, with one offset for everything on a page, so a
picture stays consistent while somebody sets the system's clock.
"""

from __future__ import annotations

from time import perf_counter_ns as monotonic_ns
from time import time_ns as wall_ns

__all__ = ["NS_PER_S", "monotonic_ns", "wall_ns", "wall_offset_ns"]

NS_PER_S = 1_000_000_000


def wall_offset_ns() -> int:
    """What to add to a monotonic time, at this moment, to get nanoseconds since 1970."""
    return wall_ns() - monotonic_ns()
