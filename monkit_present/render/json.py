"""JSON, field for field as the original has it; what ours adds stands in further fields.

Every list is written an item a line, so that it can be read, cut and compared
with line tools.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from typing import Any

import orjson

from monkit_core import Stat
from monkit_core.formats.functions import QUANTILES, FuncRow, TimesRow
from monkit_core.series import Series, grouped
from monkit_present.rows import LiveRow, SpanRow, TraceRows

__all__ = ["funcs", "lines", "message", "ps", "series", "stats", "trace", "traces"]

_LOW_63_BITS = (1 << 63) - 1
_QUANTILE_NAMES = tuple(f"{fraction:.2f}" for fraction in QUANTILES)


def lines(items: Iterable[Any]) -> Iterator[bytes]:
    """A list, an item a line."""
    before = b"["
    for item in items:
        yield before + b"\n " + orjson.dumps(item)
        before = b","
    yield b"[]\n" if before == b"[" else b"]\n"


def ps(rows: Iterable[LiveRow], wall_offset_ns: int) -> Iterator[bytes]:
    """Spans that run now, parents before children."""
    return lines(
        {
            **_head(row.span, row.trace_id, wall_offset_ns),
            "elapsed": row.span.duration_ns,
            "orphaned": row.span.orphaned,
            "args": row.span.args,
            "annotations": row.span.annotations,
            **({} if row.span.progress is None else {"progress": asdict(row.span.progress)}),
            **_whole_ids(row.span),
        }
        for row in rows
    )


def trace(rows: TraceRows) -> Iterator[bytes]:
    """The spans of a capture. When spans were dropped, the first says how many."""
    return lines(_trace_items(rows))


def traces(found: Sequence[TraceRows]) -> Iterator[bytes]:
    """The spans of captures, one capture after the other. Where there are several, each span says of which it is."""
    if len(found) == 1:
        return trace(found[0])
    return lines({**item, "match": number} for number, rows in enumerate(found, 1) for item in _trace_items(rows))


def _trace_items(rows: TraceRows) -> Iterator[dict[str, Any]]:
    dropped = {"dropped": rows.dropped} if rows.dropped else {}
    for span in rows.spans:
        yield {
            **_head(span, rows.trace_id, rows.wall_offset_ns),
            "finish": None if span.unfinished else span.finish_ns + rows.wall_offset_ns,
            "orphaned": span.orphaned,
            "err": span.error,
            "panicked": span.panicked,
            "args": span.args,
            "annotations": span.annotations,
            **({"unfinished": True, "elapsed": span.duration_ns} if span.unfinished else {}),
            **({"error_name": span.error_name} if span.error_name is not None else {}),
            **_whole_ids(span),
            **dropped,
        }
        dropped = {}


def _head(span: SpanRow, trace_id: int, wall_offset_ns: int) -> dict[str, Any]:
    return {
        "id": span.id,
        **({} if span.parent_id is None else {"parent_id": span.parent_id}),
        "func": {"package": span.scope, "name": span.name},
        "trace": {"id": trace_id & _LOW_63_BITS, "id_hex": f"{trace_id:032x}"},
        "start": span.start_ns + wall_offset_ns,
    }


def _whole_ids(span: SpanRow) -> dict[str, str]:
    """Ids as text, which scripts in a browser can trust."""
    ids = {"id_hex": f"{span.id:016x}"}
    if span.parent_id is not None:
        ids["parent_id_hex"] = f"{span.parent_id:016x}"
    return ids


def funcs(rows: Iterable[FuncRow]) -> Iterator[bytes]:
    """Every function."""
    return lines(
        {
            "id": row.id,
            "parent_ids": row.parent_ids or None,
            "package": row.scope,
            "name": row.name,
            "current": row.current,
            "highwater": row.highwater,
            "success": row.successes,
            "panics": row.panics,
            "entry": row.entry,
            "errors": dict(row.errors),
            "success_times": _times(row.success_times),
            "failure_times": _times(row.failure_times),
            "id_hex": f"{row.id:016x}",
            "parent_ids_hex": [f"{parent:016x}" for parent in row.parent_ids],
            "tags": dict(row.tags),
        }
        for row in rows
    )


def _times(times: TimesRow) -> dict[str, Any]:
    return {
        "average": times.full_average,
        "reservoir_average": times.reservoir_average,
        "full_average": times.full_average,
        "max": times.high,
        "min": times.low,
        "recent": times.recent,
        "quantiles": dict(zip(_QUANTILE_NAMES, times.quantiles, strict=True)),
    }


def stats(rows: Iterable[Stat]) -> Iterator[bytes]:
    """Every figure as measurement, tags, field, number; ``null`` where there is no number."""
    return series(grouped(rows))


def series(rows: Iterable[Series]) -> Iterator[bytes]:
    """Every series, the figures of one a piece: measurement, tags, field, number; ``null`` where there is none."""
    forms: dict[tuple[str, ...], bytes] = {}
    before = b"["
    for key, fields, values in rows:
        form = forms.get(fields)
        if form is None:
            form = forms[fields] = _form(fields)
        numbers = orjson.dumps(values)[1:-1].split(b",")
        head = orjson.dumps((key.measurement, dict(key.tags)))[1:-1]
        yield before + (form % tuple(numbers)).replace(_HEAD, head)
        before = b","
    yield b"[]\n" if before == b"[" else b"]\n"


_HEAD = b"\0"  # stands for measurement and tags; JSON spells it out where it is in a text


def _form(fields: tuple[str, ...]) -> bytes:
    names = [orjson.dumps(field).replace(b"%", b"%%") for field in fields]
    return b",".join(b"\n [%b,%b,%%b]" % (_HEAD, name) for name in names)


def message(fields: dict[str, Any]) -> bytes:
    """One object, for an answer that is no list."""
    return orjson.dumps(fields) + b"\n"
