"""Whether a failed attempt is followed by another, and after how long. Pure; used by the service and by workers."""

from __future__ import annotations

from monkit_workflow.payload import Failure, RetryPolicy

__all__ = ["next_delay_ns"]

_LONGEST_NS = 2**62


def next_delay_ns(policy: RetryPolicy | None, attempt: int, failure: Failure) -> int | None:
    """Nanoseconds to wait after a failed *attempt* (from 1), ``None`` if there is to be no other.

    Bounds in time, ``expiration`` and the like, are the caller's to hold.
    """
    if policy is None or failure.non_retryable or failure.type in policy.non_retryable:
        return None
    if policy.attempts and attempt >= policy.attempts:
        return None
    try:
        delay = policy.initial_ns * policy.coefficient ** (attempt - 1)
    except OverflowError:
        delay = float("inf")
    return int(min(delay, policy.maximum_interval_ns or _LONGEST_NS))
