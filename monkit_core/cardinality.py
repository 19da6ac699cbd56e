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

    def get(self, name: str, tags: Tags, kind: type, make: Callable[[str, Tags], T]) -> T:
        """What is there, or what *make* makes of the name and tags, which is of this *kind*.

        What is there may be of another kind, but not beyond the limit: there the
        kind that came first has `OVERFLOW`, and each further one says its kind too.

        It is made outside of the lock, because it may run a user's code; of two
        that are made at once, in other threads or by a finaliser, one stays.
        """
        while (found := self._kept.get((name, tags))) is None or (tags == OVERFLOW and type(found) is not kind):
            if found is not None:
                tags = (("kind", kind.__name__), *OVERFLOW)
            elif self._is_full(name, tags):
                if self._overflows(name, tags):
                    tags = OVERFLOW
            else:
                self._keep(name, tags, make(name, tags))
        return found

    def _keep(self, name: str, tags: Tags, made: T) -> None:
        """Keep what was *made*, unless the same was kept meanwhile, or what took the last place."""
        key, bounded, takes = (name, tags), self._is_bounded(tags), OVERFLOW[0] not in tags
        with LOCK:
            self._sizes.setdefault(name, 0)
            # No call from here on, so no finaliser or signal handler comes between, see `engine.pure.spans`.
            if key not in self._kept and not (bounded and self._sizes[name] >= self._limit.max_series):
                self._kept[key] = made
                self._sizes[name] += takes

    def _is_full(self, name: str, tags: Tags) -> bool:
        """Whether there is no place for *tags*."""
        return self._is_bounded(tags) and self._sizes.get(name, 0) >= self._limit.max_series

    @staticmethod
    def _is_bounded(tags: Tags) -> bool:
        """Whether there may be no place for *tags*; there always is for none and for an overflow."""
        return tags != () and OVERFLOW[0] not in tags

    def _overflows(self, name: str, tags: Tags) -> bool:
        """Count that there is no place for *tags*, unless they took the last one meanwhile."""
        with LOCK:
            if (name, tags) in self._kept:
                return False
            self.overflowed.setdefault(name, 0)
            self.overflowed[name] += 1
            return True

    def sorted(self) -> list[T]:
        """What is kept, in the order of names and tags."""
        return [item for _, item in sorted(self._kept.copy().items(), key=lambda entry: entry[0])]
