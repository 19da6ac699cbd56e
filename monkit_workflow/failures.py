"""Exceptions to the failures of history, and back."""

from __future__ import annotations

import asyncio
import traceback
from typing import Any

from monkit_workflow.converter import Converter
from monkit_workflow.errors import (
    ActivityFailure,
    ApplicationFailure,
    CancelledFailure,
    ChildFailure,
    ConversionError,
    FailureError,
    TerminatedFailure,
    TimeoutFailure,
)
from monkit_workflow.payload import Failure, Payload, Payloads

__all__ = ["REMOTE_STACK", "decode_any", "to_error", "to_failure"]

REMOTE_STACK = "__monkit_stack__"
"""Attribute of an error that was raised in another process: its stack there, as text."""

_STACK_LIMIT = 8_000
_MESSAGE_LIMIT = 4_000
_MOST_CAUSES = 20


def to_failure(error: BaseException, converter: Converter, depth: int = 0) -> Failure:
    """The record of *error* and of what caused it.

    An error that came out of history goes back as it was. Stacks and messages
    are cut to some kilobytes, chains to twenty causes.
    """
    if isinstance(error, FailureError) and error.failure is not None:
        return error.failure
    reason = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    cause = to_failure(reason, converter, depth + 1) if reason is not None and depth < _MOST_CAUSES else None
    common: dict[str, Any] = {"message": str(error)[:_MESSAGE_LIMIT], "stack": _stack(error), "cause": cause}
    if isinstance(error, ApplicationFailure):
        return Failure(type=error.type, details=_details(error, converter), non_retryable=error.non_retryable, **common)
    if isinstance(error, CancelledFailure):
        return Failure(kind="canceled", details=_details(error, converter), **common)
    if isinstance(error, asyncio.CancelledError):
        return Failure(kind="canceled", **common)
    if isinstance(error, TimeoutFailure):
        return Failure(kind="timeout", timeout=error.kind, details=_details(error, converter), **common)
    if isinstance(error, ActivityFailure):
        return Failure(kind="activity", type=error.activity_type, id=error.activity_id, **common)
    if isinstance(error, ChildFailure):
        return Failure(kind="child", type=error.workflow_type, id=error.workflow_id, run_id=error.run_id, **common)
    return Failure(type=type(error).__name__, **common)


def _details(error: ApplicationFailure | CancelledFailure | TimeoutFailure, converter: Converter) -> Payloads:
    """Encode what the failure carries; a detail that has no encoding must not hide the failure itself."""
    found = []
    for detail in error.details:
        try:
            found.append(converter.encode(detail))
        except ConversionError:
            found.append(converter.encode(repr(detail)))
    return tuple(found)


def _stack(error: BaseException) -> str:
    stack: str = getattr(error, REMOTE_STACK, "") or "".join(traceback.format_tb(error.__traceback__))
    return stack[-_STACK_LIMIT:]


def to_error(failure: Failure, converter: Converter) -> FailureError:
    """The exception that stands for *failure*, with its causes."""
    error = _error(failure, [decode_any(converter, payload) for payload in failure.details])
    error.failure = failure
    if failure.cause is not None:
        error.__cause__ = to_error(failure.cause, converter)
    return error


def decode_any(converter: Converter, payload: Payload) -> Any:
    """The value in *payload*, or the payload itself if the converter does not know its encoding."""
    try:
        return converter.decode(payload, Any)
    except ConversionError:
        return payload  # only its sender knows it; what it is a detail of matters more


def _error(failure: Failure, details: list[Any]) -> FailureError:
    text = failure.message
    match failure.kind:
        case "canceled":
            return CancelledFailure(text or "cancelled", *details)
        case "timeout":
            return TimeoutFailure(text or "timed out", failure.timeout or "start_to_close", *details)
        case "terminated":
            return TerminatedFailure(text or "terminated")
        case "activity":
            return ActivityFailure(text or f"activity {failure.type} failed", failure.type, failure.id)
        case "child":
            return ChildFailure(text or f"child {failure.type} failed", failure.type, failure.id, failure.run_id)
        case _:
            return ApplicationFailure(text, *details, type=failure.type, non_retryable=failure.non_retryable)
