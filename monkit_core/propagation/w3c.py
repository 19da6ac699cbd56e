"""W3C Trace Context: ``traceparent`` and ``tracestate``.

By the Recommendation of 23 November 2021 (level 1). The random flag of level 2
is read over like every flag but ``sampled``, and not sent.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from monkit_core.propagation.context import NOTHING, TraceContext
from monkit_core.propagation.headers import Found

__all__ = ["MAX_MEMBERS", "MAX_TRACESTATE", "fields", "parse_traceparent", "parse_tracestate", "read"]

MAX_MEMBERS = 32
MAX_TRACESTATE = 512
"""Characters of ``tracestate`` that are passed on, commas included."""

_SAMPLED = 1
_KNOWN_VERSION = "00"
_SIZE = 55  # of version 00, and the least of any later one
_LONG_MEMBER = 128
# The longest list that is valid, with generous white space; what is longer need not be looked at.
_LONGEST_LIST = MAX_MEMBERS * 600

_TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")
_KEY = re.compile(r"[a-z][a-z0-9_\-*/]{0,255}|[a-z0-9][a-z0-9_\-*/]{0,240}@[a-z][a-z0-9_\-*/]{0,13}")
_VALUE = re.compile(r"[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]")


def read(found: Found) -> TraceContext:
    """What ``traceparent`` and ``tracestate`` say; nothing where the first is malformed or there twice."""
    parents = found.get("traceparent", ())
    parent = parse_traceparent(parents[0]) if len(parents) == 1 else None
    if parent is None:
        return NOTHING
    trace_id, parent_id, sampled = parent
    states = found.get("tracestate")
    return TraceContext(trace_id, parent_id, sampled, tracestate=parse_tracestate(states) if states else "")


def parse_traceparent(text: str) -> tuple[int, int, bool] | None:
    """Trace id, parent id and whether the sampled flag is set; ``None`` if *text* is invalid.

    Of a later version the part is read that this one defines.
    """
    text = text.strip(" \t")
    match = _TRACEPARENT.match(text)
    if match is None:
        return None
    version, trace_id, parent_id, flags = match.groups()
    if version == "ff" or (len(text) > _SIZE and (version == _KNOWN_VERSION or text[_SIZE] != "-")):
        return None
    trace, parent = int(trace_id, 16), int(parent_id, 16)
    return (trace, parent, bool(int(flags, 16) & _SAMPLED)) if trace and parent else None


def parse_tracestate(texts: Iterable[str]) -> str:
    """The list of *texts*, which are the header fields in their order, ready to be passed on.

    Its members stay as they came and in their order; white space around them
    and empty members go. Above `MAX_TRACESTATE` characters members above 128
    are left out first, then the last ones.

    Returns:
        Nothing if a member is invalid, a key is there twice, or there are more than `MAX_MEMBERS`.
    """
    text = ",".join(texts)
    if len(text) > _LONGEST_LIST:
        return ""
    members = [member for part in text.split(",") if (member := part.strip(" \t"))]
    keys = [member.partition("=")[0] for member in members]
    if len(members) > MAX_MEMBERS or len(set(keys)) < len(keys) or not all(map(_valid, members)):
        return ""
    return ",".join(_truncate(members))


def _valid(member: str) -> bool:
    key, _, value = member.partition("=")
    return _KEY.fullmatch(key) is not None and _VALUE.fullmatch(value) is not None


def _truncate(members: list[str]) -> list[str]:
    """Whole members, as many as fit, in the order of section 3.3.1.5: long ones go first, then the last."""
    excess = sum(map(len, members)) + len(members) - 1 - MAX_TRACESTATE
    for most in (_LONG_MEMBER, 0):
        for index in range(len(members) - 1, -1, -1):
            if excess > 0 and len(members[index]) > most:
                excess -= len(members.pop(index)) + 1
    return members


def fields(context: TraceContext) -> dict[str, str]:
    """The header fields that say *context*, which has both ids."""
    flags = _SAMPLED if context.sampled else 0
    said = {"traceparent": f"{_KNOWN_VERSION}-{context.trace_id:032x}-{context.parent_id:016x}-{flags:02x}"}
    if context.tracestate:
        said["tracestate"] = context.tracestate
    return said
