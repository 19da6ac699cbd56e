"""The source that every environment series is: a key, and a function that reads its fields."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from monkit_core.distribution import Distribution
from monkit_core.series import SeriesKey, Stat

__all__ = ["Fields", "Source"]

Fields = Iterable[tuple[str, float]]
"""Pairs of field and value; a figure that the platform does not have is left out."""


@dataclass(frozen=True, slots=True)
class Source:
    """One series of the environment.

    Attributes:
        key: the series.
        read: its fields and their values.
        growing_fields: those that only grow.
        distribution: what the figures are of, if they are those of one.
    """

    key: SeriesKey
    read: Callable[[], Fields]
    growing_fields: frozenset[str] = frozenset()
    distribution: Distribution | None = None

    def stats(self) -> Iterator[Stat]:
        """The figures at this moment."""
        return (Stat(self.key, field, value) for field, value in self.read())
