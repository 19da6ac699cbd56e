"""What tests of the debug port need: a served registry, clients that send what they like, waits, readers of bodies."""

from __future__ import annotations

import re
import socket
import threading
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from http.client import HTTPResponse
from types import TracebackType
from typing import Any

import orjson

from monkit_core import Registry
from monkit_present.access import Access
from monkit_present.app import DebugApp
from monkit_present.capture import Captures
from monkit_present.catalogue import PAGES
from monkit_present.listener import listen_tcp
from monkit_present.pages import addresses
from monkit_present.server import Server
from monkit_present.sign_in import SIGN_IN, SIGN_OUT
from monkit_present.workers import Workers
from tests.helpers import BOUND_S, fresh_scope

SVG = "{http://www.w3.org/2000/svg}"
PROMPT_S = 1.0
"""How soon a wait begins to answer, a leaving client is noticed, and a closed server is gone."""

EVERY = tuple(address for page in PAGES for address in addresses(page))
"""Every address, in the order of the table."""

STREAMS = tuple(address for address in EVERY if address.is_stream)
"""Those that go on as long as one reads."""

PLACES = tuple(address for address in EVERY if not address.is_stream and address.page.variable is None)
"""Every other address whose path says all, in the order of the table."""

SESSIONS = (SIGN_IN, SIGN_OUT)
"""The pages that a port has only with a token."""

READ = tuple(place for place in PLACES if place.formats and not place.page.waits and place.page not in SESSIONS)
"""Those that show something at once, without a token."""

TOKEN = "correct-horse-battery-staple-0123456789-XYZ"
BROWSER = (("Accept", "text/html,application/xhtml+xml,*/*;q=0.8"),)
"""What a browser brings that opens a page."""
CHANGE = (("Content-Type", "application/json"), ("X-Monkit-Action", "1"))
"""What a request for a change brings, beside its JSON."""

Headers = Iterable[tuple[str, str]]


def eventually(condition: Callable[[], bool], bound_s: float = BOUND_S) -> bool:
    """Whether *condition* holds by the bound. The one place where tests spin."""
    pause = threading.Event()
    for _ in range(max(1, int(bound_s / 0.002))):
        if condition():
            return True
        pause.wait(0.002)
    return condition()


def busy_registry() -> Registry:
    """One of each: counters, gauges, functions with errors, tags."""
    registry, scope = fresh_scope()
    scope.counter("used").inc(3)
    scope.gauge("queue", lambda: 7)
    with scope.task("outer"), scope.task("inner", method="GET"):
        pass
    return registry


@contextmanager
def served(
    registry: Registry,
    *,
    captures: Captures | None = None,
    workers: Workers | None = None,
    hosts: Iterable[str] = (),
    host: str = "127.0.0.1",
    access: Access | None = None,
    viz_hosts: Iterable[str] = (),
) -> Iterator[Server]:
    """A registry on a free port, with limits of the test's own; open to everybody unless *access* says more."""
    app = DebugApp(
        registry,
        access=Access(everybody=True) if access is None else access,
        hosts=hosts,
        viz_hosts=viz_hosts,
        captures=captures,
        workers=workers,
    )
    server = Server()
    server._start(app, listen_tcp(host, 0))
    try:
        yield server
    finally:
        server.close()
    assert server.error is None


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode("utf-8")

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)

    def all(self, name: str) -> list[str]:
        """Every value of a header."""
        return [value for key, value in self.headers if key.lower() == name]

    def header(self, name: str) -> str:
        """The value of a header that is there once."""
        (value,) = self.all(name)
        return value


def connect(server: Server) -> socket.socket:
    assert server.port is not None
    host = "::1" if server.url is not None and "[" in server.url else "127.0.0.1"
    return socket.create_connection((host, server.port), timeout=BOUND_S)


def request(
    server: Server, target: str = "/", *, method: str = "GET", headers: Headers = (), host: str | None = None
) -> bytes:
    """The bytes of a request; *host* as it is, ``""`` for an empty header."""
    lines = [f"{method} {target} HTTP/1.1", f"Host: {f'localhost:{server.port}' if host is None else host}"]
    lines += [f"{name}: {value}" for name, value in headers]
    return "\r\n".join([*lines, "Connection: close", "", ""]).encode("latin-1")


def exchange(server: Server, data: bytes, *, method: str = "GET") -> Answer:
    """Send bytes as they are and read what comes back to its end."""
    with connect(server) as connection:
        connection.sendall(data)
        response = HTTPResponse(connection, method=method)
        try:
            response.begin()
            return Answer(response.status, tuple(response.getheaders()), response.read())
        finally:
            response.close()


