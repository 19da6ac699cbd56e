"""Traces to draw: a small one with everything in it, large ones of each shape, random ones."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from hypothesis import strategies as st

from monkit_core import Func, Registry
from monkit_core.recent import RecentTrace, SpanRecord, latency_class
from monkit_present.rows import SpanRow, TraceRows

START = 5_000_000_000
MS = 1_000_000
SHAPES = ("sequential", "deep", "concurrent", "bushy")
VECTORS = Path(__file__).parents[1] / "parity" / "vectors"


def trace(*spans: SpanRow, dropped: int = 0) -> TraceRows:
    """Make a trace of 24 November 2026, 14:02:11.407."""
    offset = 1_795_528_931_407_000_000 - START
    return TraceRows(0x4B1D09C3E77A2F10, spans, dropped, offset, "shop", 41873)


def span(number: int, parent: int | None, name: str, start_ms: float, took_ms: float, **more: object) -> SpanRow:
    """Make a span; of the dots in *name* the first ends the scope."""
    scope, _, short = name.partition(".")
    start = START + round(start_ms * MS)
    return SpanRow(number, parent, f"shop.{scope}", short, start, start + round(took_ms * MS), **more)  # type: ignore[arg-type]


def small_trace() -> TraceRows:
    """Make a trace with each kind of mark in it."""
    return trace(
        span(1, None, "orders.Orders.handle", 0, 412.6, args=("method='POST'", "path='/orders'")),
        span(2, 1, "auth.verify_token", 1.1, 8.3, annotations=(("alg", "ES256"),)),
        span(3, 2, "cache.get", 1.6, 0.8, args=("key='jwks'",)),
        span(4, 2, "db.query", 2.9, 5.9),
        span(5, 1, "orders.Orders.create", 12.6, 385.4),
        span(6, 5, "inventory.reserve", 13.4, 58.5),
        span(7, 6, "db.transaction", 14.2, 56.6),
        span(8, 7, "db.Pool.acquire", 14.3, 17.3),
        span(9, 7, "db.query", 32.0, 38.1),
        span(10, 5, "cache.warm", 72, 29.4),
        span(11, 10, "cache.fill", 90, 100.1, orphaned=True),
        span(12, 5, "recommend.similar", 73, 77, error_name="Canceled", error="budget spent"),
        span(13, 5, "payments.charge", 162, 169.7),
        span(14, 13, "payments.Gateway.post", 163, 100.3, error_name="Timeout", error="read timed out\nafter 100 ms"),
        span(15, 14, "http.request", 163.5, 99.7, error_name="Timeout", error="read timed out"),
        span(16, 13, "payments.Gateway.post", 280, 49.4),
        span(17, 5, "loyalty.award", 392, 3.8, error_name="SystemExit", error="3", panicked=True),
        span(18, 1, "audit.write", 383, 29.6, unfinished=True, orphaned=True),
        span(19, 1, "mail.send_confirmation", 398.2, 14.4, unfinished=True),
        span(20, 19, "mail.render", 399, 8.1),
    )


def large_trace(shape: str, count: int) -> TraceRows:
    """Make a trace of *count* spans: one after the other, nested, side by side, or a mixture."""
    makers = {"sequential": _sequential, "deep": _deep, "concurrent": _concurrent, "bushy": _bushy}
    names = ("db.query", "cache.get", "orders.Orders.create", "http.request")
    spans = (
        span(number, parent, names[number % 4], start_us / 1000, took_us / 1000)
        for number, parent, start_us, took_us in makers[shape](count)
    )
    return trace(*spans)


def _sequential(count: int) -> Iterator[tuple[int, int | None, float, float]]:
    yield 1, None, 0, count * 10
    for i in range(1, count):
        yield i + 1, 1, i * 10, 8


def _deep(count: int) -> Iterator[tuple[int, int | None, float, float]]:
    for i in range(count):
        yield i + 1, i or None, i * 10, (count - i) * 20


def _concurrent(count: int) -> Iterator[tuple[int, int | None, float, float]]:
    yield 1, None, 0, count * 20
    for i in range(1, count):
        yield i + 1, 1, i, count * 10


def _bushy(count: int) -> Iterator[tuple[int, int | None, float, float]]:
    """Three workers that take tasks in turn; each task makes four calls, some of which fetch."""
    yield 1, None, 0, count // 7 * 300 + 1_000
    number, tasks = 1, 0
    while number + 7 <= count:
        task, start = number + 1, tasks * 300 + 10
        yield task, 1, start, 890
        for call in range(4):
            yield task + 1 + call, task, start + 20 + call * 210, 190
        yield task + 5, task + 4, start + 670, 30
        yield task + 6, task + 4, start + 710, 90
        number, tasks = number + 7, tasks + 1
    for rest in range(number + 1, count + 1):
        yield rest, 1, tasks * 300, 10


def vector_traces() -> Iterator[tuple[str, TraceRows]]:
    """Read the layout cases of the original; only the spans, as ours are drawn otherwise."""
    for case in json.loads((VECTORS / "trace_layout.json").read_text("utf-8")):
        rows = sorted(case.get("spans") or (), key=lambda row: (row["start_us"], row["id"]))
        yield (
            case["name"],
            trace(
                *(
                    span(
                        *(row["id"], row.get("parent"), f"pkg.{row['func']}"),
                        *(row["start_us"] / 1000, (row["finish_us"] - row["start_us"]) / 1000),
                    )
                    for row in rows
                )
            ),
        )


NASTY = st.sampled_from(
    [
        *(
            "",
            ".",
            "a.b",
            "]]>",
            "-->",
            "<!--",
            "<script>alert(1)</script>",
            "</title></svg>",
            "&amp;",
            "&#0;",
            "<![CDATA[",
        ),
        *(
            "'\"",
            "\n",
            "\t\r",
            "\x00\x1b\x7f",
            "\ud800",
            "\udfff\ud800",
            "\ufffe\uffff",
            "\u202e",
            "宽" * 90,
            "x" * 5000,
        ),
    ]
)
PLAIN = st.just("f")
HOSTILE = NASTY | st.text(st.characters(exclude_categories=()), max_size=20)


@st.composite
def random_spans(draw: st.DrawFn, texts: st.SearchStrategy[str] = PLAIN) -> tuple[SpanRow, ...]:
    """Draw spans whose times respect nothing: children outlive parents, start before them, take no time."""
    spans: list[SpanRow] = []
    length = draw(st.sampled_from((0, 6, 40, 10**12)))
    for number in range(1, draw(st.integers(0, 24)) + 1):
        start = draw(st.integers(0, length))
        spans.append(
            SpanRow(
                id=number,
                parent_id=draw(st.none() | st.integers(1, number + 1)),  # also itself, also one to come
                scope=draw(texts),
                name=draw(texts),
                start_ns=START + start,
                finish_ns=START + draw(st.integers(start, length)),
                unfinished=draw(st.booleans()),
                orphaned=draw(st.booleans()),
                error_name=draw(st.none() | st.just("Canceled") | texts),
                error=draw(texts),
                panicked=draw(st.booleans()),
                args=tuple(draw(st.lists(texts, max_size=2))),
                annotations=tuple(draw(st.lists(st.tuples(texts, texts), max_size=2))),
            )
        )
    return tuple(spans)


class KeptTraces(Registry):
    """A registry that has kept these traces, the oldest first, whatever is in them."""

    def __init__(self, *traces: TraceRows) -> None:
        super().__init__()
        self.kept = [self._tree(rows) for rows in traces]

    def recent_traces(self, func: Func | None = None) -> list[RecentTrace]:
        return [tree for tree in self.kept if func in (None, tree.func)]

    def _tree(self, rows: TraceRows) -> RecentTrace:
        records = tuple(
            SpanRecord(
                *(self.scope(row.scope).func(row.name), row.id, row.parent_id, row.start_ns, row.finish_ns),
                *(row.error_name, row.panicked, row.orphaned, row.args, row.annotations),
            )
            for row in rows.spans
        )
        kind = records[0].error_name or latency_class(rows.spans[0].duration_ns)
        return RecentTrace(records[0].func, rows.trace_id, kind, records, rows.dropped)
