"""The protocol layer: uvicorn's HTTP/1.1, made silent and strict.

Uvicorn logs to loggers that are the program's own when that runs uvicorn too,
and configures them; here it may do neither.
"""

from __future__ import annotations

import logging
from email.utils import formatdate
from typing import Any

from starlette.types import ASGIApp
from uvicorn import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from monkit_present.guard import PROTECTIVE_HEADERS
from monkit_present.responses import PLAIN_TEXT

__all__ = ["Protocol", "Shared", "settings"]

_MAX_HEADER_BYTES = 16_384
_REFUSAL_HEADERS = ((b"content-type", PLAIN_TEXT.encode()), (b"connection", b"close"))

_quiet = logging.getLogger("monkit.present.http")
_quiet.addHandler(logging.NullHandler())
_quiet.setLevel(logging.CRITICAL + 1)
_quiet.propagate = False


class Protocol(H11Protocol):
    """Uvicorn's protocol, silent: its loggers are the program's own when that runs uvicorn too."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.logger = self.access_logger = _quiet
        self.access_log = False

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP, such as two Host headers, the way of the other refusals; cut what has begun."""
        cycle = self.cycle
        begun = cycle is not None and cycle.response_started and (cycle.more_body or not cycle.response_complete)
        if cycle is not None:
            cycle.disconnected = True  # its page writes no more
            cycle.message_event.set()
        if not begun:
            headers = [*self.server_state.default_headers, *_REFUSAL_HEADERS, *PROTECTIVE_HEADERS.items()]
            lines = [b"HTTP/1.1 400 Bad Request", *(b"%s: %s" % header for header in headers)]
            self.transport.write(b"\r\n".join([*lines, b"", b"Bad Request: this is not a valid HTTP request\n"]))
        self.transport.close()


class _Settings(Config):
    """Uvicorn's settings without its hands on the program's logging."""

    def configure_logging(self) -> None:
        """Leave logging alone."""


class Shared(ServerState):
    """What uvicorn's protocol shares between connections; the date is made for each response."""

    @property
    def default_headers(self) -> list[tuple[bytes, bytes]]:
        """The date of this moment."""
        return [(b"date", formatdate(usegmt=True).encode())]

    @default_headers.setter
    def default_headers(self, value: list[tuple[bytes, bytes]]) -> None:
        """Set by the base class at first; not needed."""


def settings(app: ASGIApp) -> Config:
    """Uvicorn's settings for one application, ready to use."""
    config = _Settings(
        app,
        http=Protocol,
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        proxy_headers=False,
        h11_max_incomplete_event_size=_MAX_HEADER_BYTES,
    )
    config.load()
    return config
