"""Matches: calls that turn out to match when they end, and several of them.

Whether a call took long or failed is known at its end, and then it is too late
to collect what it called. So every call that may match is collected from its
start, and forgotten if it ends otherwise. All that is kept meanwhile is bounded.
"""

from __future__ import annotations

from collections.abc import Callable

from monkit_core.collect import MAX_SPANS, Capture, FinishedSpan, Matcher, SpanCollector
from monkit_core.registry import Registry
from monkit_core.span import FuncFilter, Span, TraceFilter
from monkit_core.waiting import Waiter, WentBy

__all__ = ["MAX_CANDIDATES", "MAX_KEPT", "MAX_NESTED", "MatchesWaiter", "watch_for_matches"]

MAX_CANDIDATES = 1000
"""Calls that are collected at once; further ones are passed over."""
MAX_NESTED = 16
"""Of these in one trace. What is nested deeper belongs to the calls around it and is no match itself."""
MAX_KEPT = 100_000
"""Spans of all of them together, and of the matches that were found."""

Accept = Callable[[FinishedSpan], bool]


class _Candidate(SpanCollector):
    """Collects a call that may match."""

    def __init__(self, waiter: MatchesWaiter, span: Span, max_spans: int) -> None:
        super().__init__(_never, max_spans=max_spans)
        self.waiter = waiter
        self.force_start(span)
        self.detach = span.trace.observe_spans(self)

    @property
    def kept(self) -> int:
        """How many spans it has."""
        return len(self._parents)

    def _has_room(self) -> bool:
        if not super()._has_room() or self.waiter.room <= 0:
            return False
        self.waiter.room -= 1
        return True

    def _ended(self, target: FinishedSpan) -> None:
        self.waiter.candidate_ended(self, target)


class MatchesWaiter(Waiter[tuple[Capture, ...]]):
    """Matches to come, in the order in which they end; see `Waiter` and `watch_for_matches`.

    Attributes:
        room: how many more spans may be kept.
    """

    def __init__(
        self,
        registry: Registry,
        matcher: Matcher,
        accept: Accept | None,
        count: int,
        max_spans: int,
        funcs: FuncFilter | None,
        traces: TraceFilter | None,
    ) -> None:
        super().__init__()
        self.room = MAX_KEPT
        self._otherwise = self._longest_ns = self._passed_over = 0
        self._matcher = matcher
        self._accept = accept
        self._count = count
        self._max_spans = max_spans
        self._candidates: dict[_Candidate, None] = {}
        self._found: list[Capture] = []
        self._detach = registry.observe_spans(self, funcs, traces)
        self._begin()

    @property
    def target(self) -> Span | None:
        """A call that may be a match and still runs, or ``None``."""
        return next((candidate.target for candidate in tuple(self._candidates)), None)

    @property
    def went_by(self) -> WentBy:
        """See `Waiter`. Calls of several threads at the very same time may count as one."""
        return WentBy(self._otherwise, self._longest_ns, self._passed_over)

    @property
    def part(self) -> tuple[Capture, ...] | None:
        """The matches that have ended."""
        return tuple(self._found[: self._count]) or None

    def span_started(self, span: Span) -> None:
        """See `SpanObserver`."""
        if self._future.done():
            return
        try:
            if not self._matcher(span):
                return
        except RecursionError:
            raise  # the span is missed, see `Live`
        except Exception as problem:  # the caller's own code
            self._fail(problem)
            return
        around = [item for item in span.trace.observers if isinstance(item, _Candidate) and item.waiter is self]
        if any(item.covers(span) for item in around) and (self._accept is None or len(around) >= MAX_NESTED):
            return  # it is in one already
        if len(self._candidates) >= MAX_CANDIDATES or len(around) >= MAX_NESTED or self.room <= 0:
            self._passed_over += 1
            return
        self.room -= 1
        candidate = _Candidate(self, span, self._max_spans)
        self._candidates[candidate] = None
        if self._future.done():  # meanwhile
            self._stop()

    def span_finished(self, span: Span, error: BaseException | None) -> None:
        """See `SpanObserver`."""

    def candidate_ended(self, candidate: _Candidate, call: FinishedSpan) -> None:
        """*call* has ended: keep what was collected if it matches, and forget it otherwise."""
        candidate.detach()
        self._candidates.pop(candidate, None)
        try:
            accepted = self._accept is None or self._accept(call)
        except RecursionError:
            accepted = False  # hardly any stack is left, which is the program's doing: it is missed
        except Exception as problem:  # the caller's own code
            self._fail(problem)
            return
        if not accepted:
            self.room += candidate.kept
            self._otherwise += 1
            self._longest_ns = max(self._longest_ns, call.finish_ns - call.span.start_ns)
            return
        self._found.append(candidate.capture(call.finish_ns))
        if len(self._found) >= self._count:
            self._deliver(tuple(self._found[: self._count]))

    def _stop(self) -> None:
        self._detach()
        while self._candidates:
            try:
                candidate, _ = self._candidates.popitem()
            except KeyError:  # another thread took the last one
                return
            candidate.detach()


def watch_for_matches(
    registry: Registry,
    matcher: Matcher,
    *,
    accept: Accept | None = None,
    count: int = 1,
    max_spans: int = MAX_SPANS,
    funcs: FuncFilter | None = None,
    traces: TraceFilter | None = None,
) -> MatchesWaiter:
    """Watch from this moment for calls that *matcher* accepts when they start and *accept* when they have ended.

    With *accept*, calls below each other are all looked at, and the innermost end first; without it, a call below
    one that matches belongs to that. All that may match are collected at once, at most `MAX_CANDIDATES` of them
    and `MAX_KEPT` spans together.

    Args:
        registry: whose spans.
        matcher: runs in the measured threads for each span that starts; quick, must not raise.
        accept: runs in the thread where the call ended; likewise.
        count: how many matches to wait for.
        max_spans: how many spans of each are kept at the most.
        funcs: see `watch_for_spans`.
        traces: see `watch_for_spans`.
    """
    return MatchesWaiter(registry, matcher, accept, count, max_spans, funcs, traces)


def _never(span: Span) -> bool:
    return False
