"""The waterfall as rows of a table, their pictures in per cent: what a browser shows without scripts.

The script of the page draws the same on a canvas, with the critical path and at any scale.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from monkit_core.formats.text import go_duration
from monkit_core.text import clip
from monkit_present.render.trace_layout import Layout, lay_out
from monkit_present.render.trace_words import CANCELLED, ERROR, ORPHAN, PANIC, RUNNING, Mark, failure, marks, took
from monkit_present.rows import SpanRow

__all__ = ["ICONS", "Waterfall", "WaterfallRow", "waterfall"]

ICONS: dict[Mark, tuple[str, str]] = {
    ERROR: ("err", "error"),
    CANCELLED: ("can", "cancelled"),
    PANIC: ("pan", "panic"),
    ORPHAN: ("orp", "orphan"),
    RUNNING: ("run", "unfinished"),
}
"""The drawn mark of each, and its word."""

_MOST_TICKS = 8
_MOST_GUIDES = 12
_THIN = 0.25  # per cent; below, a bar is drawn at its least width
_ERROR_NAME = 40


@dataclass(frozen=True, slots=True)
class WaterfallRow:
    """One span; lengths and places are per cent of the whole.

    Attributes:
        number: place in the trace.
        span: what it is.
        guides: lines before its name, one for each ancestor, twelve at most.
        depth: number of ancestors.
        marks: icon and words of each mark.
        css: classes of its bar.
        own_ns: own time.
        took: how long it took.
        x: where its bar begins.
        width: of its bar.
        thin: the bar is drawn at its least width.
        own: places and lengths of own time; none where it is unfinished.
        label: what stands beside the bar, empty if there is no room.
        label_right: it stands on the right.
    """

    number: int
    span: SpanRow
    guides: int
    depth: int
    marks: tuple[tuple[str, str], ...]
    css: str
    own_ns: int
    took: str
    x: float
    width: float
    thin: bool
    own: tuple[tuple[float, float], ...]
    label: str
    label_right: bool


@dataclass(frozen=True, slots=True)
class Waterfall:
    """A trace as a table.

    Attributes:
        length_ns: from the first start to the last end.
        ticks: places of the ruler in per cent, and the words there.
        rows: made as they are read.
    """

    length_ns: int
    ticks: tuple[tuple[float, str], ...]
    rows: Iterator[WaterfallRow]


def waterfall(spans: Sequence[SpanRow]) -> Waterfall:
    """Lay out a trace: parents before children."""
    layout = lay_out(spans)
    return Waterfall(layout.length_ns, tuple(_ticks(layout.length_ns)), _rows(spans, layout))


def _ticks(length_ns: int) -> Iterator[tuple[float, str]]:
    step = next(
        (step for power in range(20) for step in (10**power, 2 * 10**power, 5 * 10**power)
         if step * _MOST_TICKS >= length_ns), length_ns,
    )  # fmt: skip
    for ns in range(0, length_ns + 1, max(step, 1)):
        place = 100 * ns / max(length_ns, 1)
        if place < 96:  # what is further right would be cut
            yield place, go_duration(ns) if ns else "0"


def _rows(spans: Sequence[SpanRow], layout: Layout) -> Iterator[WaterfallRow]:
    scale = 100 / max(layout.length_ns, 1)
    for number, span in enumerate(spans):
        found = marks(span)
        x, end = layout.starts[number] * scale, layout.ends[number] * scale
        own = () if span.unfinished else tuple(_pieces(layout.own[number], scale))
        lasted, failed = took(span), failure(span)
        state = clip(span.error_name or failed.word, _ERROR_NAME) if failed else ""
        words = (lasted, state, "orphan" if span.orphaned else "", "running" if span.unfinished else "")
        label = " ".join(filter(None, words))
        yield WaterfallRow(
            number=number,
            span=span,
            guides=min(layout.depths[number], _MOST_GUIDES),
            depth=layout.depths[number],
            marks=tuple((ICONS[mark][0], f"{ICONS[mark][1]} {state}" if mark is failed else ICONS[mark][1])
                        for mark in found),
            css=" ".join(mark.css for mark in found if mark is not ORPHAN),
            own_ns=layout.own_ns(number),
            took=lasted,
            x=x,
            width=end - x,
            thin=end - x < _THIN,
            own=own,
            label=label if end < 86 or x > 14 else "",
            label_right=end < 86,
        )  # fmt: skip


def _pieces(own: Sequence[int], scale: float) -> Iterator[tuple[float, float]]:
    edges = iter(own)
    for begin, end in zip(edges, edges, strict=True):
        yield begin * scale, (end - begin) * scale
