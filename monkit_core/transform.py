"""Transformers: what stands between figures and who reads them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol

from monkit_core.series import SeriesKey, Stat

__all__ = ["DeltaTransformer", "Transformer", "transformed"]


class Transformer(Protocol):
    """Rewrites a stream of figures: adds some, leaves some out, gives other names or values."""

    def transform(self, stats: Iterable[Stat]) -> Iterable[Stat]:
        """The figures of one reading, in their order."""
        ...


def transformed(stats: Iterable[Stat], transformers: Iterable[Transformer]) -> Iterable[Stat]:
    """*stats* as they come out of *transformers*; the one given last sees them first."""
    for transformer in reversed(tuple(transformers)):
        stats = transformer.transform(stats)
    return stats


class DeltaTransformer:
    """Adds a field ``delta`` after each ``total``: how much it grew since this consumer's last reading.

    A series gets none the first time it is seen. What is remembered are the
    series of the last reading, so each consumer needs a transformer of its own,
    and memory is that of the series there are.

    Follows ``DeltaTransformer`` of the original, which forgets no series.
    """

    def __init__(self) -> None:
        self._totals: dict[SeriesKey, float] = {}

    def transform(self, stats: Iterable[Stat]) -> Iterator[Stat]:
        """See `Transformer`."""
        before, now = self._totals, dict[SeriesKey, float]()
        for stat in stats:
            yield stat
            if stat.field == "total":
                last = now.get(stat.key, before.get(stat.key))
                now[stat.key] = stat.value
                if last is not None:
                    yield Stat(stat.key, "delta", stat.value - last)
        self._totals = now
