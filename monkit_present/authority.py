"""Authorities: the host and port that a request, an origin or an address names, read whole or refused."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable

__all__ = ["one_spelling", "read_hosts", "same_origin", "spellings", "split_authority", "with_port"]

_NAME = re.compile(r"[A-Za-z0-9._-]{1,253}")
_AUTHORITY = re.compile(
    rf"(?:\[(?P<six>[0-9A-Fa-f:.]{{2,45}})\]|(?P<name>{_NAME.pattern}))(?::(?P<port>[0-9]{{1,5}}))?"
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


def spellings(address: str) -> frozenset[str]:
    """What a ``Host`` header may call *address*: its one spelling, and the plain one of IPv4 within IPv6."""
    found = one_spelling(address)
    try:
        plain = ipaddress.IPv6Address(found).ipv4_mapped
    except ValueError:
        plain = None
    return frozenset((found,) if plain is None else (found, str(plain)))


def read_hosts(hosts: Iterable[str]) -> frozenset[str]:
    """Names and addresses that requests may be addressed to, each in its one spelling.

    Raises:
        TypeError: *hosts* is one text, whose letters would be taken for names.
        ValueError: one of *hosts* is no host that a request can name, such as ``shop:9000`` or ``*``.
    """
    if isinstance(hosts, str):
        raise TypeError(f"hosts= takes a sequence of names, such as ({hosts!r},)")
    found = frozenset(map(one_spelling, hosts)) - {""}  # no request names it; who binds it is told so
    for host in found:
        if _NAME.fullmatch(host) is None and not _is_address(host):
            raise ValueError(f"hosts= takes names and addresses without a port, found {host!r}")
    return found


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def with_port(scheme: str, host: str, port: int | None) -> tuple[str, int | None]:
    """Host and port, the port of the scheme where none is said."""
    return host, port if port is not None else _PORTS.get(scheme.lower())


def same_origin(origin: str, scheme: str, host: str, port: int | None) -> bool:
    """Whether an ``Origin`` header names this host and port.

    A page that came over TLS may ask in the clear, as behind a proxy that ends
    TLS itself; one that came in the clear is never of a port that speaks TLS.
    """
    theirs, _, authority = origin.partition("://")
    if theirs not in _PORTS or (scheme, theirs) == ("https", "http"):
        return False
    try:
        named = with_port(theirs, *split_authority(authority))
    except ValueError:
        return False
    return named == with_port(theirs, host, port)
