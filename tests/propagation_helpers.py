"""What tests of propagation share: the ids of the specification's examples, and one hop of a request."""

from __future__ import annotations

import contextvars
from collections.abc import Iterable
from dataclasses import dataclass

from monkit_core import Registry, Span
from monkit_core.propagation import DEFAULT_FORMATS, TraceContext, extract, inject
from monkit_core.propagation.headers import Headers

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = "00f067aa0ba902b7"
TRACE_ID = int(TRACE, 16)
PARENT_ID = int(PARENT, 16)
TRACEPARENT = f"00-{TRACE}-{PARENT}-01"


@dataclass(frozen=True)
class Hop:
    """One service on the way: what it understood, its span, and what it sent on."""

    context: TraceContext
    span: Span
    sent: dict[str, str]

    @property
    def went_on(self) -> bool:
        """Whether it is part of the trace of the examples."""
        return (self.span.trace.id, self.span.parent_id) == (TRACE_ID, PARENT_ID)

    @property
    def restarted(self) -> bool:
        """Whether it began a trace of its own."""
        return self.span.parent_id is None and self.span.trace.id not in (0, TRACE_ID)

    @property
    def flags(self) -> str:
        """The last field of the ``traceparent`` that it sent."""
        return self.sent["traceparent"][53:]


def hop(
    headers: Headers,
    *,
    formats: Iterable[str] = DEFAULT_FORMATS,
    honour_sampling: bool = False,
    record_baggage: Iterable[str] = (),
) -> Hop:
    """Receive a request with *headers* and send one on, in a context of its own."""

    def run() -> Hop:
        context = extract(headers, honour_sampling=honour_sampling, record_baggage=record_baggage)
        sent: dict[str, str] = {}
        with context.receive(Registry().scope("shop").func("http GET")) as span:
            inject(sent, formats=formats)
        return Hop(context, span, sent)

    return contextvars.Context().run(run)


def state_of(*texts: str) -> str | None:
    """The ``tracestate`` that is sent on when these header fields came with a valid ``traceparent``."""
    fields = [(b"traceparent", TRACEPARENT.encode()), *((b"tracestate", text.encode("latin-1")) for text in texts)]
    outcome = hop(fields)
    assert outcome.went_on  # 3.3: whatever the list is, it does not touch traceparent
    return outcome.sent.get("tracestate")
