"""Statistics: every series, searched, charted while one looks, and as differences since a mark."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from monkit_core.series import Series, SeriesKey
from monkit_present.pages import Blocks, PageRequest
from monkit_present.render import figures
from monkit_present.stats_page import read_series
from monkit_present.views.frame import document, macro

__all__ = ["MOST_ROWS", "blocks", "render"]

MOST_ROWS = 1_000
"""Figures that the page has at most."""


@dataclass(frozen=True, slots=True)
class Row:
    """A figure.

    Attributes:
        id: of its element, from the text of series and field.
        key: the series.
        field: of it.
        value: the number.
        words: the number as people read it.
    """

    id: str
    key: SeriesKey
    field: str
    value: float
    words: str


@dataclass(frozen=True, slots=True)
class Found:
    """What the page shows: rows, and how many series and figures there are of which."""

    rows: list[Row]
    series: int
    figures: int


def render(request: PageRequest) -> Iterator[str]:
    """The page."""
    found = _found(request)
    mark = request.served.marks.latest
    return document(
        request,
        "stats.html",
        request.page("/stats"),
        "Stats",
        summary=_summary(found),
        rows=[(row.id, _row(row)) for row in found.rows],
        regex=request.values["regex"] or "",
        since=request.values["since"] or "",
        mark="" if mark is None else figures.time_of_day(mark.made_ns),
    )


def blocks(request: PageRequest) -> Blocks:
    """The parts that change."""
    found = _found(request)
    return {"summary": _summary(found), **{row.id: _row(row) for row in found.rows}}


def _found(request: PageRequest) -> Found:
    rows: list[Row] = []
    series = count = 0
    for key, fields, values in _matching(request):
        series += 1
        count += len(fields)
        for field, value in zip(fields, values, strict=True):
            if len(rows) < MOST_ROWS:
                rows.append(Row(_id(key, field), key, field, value, _words(value)))
    return Found(rows, series, count)


def _matching(request: PageRequest) -> Iterable[Series]:
    return read_series(request)


def _id(key: SeriesKey, field: str) -> str:
    digest = hashlib.blake2b(f"{key}\0{field}".encode(), digest_size=8)
    return f"s-{digest.hexdigest()}"


def _words(value: float) -> str:
    if not math.isfinite(value):
        return figures.NO_VALUE
    return f"{value:,.0f}" if value == int(value) and abs(value) < 2**53 else f"{value:.6g}"


def _summary(found: Found) -> str:
    words = f"{figures.counted(found.series, 'series', 'series')}, {figures.counted(found.figures, 'figure')}"
    if found.figures > MOST_ROWS:
        words += f" · the first {MOST_ROWS:,} are shown; search for the others"
    return macro("stats_parts.html", "summary")(words)


def _row(row: Row) -> str:
    return macro("stats_parts.html", "row")(row)
