"""The words of a trace picture: marks, totals, details of a span.

What a span ended with is told by a class for the style, a sign and a word, all
from one table. Text comes out of here cut to length and, where it says so,
already escaped.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from monkit_core.errors import CANCELED
from monkit_core.text import clip
from monkit_present.render.figures import count, counted, duration
from monkit_present.render.svg_text import escape
from monkit_present.rows import SpanRow, TraceRows

_DETAIL = 200
_DETAILS = 20
_SHORT_DETAIL = 60
_ERROR_NAME = 40
_UNIX_EPOCH = datetime(1970, 1, 1)  # UTC, left unsaid so that it is not printed as +00:00


@dataclass(frozen=True, slots=True)
class Mark:
    """A way a span can stand out.

    Attributes:
        css: class of its group in the drawing.
        sign: drawn before the name of the error, may be empty.
        word: what it is called.
    """

    css: str
    sign: str
    word: str


ERROR = Mark("e", "✕", "error")
CANCELLED = Mark("k", "⊘", "cancelled")
PANIC = Mark("p", "▲", "panic")
ORPHAN = Mark("h", "", "orphan")
RUNNING = Mark("u", "»", "still running")
MARKS = (ERROR, CANCELLED, PANIC, ORPHAN, RUNNING)
"""In the order of the totals and the legend."""


def failure(span: SpanRow) -> Mark | None:
    """Say how a span failed, ``None`` if it did not."""
    if span.panicked:
        return PANIC
    if span.error_name is None:
        return None
    return CANCELLED if span.error_name == CANCELED else ERROR


def marks(span: SpanRow) -> tuple[Mark, ...]:
    """List the marks of a span in the order of the style's classes: failure, running, orphan."""
    if span.error_name is None and not (span.panicked or span.unfinished or span.orphaned):
        return ()
    failed = failure(span)
    found = (failed, RUNNING if span.unfinished else None, ORPHAN if span.orphaned else None)
    return tuple(mark for mark in found if mark)


def tally(spans: Sequence[SpanRow]) -> dict[Mark, int]:
    """Count the spans under each mark; marks that do not occur count 0."""
    counts = dict.fromkeys(MARKS, 0)
    for span in spans:
        for mark in marks(span):
            counts[mark] += 1
    return counts


def took(span: SpanRow) -> str:
    """Write how long a span took; a plus says that it still runs."""
    text = duration(max(span.finish_ns - span.start_ns, 0))
    return text + "+" if span.unfinished else text


def outcome(span: SpanRow) -> str:
    """Say in a few characters what stands out: ``✕ Timeout orphan``. Not escaped."""
    found = []
    failed = failure(span)
    if failed:
        name = clip(span.error_name or failed.word, _ERROR_NAME)
        found.append(f"{failed.sign} {name}")
    if span.orphaned:
        found.append(ORPHAN.word)
    if span.unfinished:
        found.append(RUNNING.sign)
    return " ".join(found)


def trace_id(value: int) -> str:
    """Write a trace id as 32 hex digits, as 16 if the upper half is zero."""
    return f"{value:032x}" if value >> 64 else f"{value:016x}"


def totals(trace: TraceRows, counts: dict[Mark, int]) -> str:
    """Sum up a trace in a line: spans, dropped, and each mark that occurs."""
    dropped = f"{count(trace.dropped)} more dropped at the cap" if trace.dropped else "none dropped"
    parts = [f"{counted(len(trace.spans), 'span')}, {dropped}"]
    for mark, n in counts.items():
        if not n:
            continue
        if mark is RUNNING:
            parts.append(f"» {count(n)} still running at capture")
        else:
            plural = mark.word if mark is CANCELLED else ""
            parts.append(f"{mark.sign} {counted(n, mark.word, plural)}".lstrip())
    return " · ".join(parts)


def origin(trace: TraceRows, start_ns: int, packed: bool) -> str:
    """Say in a line which trace this is, from when and from where. Escaped."""
    parts = [f"trace {trace_id(trace.trace_id)}"]
    try:
        moment = _UNIX_EPOCH + timedelta(milliseconds=(start_ns + trace.wall_offset_ns) // 1_000_000)
    except OverflowError:
        pass  # no calendar holds it; the rest of the line still helps
    else:
        parts.append(moment.isoformat(" ", "milliseconds") + " UTC")
    process = [escape(clip(trace.process, 60))] if trace.process else []
    if trace.pid:
        process.append(f"pid {trace.pid}")
    if process:
        parts.append(", ".join(process))
    if packed:
        parts.append("calls that do not overlap share a row")
    return " · ".join(parts)


def full_name(span: SpanRow, limit: int = _DETAIL) -> str:
    """Write scope and name, escaped."""
    return escape(clip(span.full_name if span.scope else span.name, limit))


def details(span: SpanRow, start_ns: int, own_ns: int) -> str:
    """Tell all about a span, in lines. Escaped.

    Args:
        span: the span.
        start_ns: since the start of the trace.
        own_ns: its own time.
    """
    facts = [f"took {took(span)}", f"own {duration(own_ns)}", f"start +{duration(start_ns)}"]
    failed = failure(span)
    if failed:
        facts.append(f"{failed.word} {escape(clip(span.error_name or '', _DETAIL))}".rstrip())
    facts += [mark.word for mark in (ORPHAN, RUNNING) if mark in marks(span)]
    lines = [full_name(span), ", ".join(facts)]
    if span.error:
        lines.append(escape(clip(span.error, _DETAIL)))
    lines += _listed(span.args, "arguments")
    lines += _listed(
        [f"{clip(key, _DETAIL)}: {clip(value, _DETAIL)}" for key, value in span.annotations], "annotations"
    )
    return "\n".join(lines)


def _listed(texts: Sequence[str], what: str) -> Iterator[str]:
    for text in texts[:_DETAILS]:
        yield escape(clip(text, _DETAIL))
    if len(texts) > _DETAILS:
        yield f"and {count(len(texts) - _DETAILS)} more {what}"


def short_details(span: SpanRow) -> str:
    """Tell of a span what fits where thousands are drawn: the lines after name and time.

    Escaped, each with a line break before it; empty for most spans.
    """
    text = ""
    if span.error:
        text = "\n" + escape(clip(span.error, _SHORT_DETAIL))
    if span.args or span.annotations:
        shown = [clip(arg, _SHORT_DETAIL) for arg in span.args[:_DETAILS]]
        shown += [f"{clip(k, _SHORT_DETAIL)}: {clip(v, _SHORT_DETAIL)}" for k, v in span.annotations[:_DETAILS]]
        text += "\n" + escape(clip(" ".join(shown), _SHORT_DETAIL))
    return text
