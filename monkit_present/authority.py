"""Authorities: the host and port that a request, an origin or an address names, read whole or refused."""

from __future__ import annotations

import ipaddress
import re

__all__ = ["one_spelling", "same_origin", "split_authority", "with_port"]

_AUTHORITY = re.compile(
    r"(?:\[(?P<six>[0-9A-Fa-f:.]{2,45})\]|(?P<name>[A-Za-z0-9._-]{1,253}))(?::(?P<port>[0-9]{1,5}))?"
)
_PORTS = {"http": 80, "https": 443}


def split_authority(text: str) -> tuple[str, int | None]:
    """Host (lower case, an address in its one spelling) and port of ``host:port``.

    Raises:
        ValueError: it is not exactly that.
    """
    match = _AUTHORITY.fullmatch(text)
    if match is None:
        raise ValueError("no host and port")
    port = int(match["port"]) if match["port"] else None
    if port is not None and port > 65535:
        raise ValueError("no such port")
    if match["six"] is not None:
        return str(ipaddress.IPv6Address(match["six"])), port
    return match["name"].lower(), port


def one_spelling(host: str) -> str:
    """Lower case; an address as `ipaddress` writes it."""
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        return host.lower()


def with_port(scheme: str, host: str, port: int | None) -> tuple[str, int | None]:
    """Host and port, the port of the scheme where none is said."""
    return host, port if port is not None else _PORTS.get(scheme.lower())


def same_origin(origin: str, host: str, port: int | None) -> bool:
    """Whether an ``Origin`` header names this host and port."""
    scheme, separator, authority = origin.partition("://")
    try:
        named = with_port(scheme, *split_authority(authority))
    except ValueError:
        return False
    return bool(separator) and named == with_port(scheme, host, port)
