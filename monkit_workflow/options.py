"""What users say in `timedelta`s, and the nanoseconds that it becomes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from monkit_workflow.payload import RetryPolicy

__all__ = ["Cancellation", "Retry", "nanoseconds"]

Cancellation = Literal["try", "wait", "abandon"]
"""What awaiting code sees when it gives something up: it goes on at once and the request is sent (``try``),
it waits until the other side agreed (``wait``), or nothing is sent (``abandon``)."""

_LONGEST_NS = 2**63 - 1


def nanoseconds(what: str, value: timedelta | None) -> int:
    """*value* in nanoseconds, 0 for ``None``; *what* names it in errors.

    Raises:
        TypeError: it is no `timedelta`.
        ValueError: it is negative, or beyond 292 years.
    """
    if value is None:
        return 0
    if not isinstance(value, timedelta):
        raise TypeError(f"{what} takes a timedelta such as timedelta(seconds=30), not {value!r}")
    result = (value.days * 86_400 + value.seconds) * 1_000_000_000 + value.microseconds * 1_000
    if not 0 <= result <= _LONGEST_NS:
        raise ValueError(f"{what} must be from 0 to 292 years, not {value}")
    return result


@dataclass(frozen=True, kw_only=True)
class Retry:
    """When a failed attempt is followed by another; without one nothing is tried again.

    The wait before the second attempt is ``initial``, and each next one is
    ``coefficient`` times longer, up to ``maximum_interval``. ``attempts``
    counts the first one; ``expiration`` bounds all of them together. With
    neither, ``schedule_to_close`` or the run's time-out is the bound. Failures
    whose type is in ``non_retryable`` end it at once.
    """

    initial: timedelta = timedelta(seconds=1)
    coefficient: float = 2.0
    maximum_interval: timedelta | None = None
    attempts: int | None = None
    expiration: timedelta | None = None
    non_retryable: Sequence[str | type[BaseException]] = ()

    def policy(self) -> RetryPolicy:
        """The record for history.

        Raises:
            ValueError: a number is out of bounds.
        """
        initial_ns = nanoseconds("initial", self.initial)
        if initial_ns == 0:
            raise ValueError("initial must be longer than nothing")
        if self.coefficient < 1:
            raise ValueError(f"coefficient must be at least 1, not {self.coefficient}")
        if self.attempts is not None and self.attempts < 1:
            raise ValueError(f"attempts counts the first one too, so it cannot be {self.attempts}")
        return RetryPolicy(
            initial_ns=initial_ns,
            coefficient=float(self.coefficient),
            maximum_interval_ns=nanoseconds("maximum_interval", self.maximum_interval),
            attempts=self.attempts or 0,
            expiration_ns=nanoseconds("expiration", self.expiration),
            non_retryable=tuple(kind if isinstance(kind, str) else kind.__name__ for kind in self.non_retryable),
        )

    def bounded_policy(self) -> RetryPolicy:
        """The record for a workflow, whose attempts no other time-out bounds.

        Raises:
            ValueError: it would be started again for ever, or a number is out of bounds.
        """
        if self.attempts is None and self.expiration is None:
            raise ValueError("the retry= of a workflow needs attempts= or expiration=")
        return self.policy()
