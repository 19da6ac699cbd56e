"""The page of one kept trace: the waterfall, as a table that the viewer takes the place of."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from urllib.parse import quote

from monkit_core.clock import NS_PER_S
from monkit_core.recent import RecentTrace
from monkit_present.gather import recent_rows, running_rows, trace_rows
from monkit_present.pages import PageRequest
from monkit_present.parameters import quoted
from monkit_present.render import figures
from monkit_present.render.trace_words import CANCELLED, RUNNING, failure, tally, took
from monkit_present.render.waterfall import ICONS, waterfall
from monkit_present.responses import Problem
from monkit_present.rows import TraceRows
from monkit_present.views.frame import document, macro

__all__ = ["MOST_ROWS", "find_rows", "render"]

MOST_ROWS = 2_000
"""Spans that the table has at most; the viewer shows all of them."""

_ID = re.compile(r"[0-9a-f]{16}|[0-9a-f]{32}")
_NS_PER_MS = 1_000_000


def find_rows(request: PageRequest) -> TraceRows:
    """The captured, running or kept trace whose root has this id in 16 hex digits, or the newest of the trace in 32.

    Raises:
        Problem: there is none, or it is no such id.
    """
    name = request.values["trace"]
    if not _ID.fullmatch(name):
        raise Problem(404, f"no trace is called {quoted(name)}: expected 16 hex digits of its root, or 32 of its own")
    wanted, of_trace = int(name, 16), len(name) == 32
    capture = request.served.captures.find(wanted, of_trace=of_trace)
    if capture is not None:
        return trace_rows(capture)
    running = running_rows(request.served.registry, wanted, of_trace=of_trace)
    if running is not None:
        return running
    traces: list[RecentTrace] = request.served.registry.recent_traces()
    for kept in reversed(traces):
        if (kept.trace_id if of_trace else kept.records[0].id) == wanted:
            return recent_rows(kept)
    raise Problem(
        404,
        f"no trace {name} is kept: it may have been, but newer ones take the place of older ones; "
        "/traces lists what is kept",
    )


@dataclass(frozen=True, slots=True)
class Head:
    """What stands above the waterfall.

    Attributes:
        scope: of the call at the root.
        name: of its function.
        kind: the mark of its outcome, empty for a success.
        outcome: its error.
        trace_id: in 32 hex digits.
        at: local time of its start.
        spans: how many.
        took: how long the call took.
        counts: icon and words for each mark that occurs.
        dropped: spans that are not there.
    """

    scope: str
    name: str
    kind: str
    outcome: str
    trace_id: str
    at: str
    spans: int
    took: str
    counts: tuple[tuple[str, str], ...]
    dropped: int


def render(request: PageRequest) -> Iterator[str]:
    """The page.

    Raises:
        Problem: the trace is not kept.
    """
    name = request.values["trace"]
    rows = find_rows(request)
    found = waterfall(rows.spans)
    path = f"/traces/{quote(name, safe='')}"
    return document(
        request,
        "trace.html",
        request.page("/traces/{trace}"),
        f"Trace of {rows.spans[0].name}",
        path=path,
        address=path,
        head=_head(rows),
        left_out=max(len(rows.spans) - MOST_ROWS, 0),
        ticks=found.ticks,
        rows=map(macro("trace_parts.html", "row"), islice(found.rows, MOST_ROWS)),
    )


def _head(rows: TraceRows) -> Head:
    root = rows.spans[0]
    failed = failure(root)
    return Head(
        scope=root.scope,
        name=root.name,
        kind=ICONS[failed][0] if failed else "",
        outcome=(root.error_name or failed.word) if failed else "",
        trace_id=f"{rows.trace_id:032x}",
        at=_moment(root.start_ns + rows.wall_offset_ns),
        spans=len(rows.spans),
        took=took(root),
        counts=tuple(_counts(rows)),
        dropped=rows.dropped,
    )


def _counts(rows: TraceRows) -> Iterator[tuple[str, str]]:
    for mark, n in tally(rows.spans).items():
        if n:
            icon, word = ICONS[mark]
            yield icon, figures.counted(n, word, word if mark in (CANCELLED, RUNNING) else "")


def _moment(ns_since_1970: int) -> str:
    """The local time of day with milliseconds."""
    return f"{figures.time_of_day(ns_since_1970)}.{ns_since_1970 % NS_PER_S // _NS_PER_MS:03d}"
