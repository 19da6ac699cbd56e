"""The guard: who may ask what. It stands before every page and every action.

A debug port on the loopback interface is reached by every web page that the
developer opens, so the names it answers to are listed, requests that a page
of another site made are refused, and nothing is told to be cacheable or to be
framed. Nothing here reads a page or a registry.
"""

from __future__ import annotations

import ipaddress
import logging
import re
from collections.abc import Iterable
from urllib.parse import unquote

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from monkit_core.text import clean, clip
from monkit_present.responses import Problem, send_problem

__all__ = ["LOOPBACK_NAMES", "PROTECTIVE_HEADERS", "Guard", "split_authority"]

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")

_log = logging.getLogger("monkit.present")
_METHODS = ("GET", "HEAD")
_AUTHORITY = re.compile(
    r"(?:\[(?P<six>[0-9A-Fa-f:.]{2,45})\]|(?P<name>[A-Za-z0-9._-]{1,253}))(?::(?P<port>[0-9]{1,5}))?"
)
_ABSOLUTE = re.compile(r"https?://([^/?#]*)(.*)", re.DOTALL | re.IGNORECASE)
PROTECTIVE_HEADERS = {
    b"content-security-policy": b"default-src 'none'; base-uri 'none'; form-action 'none'; "
    b"frame-ancestors 'none'; sandbox",
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"no-referrer",
    b"cache-control": b"no-store",
    b"x-frame-options": b"DENY",
    b"cross-origin-resource-policy": b"same-origin",
    b"cross-origin-opener-policy": b"same-origin",
}
"""On every response; a page may bring a policy of its own."""


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


class Guard:
    """Lets through what may pass, refuses the rest, and puts the protective headers on every response.

    Args:
        app: what stands behind it.
        hosts: names and addresses that requests may be addressed to, any port; the
            address that a request came in on is always one of them.
        documents: paths of HTML pages, which a link on another site may open.
    """

    def __init__(self, app: ASGIApp, *, hosts: Iterable[str], documents: Iterable[str] = ()) -> None:
        self._app = app
        self._hosts = frozenset(_one_spelling(host) for host in hosts)
        self._documents = frozenset(documents)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] != "http":
            return
        started = False

        async def guarded_send(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                present = {name.lower() for name, _ in message["headers"]}
                extra = [(name, value) for name, value in PROTECTIVE_HEADERS.items() if name not in present]
                message = {**message, "headers": [*message["headers"], *extra]}
            await send(message)

        try:
            self._check(scope)
            await self._app(scope, receive, guarded_send)
        except Problem as problem:
            await send_problem(guarded_send, problem)
        except Exception:  # whatever a page raises: logged here, never shown to a caller
            _log.exception("a page failed")
            if started:
                raise
            await send_problem(guarded_send, Problem(500, "the page failed; the log of the process says why"))

    def _check(self, scope: Scope) -> None:
        """Refuse by a `Problem`; an absolute target of ours is put into the usual form."""
        host, port = self._check_host(scope)
        self._check_target(scope)
        headers = scope["headers"]
        if scope["method"] not in _METHODS:
            raise Problem(
                405,
                f"{clip(clean(scope['method']), 20)} is not among {', '.join(_METHODS)}",
                ((b"allow", ", ".join(_METHODS).encode()),),
            )
        _check_origin(headers, host, port)
        self._check_fetch_site(scope, headers)

    def _check_host(self, scope: Scope) -> tuple[str, int | None]:
        values = [value for name, value in scope["headers"] if name == b"host"]
        if len(values) != 1:
            raise Problem(400, f"one Host header expected, found {len(values)}")
        return self._allowed(values[0].decode("latin-1"), scope)

    def _allowed(self, authority: str, scope: Scope) -> tuple[str, int | None]:
        try:
            host, port = split_authority(authority)
        except ValueError:
            raise Problem(400, f"Host header cannot be read: {_shown(authority)}") from None
        own = scope.get("server")
        if host not in self._hosts and not (own and host == _one_spelling(str(own[0]))):
            raise Problem(403, f"host not allowed: {_shown(authority)}; name it with hosts= when serving")
        return host, port

    def _check_target(self, scope: Scope) -> None:
        """Put ``GET http://host/path`` into the usual form; refuse what names another host, or is no path."""
        if scope["path"].startswith("/"):
            return
        match = _ABSOLUTE.fullmatch(scope.get("raw_path", b"").decode("latin-1"))
        if match is None:
            raise Problem(400, f"request target cannot be read: {_shown(scope['path'])}")
        self._allowed(match[1], scope)
        raw = match[2] or "/"
        scope["raw_path"] = raw.encode("latin-1")
        scope["path"] = unquote(raw)

    def _check_fetch_site(self, scope: Scope, headers: Iterable[tuple[bytes, bytes]]) -> None:
        """Of what other sites make a browser ask, only opening a page is let through."""
        fetch = {name: value for name, value in headers if name.startswith(b"sec-fetch-")}
        site = fetch.get(b"sec-fetch-site", b"none")
        if site in (b"none", b"same-origin"):
            return
        opens = fetch.get(b"sec-fetch-mode") == b"navigate" and fetch.get(b"sec-fetch-dest") == b"document"
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        if opens and (site == b"same-site" or path in self._documents):
            return
        raise Problem(403, "cross-site request refused; open the address itself")


def _check_origin(headers: Iterable[tuple[bytes, bytes]], host: str, port: int | None) -> None:
    for name, value in headers:
        if name == b"origin":
            scheme, separator, authority = value.decode("latin-1").partition("://")
            try:
                same = bool(separator) and _with_port(scheme, *split_authority(authority)) == _with_port(
                    scheme, host, port
                )
            except ValueError:
                same = False
            if not same:
                raise Problem(403, f"cross-site request refused: origin {_shown(value.decode('latin-1'))}")


def _with_port(scheme: str, host: str, port: int | None) -> tuple[str, int | None]:
    return host, port if port is not None else {"http": 80, "https": 443}.get(scheme.lower())


def _one_spelling(host: str) -> str:
    """Lower case; an address as `ipaddress` writes it."""
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        return host.lower()


def _shown(text: str) -> str:
    return '"' + clean(clip(text, 100)).replace('"', '\\"') + '"'
