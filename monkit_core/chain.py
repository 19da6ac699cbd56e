"""Chained sources: objects of others whose figures a scope shows among its own."""

from __future__ import annotations

from collections.abc import Iterator

from monkit_core import faults
from monkit_core.distribution import Distribution
from monkit_core.readers import Readers
from monkit_core.series import SeriesKey, Stat, StatSource, TypedSeries, grouped
from monkit_core.text import clean

__all__ = ["Chained"]


class Chained:
    """A source as a scope shows it: every figure tagged with the scope's name.

    A source that raises is reported once, and what it gave before stays. It is
    left out for who may not enter it, see `Readers`.

    Args:
        source: read anew each time; any thread may ask.
        scope_name: takes the place of a ``scope`` tag that the source sets itself.
        number: its place in the scope, which tells apart sources of one class in the log.
    """

    __slots__ = ("_place", "_readers", "_scope_name", "source")

    def __init__(self, source: StatSource, scope_name: str, number: int) -> None:
        self.source = source
        self._scope_name = scope_name
        self._place = f"source {number} of scope {scope_name} ({type(source).__qualname__})"
        self._readers = Readers()

    def stats(self) -> list[Stat]:
        """The figures of the source, read whole before any is given."""
        figures: list[Stat] = []
        if not self._readers.enter():
            return figures
        try:
            self._read_into(figures)
        except Exception as problem:  # a user's object, of any kind
            faults.report(self._place, problem)
        finally:
            self._readers.leave()
        return figures

    def typed_series(self) -> Iterator[TypedSeries]:
        """The same with what the source says of it: ``growing_fields`` and ``distribution``, where it has them."""
        figures = self.stats()
        growing, distribution = frozenset[str](), None
        try:
            growing = frozenset(getattr(self.source, "growing_fields", ()))
            distribution = getattr(self.source, "distribution", None)
        except Exception as problem:  # a user's object, of any kind
            faults.report(self._place, problem)
        if not isinstance(distribution, Distribution):
            distribution = None
        return (TypedSeries(row, growing, distribution) for row in grouped(figures))

    def _read_into(self, figures: list[Stat]) -> None:
        last: SeriesKey | None = None
        for key, field, value in self.source.stats():
            if key is not last:  # most sources give many fields of one key
                last, tagged = key, key.with_tag("scope", self._scope_name)
            figures.append(Stat(tagged, clean(field), float(value)))
