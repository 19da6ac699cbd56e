"""Faults of other people's code that the engine met: logged once a place, counted, never raised.

A gauge, an observer or a value of the wrong kind may fail at any moment of a
monitored call; the measured program must not notice.
"""

from __future__ import annotations

import logging
from contextlib import suppress

__all__ = ["count", "report"]

_log = logging.getLogger("monkit")
_MOST_PLACES = 1000
_counts: dict[str, int] = {}


def report(place: str, problem: object) -> None:
    """Count a fault at *place*; the first one there is logged as a warning.

    Args:
        place: what failed, such as ``gauge queue``; the same text is the same place.
        problem: the exception, or words.
    """
    seen = _counts.get(place)
    if seen is None and len(_counts) >= _MOST_PLACES:
        place = "other places"
        seen = _counts.get(place)
    _counts[place] = (seen or 0) + 1
    if seen is None:
        error = problem if isinstance(problem, BaseException) else None
        # The program's own filters and handlers run here.
        with suppress(Exception):
            _log.warning("%s failed: %r (further failures there are only counted)", place, problem, exc_info=error)


def count() -> int:
    """How many faults there were since the process started."""
    return sum(list(_counts.values()))
