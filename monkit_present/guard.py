"""The guard: who may ask what. It stands before every page and every action.

A debug port on the loopback interface is reached by every web page that the
developer opens, so the names it answers to are listed, requests that a page
of another site made are refused, and nothing is told to be cacheable or to be
framed. Nothing here reads a page or a registry.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable
from urllib.parse import unquote

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from monkit_core.text import clean, clip
from monkit_present.access import Access, session_cookie
from monkit_present.authority import same_origin, spellings, split_authority
from monkit_present.limits import DEFAULTS
from monkit_present.responses import Problem, send_problem

__all__ = ["ACTION_HEADER", "LOOPBACK_NAMES", "PROTECTIVE_HEADERS", "Guard", "path_of"]

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")
MAX_HEADER_BYTES = DEFAULTS.head_bytes
MAX_TARGET_BYTES = DEFAULTS.target_bytes
ACTION_HEADER = (b"x-monkit-action", b"1")
"""What a request for a change has to bring; a page of another site cannot make a browser send it unasked."""

_log = logging.getLogger("monkit.present")
_READING = ("GET", "HEAD")
_ABSOLUTE = re.compile(r"https?://([^/?#]*)(.*)", re.DOTALL | re.IGNORECASE)
_JSON = re.compile(rb"application/json[ \t]*(;[ \t]*charset=\"?utf-8\"?[ \t]*)?", re.IGNORECASE)
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

RequestHeaders = Iterable[tuple[bytes, bytes]]


class Guard:
    """Lets through what may pass, refuses the rest, and puts the protective headers on every response.

    Args:
        app: what stands behind it.
        access: who is let in.
        hosts: names and addresses that requests may be addressed to, any port, as
            `read_hosts` gives them; the address that a request came in on is always
            one of them.
        methods: what may be asked of a path.
        is_document: whether a path is one of a page to read, which a link on another site may open.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        access: Access,
        hosts: Iterable[str],
        methods: Callable[[str], tuple[str, ...]],
        is_document: Callable[[str], bool],
    ) -> None:
        self._app = app
        self._access = access
        self._hosts = frozenset(hosts)
        self._methods = methods
        self._is_document = is_document

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
        _check_sizes(scope)
        headers = scope["headers"]
        path = path_of(scope)
        methods = self._methods(path)
        if scope["method"] not in methods:
            shown = ", ".join(methods)
            raise Problem(
                405, f"{clip(clean(scope['method']), 20)} is not among {shown}", ((b"allow", shown.encode()),)
            )
        _check_origin(headers, scope["scheme"], host, port)
        self._check_fetch_site(scope, path)
        self._access.check(path, headers, session_cookie(scope["scheme"], host, port))
        if scope["method"] not in _READING:
            _check_action(headers)

    def _check_host(self, scope: Scope) -> tuple[str, int | None]:
        values = _all(scope["headers"], b"host")
        if len(values) != 1:
            raise Problem(400, f"one Host header expected, found {len(values)}")
        return self._allowed(values[0].decode("latin-1"), scope)

    def _allowed(self, authority: str, scope: Scope) -> tuple[str, int | None]:
        try:
            host, port = split_authority(authority)
        except ValueError:
            raise Problem(400, f"Host header cannot be read: {_shown(authority)}") from None
        if host not in self._hosts and host not in _came_in_on(scope):
            raise Problem(403, f"host not allowed: {_shown(authority)}; name it with hosts= when serving")
        return host, port

    def _check_target(self, scope: Scope) -> None:
        """Put ``GET http://host/path`` into the usual form; refuse what names another host, or is no path."""
        if scope["path"].startswith("/"):
            return
        match = _ABSOLUTE.fullmatch((scope.get("raw_path") or b"").decode("latin-1"))
        if match is None:
            raise Problem(400, f"request target cannot be read: {_shown(scope['path'])}")
        self._allowed(match[1], scope)
        raw = match[2] or "/"
        scope["raw_path"] = raw.encode("latin-1")
        scope["path"] = unquote(raw)

    def _check_fetch_site(self, scope: Scope, path: str) -> None:
        """Of what other sites make a browser ask, only opening a page is let through."""
        headers = scope["headers"]
        sites = _all(headers, b"sec-fetch-site")
        if all(site in (b"none", b"same-origin") for site in sites):
            return
        way = (_all(headers, b"sec-fetch-mode"), _all(headers, b"sec-fetch-dest"))
        opens = way == ([b"navigate"], [b"document"]) and scope["method"] in _READING
        if opens and (sites == [b"same-site"] or self._is_document(path)):
            return
        raise Problem(403, "cross-site request refused; open the address itself")


def _came_in_on(scope: Scope) -> frozenset[str]:
    """The address of this side of the connection; a Unix socket has none, which shows in its having no number."""
    address, number = scope.get("server") or (None, None)
    return frozenset() if number is None else spellings(str(address))


def path_of(scope: Scope) -> str:
    """The path below the place where the application is mounted, without the slash that may trail."""
    path: str = scope["path"].removeprefix(scope.get("root_path", "")) or "/"
    return path.removesuffix("/") if path.strip("/") else path  # "//" is not the index


def _check_sizes(scope: Scope) -> None:
    """Servers limit what is not yet whole; what comes in one piece is measured here."""
    path, query = scope.get("raw_path") or scope["path"].encode(), scope["query_string"]
    target = len(path) + (1 + len(query) if query else 0)  # with the question mark between them
    if target > MAX_TARGET_BYTES:
        raise Problem(414, f"the target has {target:,} bytes, at most {MAX_TARGET_BYTES:,}")
    size = sum(len(name) + len(value) + 4 for name, value in scope["headers"])  # ": " and the end of the line
    if size > MAX_HEADER_BYTES:
        raise Problem(431, f"the headers have {size:,} bytes, at most {MAX_HEADER_BYTES:,}")


def _check_origin(headers: RequestHeaders, scheme: str, host: str, port: int | None) -> None:
    for value in _all(headers, b"origin"):
        origin = value.decode("latin-1")
        if not same_origin(origin, scheme, host, port):
            raise Problem(403, f"cross-site request refused: origin {_shown(origin)}")


def _check_action(headers: RequestHeaders) -> None:
    """A change is asked for in a way that no form and no other site can."""
    types = _all(headers, b"content-type")
    if len(types) != 1 or _JSON.fullmatch(types[0]) is None:
        raise Problem(415, "a change is asked for by a JSON object; send Content-Type: application/json")
    if _all(headers, ACTION_HEADER[0]) != [ACTION_HEADER[1]]:
        raise Problem(403, "a change is asked for with the header X-Monkit-Action: 1")


def _all(headers: RequestHeaders, wanted: bytes) -> list[bytes]:
    return [value for name, value in headers if name == wanted]


def _shown(text: str) -> str:
    return '"' + clean(clip(text, 100)).replace('"', '\\"') + '"'
