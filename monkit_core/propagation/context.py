"""What travels with a request, and the span that goes on from it."""

from __future__ import annotations

from dataclasses import dataclass

from monkit_core.block import Block
from monkit_core.func import Func
from monkit_core.propagation.baggage import BaggageMember
from monkit_core.span import Span, Trace, current_span

__all__ = ["NOTHING", "REMOTE", "SAMPLED", "TraceContext", "current_context"]

SAMPLED = "sampled"
"""Value of a trace: whether somebody decided to keep it. This is what turns recording on."""
REMOTE = "remote"
"""Value of a trace: the `TraceContext` it came with."""

_128_BITS = (1 << 128) - 1


@dataclass(frozen=True, slots=True)
class TraceContext:
    """What the headers of a request say.

    Attributes:
        trace_id: 128 bits (or 64, from B3); ``None`` if there was no valid one.
        parent_id: the sender's span, 64 bits; ``None`` together with *trace_id*.
        sampled: what the sender decided; ``None`` if it left that open.
        debug: B3's debug flag, an emphasised *sampled*.
        tracestate: the list of other tracing systems, checked, ready to be passed on.
        baggage: values of the program, to be passed on.
        honour_sampling: *sampled* shall hold here too.
        recorded: keys of *baggage* that become annotations of the receiving span.
    """

    trace_id: int | None = None
    parent_id: int | None = None
    sampled: bool | None = None
    debug: bool = False
    tracestate: str = ""
    baggage: tuple[BaggageMember, ...] = ()
    honour_sampling: bool = False
    recorded: frozenset[str] = frozenset()

    def receive(self, func: Func) -> Block:
        """A block of *func* whose span goes on with the trace; without a valid trace id it starts a new one.

        ``trace.get("remote")`` is this context. ``trace.get("sampled")`` is
        set only if the sender's decision was to be honoured.
        """
        trace = Trace(func.live, self.trace_id)
        if self is not NOTHING:
            trace.set(REMOTE, self)
        if self.honour_sampling and self.sampled is not None:
            trace.set(SAMPLED, self.sampled)
        block = func.remote_trace(self.parent_id, trace)
        notes = [(member.key, member.value) for member in self.baggage if member.key in self.recorded]
        return _Annotated(block, notes) if notes else block


NOTHING = TraceContext()
"""What a request without headers of ours says."""


class _Annotated(Block):
    """A block whose span begins with annotations."""

    def __init__(self, block: Block, notes: list[tuple[str, str]]) -> None:
        super().__init__()
        self._block = block
        self._notes = notes

    def _start(self) -> Span:
        span = self._block._start()
        for key, value in self._notes:
            span.annotate(f"baggage.{key}", value)
        return span


def current_context() -> TraceContext | None:
    """What the next service is to be told; ``None`` without a current span.

    The parent is the current span. A decision of this process goes before the
    one that arrived.
    """
    span = current_span()
    if span is None:
        return None
    trace = span.trace
    trace_id = trace.id & _128_BITS
    if not trace_id:
        return None  # made by hand; no format can say it
    remote = trace.get(REMOTE)
    decided = trace.get(SAMPLED)
    if not isinstance(remote, TraceContext):
        return TraceContext(trace_id, span.id, None if decided is None else bool(decided))
    sampled = remote.sampled if decided is None else bool(decided)
    debug = remote.debug and sampled is True
    return TraceContext(trace_id, span.id, sampled, debug, remote.tracestate, remote.baggage)
