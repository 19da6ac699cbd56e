"""Cardinality: how many series one name may have, and where further ones go.

Tags that hold a user's id or a path would otherwise fill the memory of the
program, and of everything that reads it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from monkit_core.locks import LOCK
from monkit_core.series import Tags

__all__ = ["MAX_SERIES", "OVERFLOW", "BoundedSeries", "SeriesLimit"]

MAX_SERIES = 2000
OVERFLOW: Tags = (("overflow", "true"),)

T = TypeVar("T")


class SeriesLimit:
    """How many sets of tags a name may have in a scope, shared by the scopes of a registry."""

    def __init__(self, max_series: int) -> None:
        self.max_series = max_series


class BoundedSeries(Generic[T]):
    """What a scope keeps by name and tags: as many sets of tags a name as the limit allows.

    `overflowed` counts, by name, how often a further set was asked for.
    """

    def __init__(self, limit: SeriesLimit) -> None:
        self._limit = limit
        self._kept: dict[tuple[str, Tags], T] = {}
        self._sizes: dict[str, int] = {}
        self.overflowed: dict[str, int] = {}

    def get(self, name: str, tags: Tags, make: Callable[[str, Tags], T]) -> T:
        """What is there, or what *make* makes of the name and tags."""
        found = self._kept.get((name, tags))
        if found is not None:
            return found
        with LOCK:
            if tags and self._sizes.get(name, 0) >= self._limit.max_series:
                self.overflowed[name] = self.overflowed.get(name, 0) + 1
                tags = OVERFLOW
            found = self._kept.get((name, tags))
            if found is None:
                found = self._kept[name, tags] = make(name, tags)
                self._sizes[name] = self._sizes.get(name, 0) + (tags != OVERFLOW)
            return found

    def sorted(self) -> list[T]:
        """What is kept, in the order of names and tags."""
        return [item for _, item in sorted(self._kept.copy().items(), key=lambda entry: entry[0])]
