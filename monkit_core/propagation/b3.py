"""B3: the headers of Zipkin, one called ``b3`` or several that begin with ``x-b3-``.

By the description in the repository openzipkin/b3-propagation. The span id
that arrives becomes the parent's: spans are not shared between client and
server. ``ParentSpanId`` is neither needed nor sent.
"""

from __future__ import annotations

import re

from monkit_core.propagation.context import NOTHING, TraceContext
from monkit_core.propagation.headers import Found

__all__ = ["multi_fields", "parse_single", "read", "single_fields"]

_SINGLE = re.compile(r"([0-9a-f]{32}|[0-9a-f]{16})-([0-9a-f]{16})(?:-([01d])(?:-[0-9a-f]{16})?)?")
_TRACE_ID = re.compile(r"[0-9a-f]{32}|[0-9a-f]{16}")
_SPAN_ID = re.compile(r"[0-9a-f]{16}")
# Decision by what was sent; absent means that the receiver shall decide.
_STATES = {"0": (False, False), "1": (True, False), "d": (True, True)}
_SAMPLED = {"0": False, "1": True, "false": False, "true": True}  # words from before there was a description


def read(found: Found) -> TraceContext:
    """What the B3 headers say, the single one before the others; of several fields of a name the first counts."""
    for text in found.get("b3", ())[:1]:
        single = parse_single(text)
        if single is not None:
            return single
    return _read_multi(found)


def parse_single(text: str) -> TraceContext | None:
    """What a header ``b3`` says, ``None`` if it is malformed."""
    text = text.strip(" \t")
    if text in _STATES:
        sampled, debug = _STATES[text]
        return TraceContext(sampled=sampled, debug=debug)
    match = _SINGLE.fullmatch(text)
    if match is None:
        return None
    trace_id, span_id, state = match.groups()
    return _context(trace_id, span_id, *_STATES.get(state, (None, False)))


def _read_multi(found: Found) -> TraceContext:
    trace_id, span_id, sampled_text, flags = (
        found.get(name, ("",))[0].strip(" \t") for name in ("x-b3-traceid", "x-b3-spanid", "x-b3-sampled", "x-b3-flags")
    )
    debug = flags == "1"
    sampled = True if debug else _SAMPLED.get(sampled_text.lower())
    if _TRACE_ID.fullmatch(trace_id) and _SPAN_ID.fullmatch(span_id):
        context = _context(trace_id, span_id, sampled, debug)
        if context is not None:
            return context
    return NOTHING if sampled is None or trace_id or span_id else TraceContext(sampled=sampled, debug=debug)


def _context(trace_id: str, span_id: str, sampled: bool | None, debug: bool) -> TraceContext | None:
    trace, span = int(trace_id, 16), int(span_id, 16)
    return TraceContext(trace, span, sampled, debug) if trace and span else None


def single_fields(context: TraceContext) -> dict[str, str]:
    """The header field that says *context*, which has both ids."""
    state = "" if context.sampled is None else "-d" if context.debug else "-1" if context.sampled else "-0"
    return {"b3": f"{context.trace_id:032x}-{context.parent_id:016x}{state}"}


def multi_fields(context: TraceContext) -> dict[str, str]:
    """The header fields that say *context*, which has both ids."""
    said = {"x-b3-traceid": f"{context.trace_id:032x}", "x-b3-spanid": f"{context.parent_id:016x}"}
    if context.debug:
        said["x-b3-flags"] = "1"
    elif context.sampled is not None:
        said["x-b3-sampled"] = "1" if context.sampled else "0"
    return said
