"""Listeners: what a port is bound to. TCP, TCP with TLS, or a Unix socket; made in the caller's thread."""

from __future__ import annotations

import ipaddress
import os
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from socket import AI_PASSIVE, SO_REUSEADDR, SOCK_STREAM, SOL_SOCKET, getaddrinfo, socket
from urllib.parse import quote

from monkit_present.guard import LOOPBACK_NAMES
from monkit_present.tls import CertificateFiles, server_context
from monkit_present.unix_socket import bind_unix, may_ask, remove_unix

__all__ = ["Listener", "listen_tcp", "listen_unix"]


@dataclass(frozen=True, slots=True)
class Listener:
    """A socket that listens.

    Attributes:
        sock: it.
        url: where it is reached.
        port: its number, ``None`` of a Unix socket.
        tls: the context it is served with.
        may_ask: whether a connection may ask anything, ``None`` if any may.
        remove: takes away what it leaves behind; for the process that made it.
    """

    sock: socket
    url: str
    port: int | None = None
    tls: ssl.SSLContext | None = None
    may_ask: Callable[[socket], bool] | None = None
    remove: Callable[[], None] | None = None


def listen_tcp(host: str, port: int, *, exposed: bool = False, tls: CertificateFiles | None = None) -> Listener:
    """Listen on the first address that *host* stands for; port 0 takes a free one.

    Args:
        host: name or address.
        port: 0 to 65535.
        exposed: an address that other machines reach is allowed.
        tls: files of certificate and key.

    Raises:
        PermissionError: other machines reach it, and that is not allowed.
        OSError: it cannot be bound, or the files of *tls* cannot be used.
    """
    context = None if tls is None else server_context(tls)
    family, kind, protocol, _, address = getaddrinfo(host, None, type=SOCK_STREAM, flags=AI_PASSIVE)[0]
    if not exposed and not ipaddress.ip_address(address[0]).is_loopback:
        raise PermissionError(
            f"{host} is reached from other machines; give token=, bind {LOOPBACK_NAMES[1]}, "
            "or say insecure=True if that is meant"
        )
    listener = socket(family, kind, protocol)
    try:
        if os.name == "posix":
            listener.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)
        listener.bind((address[0], port, *address[2:]))  # a port out of range is refused here only
        listener.listen(128)
        listener.setblocking(False)
    except BaseException:
        listener.close()
        raise
    bound, number = listener.getsockname()[:2]
    authority = f"[{bound}]:{number}" if ":" in bound else f"{bound}:{number}"
    return Listener(listener, f"{'http' if context is None else 'https'}://{authority}", number, context)


def listen_unix(path: str | os.PathLike[str]) -> Listener:
    """Listen on a Unix socket; `bind_unix` says where and what it raises.

    Its address is written ``http+unix://`` and the path with every ``/`` as
    ``%2F``, as HTTP clients that know such sockets read it.
    """
    listener, place, identity = bind_unix(path)
    return Listener(
        listener,
        f"http+unix://{quote(os.fspath(place), safe='')}",
        may_ask=may_ask,
        remove=partial(remove_unix, place, identity, os.getpid()),
    )