def ask(
    server: Server, target: str = "/", *, method: str = "GET", headers: Headers = (), host: str | None = None
) -> Answer:
    return exchange(server, request(server, target, method=method, headers=headers, host=host), method=method)


@dataclass
class Wait(AbstractContextManager["Wait"]):
    """An open capture: on entering, its headers and the first byte of its body have come."""

    server: Server
    target: str
    timeout_s: float = BOUND_S
    body: bytes = b""
    _connection: socket.socket = field(init=False)
    _response: HTTPResponse = field(init=False)

    def __enter__(self) -> Wait:
        self._connection = connect(self.server)
        self._connection.settimeout(self.timeout_s)
        self._connection.sendall(request(self.server, self.target))
        self._response = HTTPResponse(self._connection)
        self._response.begin()
        self.chunk()
        return self

    def chunk(self) -> bytes:
        """The next piece as it comes; empty at the end."""
        piece = self._response.read1(65_536)
        self.body += piece
        return piece

    def rest(self) -> bytes:
        """The whole body, once it has ended."""
        self.body += self._response.read()
        return self.body

    @property
    def status(self) -> int:
        return self._response.status

    def header(self, name: str) -> str | None:
        return self._response.getheader(name)

    def json(self) -> Any:
        return orjson.loads(self.rest())

    def svg(self) -> ET.Element:
        return ET.fromstring(self.rest())

    def leave(self) -> None:
        """Go away without a word."""
        self._response.close()
        self._connection.close()

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.leave()


def bars(picture: ET.Element) -> list[ET.Element]:
    """The groups of the spans of a trace picture, in order."""
    return [group for group in picture.iter(f"{SVG}g") if "s" in group.get("class", "").split()]


def words(picture: ET.Element) -> str:
    """All that a picture says, script and style aside."""
    return "\n".join(element.text or "" for element in picture.iter() if element.tag in (f"{SVG}text", f"{SVG}title"))


@dataclass(frozen=True)
class Graph:
    """What a DOT text says: labels by node, entities decoded and lines cut; and edges."""

    labels: dict[str, list[str]]
    edges: set[tuple[str, str]]


_DOT_TOKEN = re.compile(r'\s+|(?P<token>->|[{}\[\]=;,]|[A-Za-z_0-9]+|"(?:[^"\\\n]|\\.)*")')
_LABEL = re.compile(r"(?:\\l|&#[0-9]+;|[^\x00-\x1f!-/:-@\[-`{-\x7f])*+")
_ESCAPE = re.compile(r"\\l|&#([0-9]+);")


def parse_dot(text: str) -> Graph:
    """Read the part of the language that pages write; anything else is refused, an HTML-like label too."""
    tokens = _dot_tokens(text)
    assert tokens[:3] == ["digraph", "G", "{"]
    assert tokens[-1] == "}"
    labels: dict[str, list[str]] = {}
    edges: set[tuple[str, str]] = set()
    position = 3
    while position < len(tokens) - 1:
        name, following = tokens[position], tokens[position + 1]
        assert re.fullmatch(r"[A-Za-z_0-9]+", name), name
        if following == "->":
            edges.add((name, tokens[position + 2]))
            position += 3
        else:
            bracket, key, equals, value, end = tokens[position + 1 : position + 6]
            assert (bracket, equals, end) == ("[", "=", "]")
            if (name, key) != ("node", "shape"):
                assert key == "label"
                assert name not in labels
                labels[name] = decode_label(value)
            position += 6
        if tokens[position] == ";":
            position += 1
    return Graph(labels, edges)


def _dot_tokens(text: str) -> list[str]:
    tokens, position = [], 0
    while position < len(text):
        match = _DOT_TOKEN.match(text, position)
        assert match is not None, f"no DOT: {text[position : position + 40]!r}"
        if match["token"]:
            tokens.append(match["token"])
        position = match.end()
    return tokens


def decode_label(value: str) -> list[str]:
    """The lines of a label. Punctuation that is no entity is refused: it could mean something to Graphviz."""
    inner = value[1:-1] if value.startswith('"') else value
    match = _LABEL.match(inner)
    assert match is not None
    assert match.end() == len(inner), f"bare punctuation in a label: {inner[match.end() : match.end() + 40]!r}"
    decoded = _ESCAPE.sub(lambda found: chr(int(found[1])) if found[1] else "\n", inner)
    return decoded.removesuffix("\n").split("\n")
