"""Kept traces: what there is of each function, by how long calls took and by error."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from monkit_core import Func
from monkit_core.clock import wall_offset_ns
from monkit_core.formats.text import one_line
from monkit_core.recent import LATENCY_CLASSES, RecentTrace
from monkit_present.pages import PageRequest
from monkit_present.render import figures
from monkit_present.views.frame import document
from monkit_present.views.functions import address
from monkit_present.views.kept_traces import CLASSES, kept_rows, notable, why_kept
from monkit_present.views.times import spelled

__all__ = ["fields", "find_traces", "lines", "render"]


@dataclass(slots=True)
class Line:
    """What is kept of one function.

    Attributes:
        func: the function.
        path: of its page.
        classes: by latency class, how many and the page of the newest.
        failed: the same of errors, by mark and name.
    """

    func: Func
    path: str
    classes: list[tuple[int, str]] = field(default_factory=lambda: [(0, "")] * LATENCY_CLASSES)
    failed: dict[tuple[str, str], tuple[int, str]] = field(default_factory=dict)


def find_traces(request: PageRequest) -> list[RecentTrace]:
    """What is kept, the newest first."""
    return request.served.registry.recent_traces()[::-1]


def render(request: PageRequest) -> Iterator[str]:
    """The page."""
    traces = find_traces(request)
    return document(
        request,
        "traces.html",
        request.page("/traces"),
        "Traces",
        classes=CLASSES,
        table=_table(traces),
        rows=kept_rows(notable(traces), wall_offset_ns()),
        count=len(traces),
        records=request.served.registry.live.recent is not None,
    )


def _table(traces: Iterable[RecentTrace]) -> list[Line]:
    """A line for each function, in the order of their names; *traces* have the newest first."""
    found: dict[Func, Line] = {}
    for trace in traces:
        line = found.setdefault(trace.func, Line(trace.func, address(trace.func)))
        path = f"/traces/{trace.records[0].id:016x}"
        if isinstance(trace.kind, int):
            count, newest = line.classes[trace.kind]
            line.classes[trace.kind] = (count + 1, newest or path)
        else:
            count, newest = line.failed.get(why_kept(trace), (0, ""))
            line.failed[why_kept(trace)] = (count + 1, newest or path)
    return sorted(found.values(), key=lambda line: (line.func.full_name, line.func.tags))


def fields(trace: RecentTrace, offset_ns: int) -> dict[str, Any]:
    """What JSON says of a kept trace."""
    root = trace.records[0]
    _, why = why_kept(trace)
    return {
        "id_hex": f"{root.id:016x}",
        "trace": {"id_hex": f"{trace.trace_id:032x}"},
        "func": {"package": trace.func.scope_name, "name": trace.func.short_name, "tags": dict(trace.func.tags)},
        "start": root.start_ns + offset_ns,
        "finish": root.finish_ns + offset_ns,
        "class" if isinstance(trace.kind, int) else "error_name": why,
        "panicked": root.panicked,
        "args": root.args,
        "spans": len(trace.records),
        **({"dropped": trace.dropped} if trace.dropped else {}),
    }


def lines(traces: Iterable[RecentTrace]) -> Iterator[str]:
    """The same as text, a line each: id, when it ended, how long it took, spans, class or error, function."""
    offset_ns = wall_offset_ns()
    for trace in traces:
        root = trace.records[0]
        _, why = why_kept(trace)
        took = figures.duration(root.finish_ns - root.start_ns)
        at = figures.time_of_day(root.finish_ns + offset_ns)
        words = f"{figures.counted(len(trace.records), 'span')}"
        yield f"{root.id:016x} {at} {took:>8} {words:>11}  {one_line(why):<14} {one_line(spelled(trace.func))}\n"
