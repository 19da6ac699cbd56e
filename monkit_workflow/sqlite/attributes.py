"""Whether search attributes and memos can be taken. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from monkit_workflow.filters import FIELDS
from monkit_workflow.payload import Payload, is_null
from monkit_workflow.search_attributes import read_attribute
from monkit_workflow.sqlite.transition import Limits

__all__ = ["Refusal", "refuse_attributes", "refuse_memo"]

Refusal = tuple[str, str]
"""Type and message."""

_RESERVED = frozenset({"StateTransitionCount", "RootWorkflowId", "RootRunId", "BuildIds", "BatcherUser"})
"""Names that other services keep for themselves, besides those that begin with "Temporal"."""

_NAME = 100
"""Characters of a name at most."""


def refuse_attributes(
    attributes: Mapping[str, Payload], types: Mapping[str, str], new: dict[str, str], limits: Limits
) -> Refusal | None:
    """Why a run cannot have search attributes, ``None`` if it can.

    Args:
        attributes: those that it would have, and null for those that it loses.
        types: of the names that are in use.
        new: of names that have come into use since; those that are new are added.
        limits: how many and how large they may be.
    """
    total = count = 0
    for name, payload in attributes.items():
        problem = _name_problem(name)
        if problem is None and not is_null(payload):
            count += 1
            total += len(name.encode()) + len(payload.data)
            problem = _value_problem(name, payload, types, new)
            if len(payload.data) > limits.attribute_bytes:
                return "ResourceExhausted", (
                    f"search attribute {name!r} has {len(payload.data)} bytes, more than {limits.attribute_bytes}"
                )
        if problem is not None:
            return "BadCommand", f"search attribute {name!r:.120} {problem}"
    if count > limits.attributes or total > limits.attributes_bytes:
        most = f"{limits.attributes} or {limits.attributes_bytes} bytes"
        return "ResourceExhausted", f"{count} search attributes of {total} bytes, more than {most}"
    return None


def _name_problem(name: str) -> str | None:
    if name in FIELDS or name in _RESERVED or name.startswith("Temporal"):
        return "has a name that every run's own fields have"
    if not 0 < len(name) <= _NAME or not name.isprintable() or "`" in name:
        return f"has no name of 1 to {_NAME} printable characters without a backtick"
    return None


def _value_problem(name: str, payload: Payload, types: Mapping[str, str], new: dict[str, str]) -> str | None:
    try:
        kind, _ = read_attribute(payload)
    except ValueError as problem:
        return f"cannot be read: {problem}"
    known = types.get(name) or new.setdefault(name, kind)
    return None if known == kind else f"is a {kind}, and has been a {known} since its first use"


def refuse_memo(memo: Mapping[str, Payload], limits: Limits) -> Refusal | None:
    """Why a run cannot have a memo, ``None`` if it can."""
    size = sum(len(name.encode()) + len(payload.data) for name, payload in memo.items())
    if size > limits.memo_bytes:
        return "ResourceExhausted", f"the memo has {size} bytes, more than {limits.memo_bytes}"
    return None
