"""Collecting: gather the spans of one trace; wait for the next one that matches."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import overload

from monkit_core.clock import monotonic_ns
from monkit_core.errors import error_text
from monkit_core.registry import Registry
from monkit_core.span import FuncFilter, Span, TraceFilter, current_span
from monkit_core.waiting import Waiter

__all__ = [
    "MAX_SPANS", "Capture", "FinishedSpan", "SpanCollector", "SpanWaiter", "collect_spans", "find_span",
    "watch_for_spans",
]  # fmt: skip

MAX_SPANS = 10_000

Matcher = Callable[[Span], bool]


@dataclass(frozen=True, slots=True)
class FinishedSpan:
    """A span as it was collected.

    Attributes:
        span: the span; its name, ids, arguments and annotations.
        error: text of what it raised, or the error's name where there is no text; ``None`` if it did not fail.
        panicked: it ended by a panic.
        finish_ns: monotonic nanoseconds; of an unfinished span the end of the collection.
        unfinished: it still ran then.
    """

    span: Span
    error: str | None
    panicked: bool
    finish_ns: int
    unfinished: bool


@dataclass(frozen=True, slots=True)
class Capture:
    """A matched span and its descendants.

    Attributes:
        spans: parents before children, siblings by start; the matched span is the first.
        dropped: how many more there were above the cap.
    """

    spans: tuple[FinishedSpan, ...]
    dropped: int


class SpanCollector:
    """An observer that gathers the first span *matcher* accepts, and its descendants, until that span ends.

    It watches only while it is attached; whoever attaches it takes it away.

    Args:
        matcher: runs in the thread of each starting span until one matches; quick, must not raise.
        done: called once with the capture, in the thread where the matched span ended.
        max_spans: spans above this number are counted and left out.
    """

    def __init__(
        self, matcher: Matcher, done: Callable[[Capture], object] | None = None, max_spans: int = MAX_SPANS
    ) -> None:
        self._matcher = matcher
        self._done = done
        self._max_spans = max_spans
        self._target: Span | None = None
        self._parents: dict[Span, Span | None] = {}  # what was collected, with the parent of each
        self._finished: dict[Span, FinishedSpan] = {}
        self._left_out: set[Span] = set()  # running spans above the cap, to know their children by
        self._dropped = 0
        self._over = False

    @property
    def target(self) -> Span | None:
        """The span that matched, or ``None`` while it waits."""
        return self._target

    def covers(self, span: Span) -> bool:
        """Whether *span*, which runs, is the one that matched or below it, kept or not."""
        return span in self._parents or span in self._left_out

    def force_start(self, span: Span) -> None:
        """Collect *span* without asking the matcher, with those of its descendants that run now."""
        if self._target is None:
            self._target = span
            self._parents[span] = None
            waiting = [span]
            while waiting:
                parent = waiting.pop()
                for child in parent.children:
                    self._add(child, parent)
                    waiting.append(child)

    def span_started(self, span: Span) -> None:
        """See `SpanObserver`."""
        if self._over:
            return
        if self._target is None:
            if self._matcher(span):
                self._target = span
                self._parents[span] = None
        elif span.parent is not None:
            self._add(span, span.parent)

    def _add(self, span: Span, parent: Span) -> None:
        if span in self._parents:
            return
        if parent in self._parents:
            if self._has_room():
                self._parents[span] = parent
                return
        elif parent not in self._left_out:
            return
        self._dropped += 1
        self._left_out.add(span)

    def _has_room(self) -> bool:
        return len(self._parents) < self._max_spans

    def span_finished(self, span: Span, error: BaseException | None) -> None:
        """See `SpanObserver`."""
        if self._over or span not in self._parents:
            self._left_out.discard(span)
            return
        text = None if error is None else error_text(error)
        self._finished[span] = FinishedSpan(span, text, span.panicked, span.finish_ns, unfinished=False)
        if span is self._target:
            self._over = True
            self._ended(self._finished[span])

    def _ended(self, target: FinishedSpan) -> None:
        """The span that matched is over."""
        if self._done is not None:
            self._done(self.capture(target.finish_ns))

    def capture(self, now_ns: int | None = None) -> Capture:
        """What was gathered so far; spans still running end at *now_ns* (monotonic) and are marked unfinished."""
        now = monotonic_ns() if now_ns is None else now_ns
        children: dict[Span | None, list[Span]] = {}
        for span, parent in self._parents.copy().items():
            children.setdefault(parent, []).append(span)
        for siblings in children.values():
            siblings.sort(key=lambda span: (span.start_ns, span.id), reverse=True)
        waiting = children.get(None, [])
        spans: list[FinishedSpan] = []
        while waiting:
            span = waiting.pop()
            spans.append(self._finished.get(span) or FinishedSpan(span, None, False, max(now, span.start_ns), True))
            waiting.extend(children.get(span, ()))
        return Capture(tuple(spans), self._dropped)


class SpanWaiter(Waiter[Capture]):
    """The next match, to be waited for: ``await waiter``, or `result` from a thread.

    See `Waiter`; it is there when the match has ended.
    """

    def __init__(
        self,
        registry: Registry,
        matcher: Matcher,
        max_spans: int,
        funcs: FuncFilter | None = None,
        traces: TraceFilter | None = None,
    ) -> None:
        super().__init__()
        self._matcher = matcher
        self._collector = SpanCollector(self._matches, self._deliver, max_spans)
        self._detach_trace: Callable[[], None] = _nothing
        self._detach = registry.observe_spans(self._collector, funcs, traces)
        self._begin()

    def _stop(self) -> None:
        self._detach()
        self._detach_trace()

    def _matches(self, span: Span) -> bool:
        try:
            found = self._matcher(span)
            if found:  # what is called below it may be of functions that are not watched
                self._detach_trace = span.trace.observe_spans(self._collector)
                if self._future.done():  # cancelled meanwhile
                    self._stop()
            return found
        except RecursionError:
            raise  # the span is missed, see `Live`
        except Exception as problem:  # the caller's own code
            self._fail(problem)
            return False

    @property
    def target(self) -> Span | None:
        """The span that matched and is being collected, or ``None``."""
        return self._collector.target

    def so_far(self) -> Capture:
        """What was gathered by now; empty before the match."""
        return self._collector.capture()


def watch_for_spans(
    registry: Registry,
    matcher: Matcher,
    *,
    max_spans: int = MAX_SPANS,
    funcs: FuncFilter | None = None,
    traces: TraceFilter | None = None,
) -> SpanWaiter:
    """Watch from this moment for the first starting span that *matcher* accepts.

    Args:
        registry: whose spans.
        matcher: runs in the measured threads for each span that starts; quick, must not raise.
        max_spans: how many spans are kept at the most.
        funcs: ask *matcher* only of spans of functions that this accepts; it runs once a function, known now or
            made later. Calls of the others cost nothing while somebody waits.
        traces: ask *matcher* only of spans of traces that this accepts; *funcs* is not asked then.
    """
    return SpanWaiter(registry, matcher, max_spans, funcs, traces)


def find_span(registry: Registry, matcher: Matcher) -> Span | None:
    """The first running span that *matcher* accepts, parents before children, older ones first."""
    return next((span for _, span in registry.all_spans() if matcher(span)), None)


@overload
def collect_spans(work: Callable[[], Awaitable[object]]) -> Awaitable[Capture]: ...  # type: ignore[overload-overlap]


@overload
def collect_spans(work: Callable[[], object]) -> Capture: ...


def collect_spans(work: Callable[[], object]) -> Capture | Awaitable[Capture]:
    """Run *work* and return the spans that ran below the current one meanwhile.

    If *work* returns an awaitable, so does this. Without a current span
    nothing can be told apart and the capture is empty. What *work* raises
    comes out.
    """
    parent = current_span()
    collector = SpanCollector(lambda span: False)
    if parent is None:
        detach = _nothing
    else:
        collector.force_start(parent)
        detach = parent.trace.observe_spans(collector)
    try:
        outcome = work()
    except BaseException:
        detach()
        raise
    if inspect.isawaitable(outcome):
        return _await_and_collect(outcome, collector, detach)
    detach()
    return _without_first(collector.capture())


async def _await_and_collect(
    outcome: Awaitable[object], collector: SpanCollector, detach: Callable[[], None]
) -> Capture:
    try:
        await outcome
    finally:
        detach()
    return _without_first(collector.capture())


def _without_first(capture: Capture) -> Capture:
    return Capture(capture.spans[1:], capture.dropped)


def _nothing() -> None:
    return None
