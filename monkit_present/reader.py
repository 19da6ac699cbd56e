"""The reader: h11's parser of requests, which refuses what is too large by the status that says so.

h11 holds only an incomplete head to a limit, and one that arrives in a single
read is complete at once. Nothing here writes or knows the time.
"""

from __future__ import annotations

import h11

from monkit_present.limits import Limits
from monkit_present.responses import Problem

__all__ = ["Reader"]

_NO_HTTP = Problem(400, "this is not a valid HTTP request")
_MOST_DIGITS = 20  # of a length; longer ones need not be numbers


class Reader(h11.Connection):
    """One connection as h11 sees it.

    Attributes:
        requests: how many heads were read.
        problem: why `next_event` raised, once it has.
    """

    def __init__(self, limits: Limits) -> None:
        super().__init__(h11.SERVER, limits.head_bytes)
        self.requests = 0
        self.problem = _NO_HTTP
        self._limits = limits
        self._body_bytes = 0

    @property
    def ahead_bytes(self) -> int:
        """How much has come that is not read yet: part of a head, or further requests."""
        return len(self.trailing_data[0])

    def next_event(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        """See `h11.Connection.next_event`; what is over a limit is no HTTP either."""
        in_head = self.their_state is h11.IDLE
        before = self.ahead_bytes if in_head else 0
        try:
            event = super().next_event()
        except h11.RemoteProtocolError as error:
            if error.error_status_hint == 431:
                no_line = in_head and b"\n" not in self.trailing_data[0]
                self.problem = self._target_too_long() if no_line else self._head_too_large()
            raise
        if isinstance(event, h11.Request):
            self.requests += 1
            self._body_bytes = 0
            self._check_request(event, before - self.ahead_bytes)
        elif isinstance(event, h11.Data):
            self._body_bytes += len(event.data)
            if self._body_bytes > self._limits.body_bytes:
                self._refuse(self._body_too_large())
        return event

    def _check_request(self, request: h11.Request, head_bytes: int) -> None:
        if len(request.target) > self._limits.target_bytes:
            self._refuse(self._target_too_long())
        if head_bytes > self._limits.head_bytes:
            self._refuse(self._head_too_large())
        for name, value in request.headers:
            if name == b"content-length" and (len(value) > _MOST_DIGITS or int(value) > self._limits.body_bytes):
                self._refuse(self._body_too_large())

    def _refuse(self, problem: Problem) -> None:
        self.problem = problem
        raise h11.RemoteProtocolError(problem.words, error_status_hint=problem.status)

    def _target_too_long(self) -> Problem:
        return Problem(414, f"the request target is longer than {self._limits.target_bytes:,} bytes")

    def _head_too_large(self) -> Problem:
        return Problem(431, f"the head of the request is larger than {self._limits.head_bytes:,} bytes")

    def _body_too_large(self) -> Problem:
        return Problem(413, f"the body is larger than {self._limits.body_bytes:,} bytes")
