"""The overview: how the process does, on one page."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from heapq import nlargest
from itertools import islice
from urllib.parse import quote

from monkit_core import Func
from monkit_core.clock import NS_PER_S, monotonic_ns, wall_offset_ns
from monkit_core.environment.process import process
from monkit_present.gather import live_rows, process_name
from monkit_present.history import Sample
from monkit_present.pages import Blocks, PageRequest
from monkit_present.render import curves, figures
from monkit_present.rows import SpanRow
from monkit_present.views.frame import document, macro
from monkit_present.views.functions import address
from monkit_present.views.kept_traces import kept_rows, notable
from monkit_present.views.times import CallFigures, call_figures

__all__ = ["blocks", "render"]

_ROWS = 9
_RUNNING = 6
_TRACES = 8
_LOOKED_AT = 1_000
_RATE_SAMPLES = 12
_MANY_SPANS = 5_000


@dataclass(frozen=True, slots=True)
class FuncLine:
    """A function with its figures, its page and its small histogram."""

    func: Func
    path: str
    figures: CallFigures
    columns: curves.Columns | None
    percent: float = 0.0


@dataclass(frozen=True, slots=True)
class Key:
    """A key figure: name, value, unit, curve."""

    name: str
    value: str
    unit: str
    curve: curves.Curve | None


@dataclass(frozen=True, slots=True)
class Running:
    """A span that runs, when it began (milliseconds since 1970) and the page of its function."""

    span: SpanRow
    since_ms: int
    path: str


def render(request: PageRequest) -> Iterator[str]:
    """The page."""
    up_s = dict(process()).get("uptime", 0.0)
    return document(
        request,
        "overview.html",
        request.page("/"),
        "Overview",
        began=time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(time.time() - up_s)),
        name=process_name(),
        **blocks(request),
    )


def blocks(request: PageRequest) -> Blocks:
    """The parts that change."""
    lines = _lines(request)
    total_ns = sum(line.figures.total_ns for line in lines)

    def part(name: str, *arguments: object) -> str:
        return macro("overview_parts.html", name)(request.root, *arguments)

    traces = islice(notable(reversed(request.served.registry.recent_traces())), _TRACES)
    slowest = _most(lines, lambda line: line.figures.quantiles_ns[-1] if line.figures.calls else -1)
    return {
        "keys": part("keys", _keys(request)),
        "slowest": part("slowest", [line for line in slowest if line.figures.calls], len(lines)),
        "failing": part(
            "failing", [line for line in _most(lines, lambda line: line.figures.failures) if line.figures.failures]
        ),
        "busiest": part("busiest", _shares(_most(lines, lambda line: line.figures.total_ns), total_ns)),
        "running": part("running", *_running(request)),
        "kept": part("kept", kept_rows(traces, wall_offset_ns())),
    }


def _lines(request: PageRequest) -> list[FuncLine]:
    """The functions with the most calls."""
    kept = request.served.kept
    counted = ((sum(func.callers.values()), func) for func in request.served.registry.funcs())
    lines = []
    for calls, func in nlargest(_LOOKED_AT, counted, key=lambda item: item[0]):
        made_of = (calls, func.current, sum(func.errors.values()), func.panics)
        lines.append(kept.value(f"line-{func.id:016x}", made_of, partial(_line, func)))
    return lines


def _line(func: Func) -> FuncLine:
    found = call_figures(func)
    return FuncLine(
        func, address(func), found, curves.columns(found.bins, (found.quantiles_ns[0], found.quantiles_ns[2]))
    )


def _most(lines: list[FuncLine], key: Callable[[FuncLine], float]) -> list[FuncLine]:
    return nlargest(_ROWS, lines, key=key)


def _shares(lines: list[FuncLine], total_ns: float) -> list[FuncLine]:
    return [
        FuncLine(line.func, line.path, line.figures, None, 100 * line.figures.total_ns / max(total_ns, 1))
        for line in lines
        if line.figures.calls
    ]


def _keys(request: PageRequest) -> list[Key]:
    history = request.served.history
    calls, failures = history.calls(), history.failures()
    recent_calls, recent_failures = sum(calls[-_RATE_SAMPLES:]), sum(failures[-_RATE_SAMPLES:])
    keys = [
        Key("Calls a second", figures.rate(history.rate()), "", curves.curve(calls)),
        Key(
            "Errors, last minute",
            figures.percent(recent_failures / recent_calls) if recent_calls else figures.NO_VALUE,
            "%" if recent_calls else "",
            curves.curve(failures),
        ),
        Key(
            "Running now",
            figures.count(sum(func.current for func in request.served.registry.funcs())),
            "",
            curves.curve([sample.running for sample in history.samples]),
        ),
        _share("CPU", history.shares(lambda sample: sample.cpu_ns)),
    ]
    samples = history.samples
    if samples and samples[-1].resident:
        value, unit = figures.binary_bytes(samples[-1].resident)
        keys.append(Key("Memory", value, unit, curves.curve([sample.resident for sample in samples])))
    if request.served.own_thread:
        keys.append(_share("Cost of this server", history.shares(_port_ns)))
    return keys


def _port_ns(sample: Sample) -> int:
    return sample.port_ns


def _share(name: str, shares: list[float]) -> Key:
    if not shares:
        return Key(name, figures.NO_VALUE, "", None)
    return Key(name, figures.percent(shares[-1]), "% of a core", curves.curve(shares))


def _running(request: PageRequest) -> tuple[list[Running], int]:
    """The spans that have run longest, and how many run."""
    registry = request.served.registry
    count = sum(func.current for func in registry.funcs())
    if count > _MANY_SPANS:  # roots are the longest of their trees, and looking at all would take too long
        oldest = sorted(registry.root_spans(), key=lambda span: span.start_ns)[:_RUNNING]
        now_ns = monotonic_ns()
        spans = [
            SpanRow(span.id, None, span.func.scope_name, span.func.short_name, span.start_ns, now_ns, args=span.args)
            for span in oldest
        ]
    else:
        rows = sorted((row.span for row in live_rows(registry)), key=lambda span: span.start_ns)
        spans = [span for span in rows if span.duration_ns >= NS_PER_S // 10][:_RUNNING]
    return [
        Running(span, (span.start_ns + wall_offset_ns()) // 1_000_000, f"/funcs/{quote(span.full_name, safe='')}")
        for span in spans
    ], count
