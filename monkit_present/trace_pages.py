"""The pages below ``/trace``: wait for the next match, then send its spans, or the id of its trace."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from itertools import islice

from monkit_core import Capture, watch_for_spans
from monkit_core.clock import NS_PER_S, wall_ns
from monkit_core.formats import otlp, perfetto, speedscope, trace_text, zipkin
from monkit_core.formats.spans import SLICE
from monkit_core.matches import watch_for_matches
from monkit_present.gather import traces_in_slices
from monkit_present.pages import HTML, JSON, Ending, Format, Page, PageRequest, Wait, Waiter
from monkit_present.parameters import BadQuery, Parameter, Text
from monkit_present.query import CAPTURE_PARAMETERS, MATCH_PARAMETERS, CaptureQuery, capture_query
from monkit_present.remote import MatchWaiter, Sampled, check_viz, viz_address
from monkit_present.render import figures, json, redirect, trace_svg
from monkit_present.responses import PLAIN_TEXT
from monkit_present.rows import TraceRows

__all__ = ["REMOTE", "TRACE", "Captured"]

Captured = Capture | tuple[Capture, ...]
"""What a wait for spans gives: the next match, or several."""

_LOW_63_BITS = (1 << 63) - 1
_TITLES = {"timeout": "Timed out", "closed": "The server was closed"}
_PICTURE = "svg"


def _said(ending: Ending) -> str:
    if ending.matched:
        return f"A call matched {ending.words} and still ran after {ending.waited_s:.0f} s."
    return f"No call matched {ending.words} in {ending.waited_s:.0f} s."


def _went_by(ending: Ending) -> list[str]:
    """Sentences on the calls that were looked at, none where there were none."""
    found, said = ending.went_by, []
    if found.calls:
        calls = figures.counted(found.calls, "call")
        said.append(f"{calls} ended otherwise, the longest after {figures.duration(found.longest_ns)}.")
    if found.passed_over:
        calls = figures.counted(found.passed_over, "call")
        said.append(f"{calls} could not be looked at, as too many ran at once.")
    return said


def _json_without(ending: Ending) -> bytes:
    return json.message(
        {
            ending.reason: True,
            "query": ending.words,
            "waited_s": round(ending.waited_s, 3),
            "matched": ending.matched,
            "ended_otherwise": ending.went_by.calls,
            "longest_ns": ending.went_by.longest_ns,
            "passed_over": ending.went_by.passed_over,
        }
    )


def _perfetto_without(ending: Ending) -> bytes:
    return b"]," + _json_without(ending).removeprefix(b"{")


def _svg_without(ending: Ending) -> str:
    return trace_svg.render_message(_TITLES[ending.reason], [_said(ending), *_went_by(ending)])


def _text_without(ending: Ending) -> str:
    line = " ".join([f"{_TITLES[ending.reason]}.", _said(ending), *_went_by(ending)])
    return "\n" + line.replace("\n", "\\n").replace("\t", "\\t") + "\n"


def _html_without(ending: Ending) -> str:
    return redirect.without(_TITLES[ending.reason], _said(ending))


def _next_spans(request: PageRequest) -> Wait[Captured]:
    registry = request.served.registry
    query = capture_query(request.values, registry)
    if query.count > 1 and request.format == _PICTURE:
        raise BadQuery(f"invalid count {query.count}: a picture shows one match; ask for /trace/json or a file")

    def watch() -> Waiter[Captured]:
        if query.accept is None and query.count == 1:
            return watch_for_spans(
                registry, query.matcher, max_spans=query.max_spans, funcs=query.funcs, traces=query.traces
            )
        return watch_for_matches(
            registry,
            query.matcher,
            accept=query.accept,
            count=query.count,
            max_spans=query.max_spans,
            funcs=query.funcs,
            traces=query.traces,
        )

    def caught(found: Captured) -> None:
        for capture in (found,) if isinstance(found, Capture) else found:
            request.served.captures.add(capture, query.words)

    return Wait(watch, query.words, query.timeout_s, _file_name(query), caught)


def _file_name(query: CaptureQuery) -> str:
    """The trace's id where it was asked for; else the time, as the name goes out before there is a match."""
    if query.trace_id is not None:
        return f"trace-{query.trace_id}"
    return f"trace-{datetime.fromtimestamp(wall_ns() // NS_PER_S, UTC):%Y%m%dT%H%M%SZ}"


def _sliced(
    write: Callable[[list[TraceRows]], Iterable[str | bytes]],
) -> Callable[[Captured], Iterator[str | bytes]]:
    """*write* of what was captured, in slices: others have a turn after some milliseconds of work."""

    def render(found: Captured) -> Iterator[str | bytes]:
        rows = yield from traces_in_slices((found,) if isinstance(found, Capture) else found)
        for number, piece in enumerate(write(rows), 1):
            yield piece
            if number % SLICE == 0:
                yield ""

    return render


TRACE: Page[Captured] = Page(
    "/trace",
    "waits for the next match, then its spans",
    _next_spans,
    (
        Format(
            _PICTURE,
            "image/svg+xml; charset=utf-8",
            _sliced(lambda traces: trace_svg.render_chunks(traces[0])),
            policy=trace_svg.CONTENT_SECURITY_POLICY,
            without=_svg_without,
        ),
        Format("json", JSON, _sliced(json.traces), without=_json_without),
        Format("text", PLAIN_TEXT, _sliced(trace_text.chunks), without=_text_without),
        Format(
            "perfetto",
            JSON,
            _sliced(lambda traces: islice(perfetto.chunks(traces), 1, None)),
            without=_perfetto_without,
            suffix=".perfetto.json",
            opening=perfetto.OPENING,
        ),
        Format("speedscope", JSON, _sliced(speedscope.chunks), without=_json_without, suffix=".speedscope.json"),
        Format("otlp", JSON, _sliced(otlp.chunks), without=_json_without, suffix=".otlp.json"),
        Format("zipkin", JSON, _sliced(zipkin.chunks), without=_json_without, suffix=".zipkin.json"),
    ),
    parameters=CAPTURE_PARAMETERS,
    waits=True,
    bare=False,
)


def _next_id(request: PageRequest) -> Wait[Sampled]:
    registry, viz = request.served.registry, request.values["viz"]
    query = capture_query(request.values, registry)
    if viz is not None:
        viz = check_viz(viz, request.served.viz_hosts)
    return Wait(lambda: MatchWaiter(registry, query, viz), query.words, query.timeout_s)


def _id_json(sampled: Sampled) -> Iterable[bytes]:
    fields = {"trace_id": sampled.trace_id & _LOW_63_BITS, "trace_id_hex": f"{sampled.trace_id:032x}"}
    return [json.message(fields)]


def _id_html(sampled: Sampled) -> Iterable[str]:
    return [redirect.redirect(viz_address(sampled.viz or "", sampled.trace_id), f"Trace {sampled.trace_id:032x}")]


REMOTE: Page[Sampled] = Page(
    "/trace/remote",
    "waits for the next match, marks its trace as sampled, then its id",
    _next_id,
    (
        Format("", JSON, _id_json, without=_json_without),
        Format("", HTML, _id_html, policy=redirect.CONTENT_SECURITY_POLICY, without=_html_without, beside="viz"),
    ),
    parameters=(
        *MATCH_PARAMETERS,
        Parameter(
            "viz",
            Text("address, its host one of viz_hosts="),
            "answer with a page that leads there: {trace_id} is filled in, or the id appended",
        ),
    ),
    waits=True,
)
