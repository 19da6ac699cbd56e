"""Bars: what may not become dearer, and whether results keep below. Nothing here measures.

Calls are held as multiples of the do-nothing wrapper, which any machine can
compare; those with arguments as multiples of the wrapper without. Where a bar
is a time, a slower machine gets more: as much more as its do-nothing wrapper
takes longer than on the machine where the bars were drawn.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from benchmarks import graphs, memory, pages, pictures, primitives
from benchmarks.calls import MONKIT, PLACES, WATCHED, YARDSTICK
from benchmarks.figures import Result, Row, find_row

__all__ = ["BARS", "MARGIN", "REFERENCE_NS", "Bar", "Verdict", "slowness", "verdicts"]

MARGIN = 1.5
"""Room for the noise of a shared machine."""

REFERENCE_NS = 70
"""The do-nothing wrapper around a synchronous call, on the machine of the bars."""


@dataclass(frozen=True, slots=True)
class Bar:
    """One limit.

    Attributes:
        group: of the row that is held.
        name: of that row.
        limits: by engine; an engine that is not in it is not held.
        unit: of the limits; ``×`` with *against*, otherwise that of the row.
        against: group and name of the row whose minimum that of the row is divided by.
        scaled: a slower machine may take longer.
    """

    group: str
    name: str
    limits: Mapping[str, float]
    unit: str = "×"
    against: tuple[str, str] | None = None
    scaled: bool = False

    def found(self, rows: Sequence[Row]) -> float | None:
        """The figure that is held, ``None`` where it was not measured."""
        row = find_row(rows, self.group, self.name)
        if row is None or self.against is None:
            return None if row is None else row.minimum
        other = find_row(rows, *self.against)
        return None if other is None or other.minimum <= 0 else row.minimum / other.minimum


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a bar.

    Attributes:
        bar: the bar.
        found: the figure; ``None``: it was not measured, which misses the bar.
        limit: the bar.
        allowed: the same with margin, and with what a slower machine gets.
    """

    bar: Bar
    found: float | None
    limit: float
    allowed: float

    @property
    def name(self) -> str:
        """What tells its bar from others."""
        against = f" ÷ {self.bar.against[1]}" if self.bar.against else ""
        return f"{self.bar.group}: {self.bar.name}{against}"

    @property
    def met(self) -> bool:
        """Whether the bar is kept."""
        return self.found is not None and self.found <= self.allowed


_SYNC = {"native": 4.5, "pure": 16.0}
_ASYNC = {"native": 2.8, "pure": 11.0}
_ARGUMENTS = 1.3
_ALIKE = {"native": 1.3, "pure": 1.3}
_OPERATION_NS = {"native": 40.0, "pure": 450.0}
_OPERATIONS = ("counter inc", "int value observe", "float value observe", "duration value observe", "meter mark")
_PAGES_MS = {"/stats": {"native": 300.0, "pure": 500.0}, "/funcs/json": {"native": 300.0, "pure": 300.0}}
_PICTURE_MS = {"native": 150.0, "pure": 150.0}
_PICTURE_MB = {"native": 3.0, "pure": 3.0}
_LAYOUT_MS = {"native": 500.0, "pure": 500.0}
_GAP_MS = {"native": 10.0, "pure": 10.0}
_GROWTH_KB = {"native": 1_000.0, "pure": 1_000.0}  # flat: a byte a span
_MANY = 10_000


def _all() -> Iterator[Bar]:
    for kind, limits in (("sync", _SYNC), ("async", _ASYNC)):
        with_arguments = {engine: limit * _ARGUMENTS for engine, limit in limits.items()}
        for place in PLACES:
            group = f"{kind}, {place}"
            yardstick = (group, YARDSTICK)
            yield Bar(group, MONKIT, limits, against=yardstick)
            yield Bar(f"{kind}, three arguments, {place}", MONKIT, with_arguments, against=yardstick)
            yield Bar(group, WATCHED, _ALIKE, against=(group, MONKIT))
    for name in _OPERATIONS:
        yield Bar(primitives.WHOLE, name, _OPERATION_NS, "ns", scaled=True)
    for path in pages.PATHS:
        group = pages.group_of(path, _MANY)
        yield Bar(group, pages.RENDERED, _PAGES_MS[path], "ms", scaled=True)
        yield Bar(group, pages.GAP, _GAP_MS, "ms")
    for shape in pictures.SHAPES:
        group = pictures.group_of(shape, _MANY)
        yield Bar(group, pages.RENDERED, _PICTURE_MS, "ms", scaled=True)
        yield Bar(group, "size", _PICTURE_MB, "MB")
        yield Bar(group, pages.GAP, _GAP_MS, "ms")
    for shape in graphs.SHAPES:
        yield Bar(graphs.group_of(shape), graphs.LAID_OUT, _LAYOUT_MS, "ms", scaled=True)
    yield Bar(memory.GROUP, memory.WITHOUT_TRAFFIC, {"native": 2_500.0}, "bytes")
    yield Bar(memory.GROUP, memory.IN_USE, {"native": 6_000.0}, "bytes")
    yield Bar(memory.GROUP, memory.GROWTH, _GROWTH_KB, "kB")


BARS = tuple(_all())
"""Every bar."""


def slowness(rows: Sequence[Row]) -> float:
    """How many times slower the machine is than that of the bars, 1 if it is not."""
    yardstick = find_row(rows, f"sync, {PLACES[0]}", YARDSTICK)
    return 1.0 if yardstick is None else max(1.0, yardstick.minimum / REFERENCE_NS)


def verdicts(result: Result, bars: Sequence[Bar] = BARS, margin: float = MARGIN) -> list[Verdict]:
    """What became of each bar that holds the engine of *result*."""
    slower = slowness(result.rows)
    found = []
    for bar in bars:
        limit = bar.limits.get(result.engine)
        if limit is not None:
            allowed = limit * margin * (slower if bar.scaled else 1.0)
            found.append(Verdict(bar, bar.found(result.rows), limit, allowed))
    return found
