"""Marks: the totals of one moment, to see what has happened since."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from monkit_core import SeriesKey, Stat

__all__ = ["MARKED_FIELDS", "MAX_FIGURES", "Mark", "Marks", "make_mark", "since"]

MARKED_FIELDS = frozenset({"total", "count", "sum"})
"""The fields that only grow, so that a difference of them says something."""

MAX_FIGURES = 100_000


@dataclass(frozen=True, slots=True)
class Mark:
    """The totals of one moment.

    Attributes:
        made_ns: when, nanoseconds since 1970.
        figures: by series and field.
        dropped: how many more there were above the limit.
    """

    made_ns: int
    figures: Mapping[tuple[SeriesKey, str], float]
    dropped: int

    @property
    def series_count(self) -> int:
        """How many series are in it."""
        return len({key for key, _ in self.figures})


class Marks:
    """The mark of one registry; the next one takes its place.

    Attributes:
        latest: the mark, ``None`` before the first.
    """

    def __init__(self) -> None:
        self.latest: Mark | None = None


def make_mark(stats: Iterable[Stat], made_ns: int, most: int = MAX_FIGURES) -> Mark:
    """Remember the totals among *stats*, at most so many."""
    figures: dict[tuple[SeriesKey, str], float] = {}
    dropped = 0
    for key, field, value in stats:
        if field in MARKED_FIELDS:
            if len(figures) < most:
                figures[key, field] = value
            else:
                dropped += 1
    return Mark(made_ns, figures, dropped)


def since(stats: Iterable[Stat], mark: Mark) -> Iterator[Stat]:
    """The totals among *stats*, less what they were at the mark.

    A series that came later counts from zero, unless the mark is not whole:
    then it may be one that was dropped, and is left out.
    """
    for key, field, value in stats:
        if field in MARKED_FIELDS:
            before = mark.figures.get((key, field), None if mark.dropped else 0.0)
            if before is not None:
                yield Stat(key, field, value - before)
