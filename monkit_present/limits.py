"""Limits: how slow, how large and how many the clients of a port may be. Nothing here acts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum, auto

__all__ = ["DEFAULTS", "Limits", "Phase", "affordable"]


class Phase(Enum):
    """What a connection waits for."""

    HEAD = auto()
    """The first request, or the rest of the head of a further one."""
    BODY = auto()
    """The rest of the body of a request; its page may run already."""
    PAGE = auto()
    """The page, which has the whole request."""
    IDLE = auto()
    """A further request."""
    READER = auto()
    """The client, which does not read what the page writes."""
    FAREWELL = auto()
    """The client, which was refused, to read why and to go."""
    CLOSED = auto()
    """What is still to be sent, and then the end."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What the protocol layer holds clients to, whatever page they ask for.

    Attributes:
        head_s: from connecting, or from the first byte of a further request, to the end of its head.
        body_s: from the end of the head to the end of the body.
        idle_s: between the end of a response and the first byte of the next request.
        write_s: in which a client that has stopped reading must take some of what
            waits for it; it is cut after one to two times that long.
        linger_s: in which a client that was refused may still send, so that it gets to read why.
        handshake_s: from connecting to the end of the TLS handshake.
        connections: open at once.
        retry_after_s: what a client is told that finds no room.
        head_bytes: of request line and header fields together.
        target_bytes: of the request target.
        body_bytes: of a request body, its framing aside.
        ahead_bytes: of further requests that are sent before a response has ended.
    """

    head_s: float = 10.0
    body_s: float = 10.0
    idle_s: float = 5.0
    write_s: float = 30.0
    linger_s: float = 2.0
    handshake_s: float = 10.0
    connections: int = 512
    retry_after_s: int = 5
    head_bytes: int = 16_384
    target_bytes: int = 8_192
    body_bytes: int = 65_536
    ahead_bytes: int = 65_536

    def deadline_s(self, phase: Phase) -> float:
        """How long a phase may last, or until it is looked at whether it goes on."""
        return _DEADLINES[phase](self)


_DEADLINES: Mapping[Phase, Callable[[Limits], float]] = {
    Phase.HEAD: lambda limits: limits.head_s,
    Phase.BODY: lambda limits: limits.body_s,
    Phase.PAGE: lambda limits: limits.write_s,  # no deadline: a look whether something has closed it since
    Phase.IDLE: lambda limits: limits.idle_s,
    Phase.READER: lambda limits: limits.write_s,
    Phase.FAREWELL: lambda limits: limits.linger_s,
    Phase.CLOSED: lambda limits: limits.write_s,
}

DEFAULTS = Limits()


def affordable(connections: int) -> int:
    """As many of *connections* as leave the program half of the files that it may open."""
    try:
        import resource  # not on Windows
    except ImportError:
        return connections
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return connections if soft == resource.RLIM_INFINITY else max(1, min(connections, soft // 2))
