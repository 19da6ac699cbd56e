"""Collecting: gather the spans of one trace; wait for the next one that matches."""

from __future__ import annotations

import inspect
import os
from collections.abc import Awaitable, Callable, Generator
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, overload
from weakref import WeakSet

from monkit_core.clock import monotonic_ns
from monkit_core.errors import error_text
from monkit_core.registry import Registry
from monkit_core.span import FuncFilter, Span, TraceFilter, current_span

__all__ = [
    "MAX_SPANS", "Capture", "FinishedSpan", "SpanCollector", "SpanWaiter", "collect_spans", "find_span",
    "watch_for_spans",
]  # fmt: skip

MAX_SPANS = 10_000
_waiters: WeakSet[SpanWaiter] = WeakSet()

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
            if len(self._parents) < self._max_spans:
                self._parents[span] = parent
                return
        elif parent not in self._left_out:
            return
        self._dropped += 1
        self._left_out.add(span)

    def span_finished(self, span: Span, error: BaseException | None) -> None:
        """See `SpanObserver`."""
        if self._over or span not in self._parents:
            self._left_out.discard(span)
            return
        text = None if error is None else error_text(error)
        self._finished[span] = FinishedSpan(span, text, span.panicked, span.finish_ns, unfinished=False)
        if span is self._target:
            self._over = True
            capture = self.capture(span.finish_ns)
            if self._done is not None:
                self._done(capture)

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


class SpanWaiter:
    """The next match, to be waited for: ``await waiter``, or `result` from a thread.

    It watches from its making until the match has ended, `cancel` is called,
    or an ``await`` of it is cancelled; then nothing of it stays behind. It does
    not watch in a child of fork.
    """

    def __init__(
        self,
        registry: Registry,
        matcher: Matcher,
        max_spans: int,
        funcs: FuncFilter | None = None,
        traces: TraceFilter | None = None,
    ) -> None:
        self._future: Future[Capture] = Future()
        self._matcher = matcher
        self._collector = SpanCollector(self._matches, self._deliver, max_spans)
        self._detach_trace: Callable[[], None] = _nothing
        self._detach = registry.observe_spans(self._collector, funcs, traces)
        self._future.add_done_callback(lambda _: self._stop())
        _waiters.add(self)

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
        except Exception as problem:  # the caller's own code: it belongs to who waits, not to the measured call
            with suppress(InvalidStateError):
                self._future.set_exception(problem)
            return False

    def _deliver(self, capture: Capture) -> None:
        with suppress(InvalidStateError):  # cancelled meanwhile
            self._future.set_result(capture)

    @property
    def target(self) -> Span | None:
        """The span that matched and is being collected, or ``None``."""
        return self._collector.target

    def so_far(self) -> Capture:
        """What was gathered by now; empty before the match."""
        return self._collector.capture()

    def result(self, timeout: float | None = None) -> Capture:
        """Block until the match has ended.

        Args:
            timeout: seconds, ``None`` for ever.

        Raises:
            TimeoutError: it has not ended by then; the waiter goes on watching.
            concurrent.futures.CancelledError: it was cancelled.
            Exception: what the matcher raised.
        """
        return self._future.result(timeout)

    def cancel(self) -> None:
        """Stop watching; who waits gets ``CancelledError``."""
        self._future.cancel()

    def __await__(self) -> Generator[Any, None, Capture]:
        import asyncio  # who awaits has loaded it; others should not pay for it

        return asyncio.wrap_future(self._future).__await__()


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


def _after_fork() -> None:
    """Who waits stayed in the parent."""
    for waiter in list(_waiters):
        waiter._stop()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
