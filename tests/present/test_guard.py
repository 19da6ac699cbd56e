"""Who may ask what; each test names the line of the security checklist that it holds."""

from __future__ import annotations

import asyncio
import logging
import re
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.types import Message

import monkit_present
from monkit_core import Registry
from monkit_present.app import DebugApp
from monkit_present.guard import PROTECTIVE_HEADERS
from monkit_present.render import trace_svg
from monkit_present.server import Server
from monkit_present.trace_pages import TRACE
from tests.helpers import fresh_scope
from tests.http_helpers import READ, Answer, Headers, Wait, ask, connect, exchange, request, served

DOCUMENTS = ("/", "/funcs")
"""Pages to read, which a link on another site may open."""
INDEX, PAGE, PICTURE = "/", "/funcs", "/trace/svg?regex=handle&timeout=0.01"


@pytest.fixture
def server() -> Iterator[Server]:
    registry, scope = fresh_scope()
    scope.func("handle")
    with served(registry, hosts=["debug.shop.test", "Shop.TEST", "2001:DB8:0::1", "10.0.0.7"]) as running:
        yield running


def check_protected(answer: Answer) -> None:
    """What stands on every response whatever it says."""
    for name, value in PROTECTIVE_HEADERS.items():
        if name != b"content-security-policy":
            assert answer.header(name.decode()) == value.decode()
    policy = answer.header("content-security-policy")
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe-inline" not in policy
    assert answer.all("server") == []
    assert [name for name, _ in answer.headers if name.lower().startswith("access-control-")] == []
    assert answer.all("set-cookie") == []


def check_refused(answer: Answer, status: int, words: str) -> None:
    check_protected(answer)
    assert answer.status == status
    assert answer.header("content-type") == "text/plain; charset=utf-8"
    assert words in answer.text
    assert answer.text.splitlines(keepends=True) == [answer.text]


# Line 1: what is bound.


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "::ffff:10.0.0.7"])
def test_line_1_bind_that_others_reach_is_refused_unless_said_in_words(
    host: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    bound: list[object] = []
    monkeypatch.setattr(socket.socket, "bind", lambda self, address: bound.append(address))
    handle = monkit_present.serve(Registry(), host=host, port=0)
    assert isinstance(handle.error, PermissionError)
    assert str(handle.error) == (
        f"{host} is reached from other machines; give token=, bind 127.0.0.1, or say insecure=True if that is meant"
    )
    assert (handle.url, handle.port, bound) == (None, None, [])
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    handle.close()


def test_line_1_bind_that_others_reach_raises_if_strict() -> None:
    with pytest.raises(PermissionError, match="reached from other machines"):
        monkit_present.serve(Registry(), host="0.0.0.0", port=0, strict=True)


def test_line_1_insecure_bind_listens_and_still_looks_at_the_host() -> None:
    handle = monkit_present.serve(Registry(), host="0.0.0.0", port=0, insecure=True)
    try:
        assert handle.error is None
        assert handle.url == f"http://0.0.0.0:{handle.port}"
        assert ask(handle).status == 200
        assert ask(handle, host="evil.test").status == 403
    finally:
        handle.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.5", "localhost"])
def test_line_1_every_loopback_address_may_be_bound(host: str) -> None:
    handle = monkit_present.serve(Registry(), host=host, port=0)
    try:
        assert handle.error is None
        assert handle.url is not None
    finally:
        handle.close()


# Line 4: Host.


ALLOWED_HOSTS = (
    "localhost localhost:{port} LocalHost:{port} localhost:1 localhost:65535 127.0.0.1 127.0.0.1:{port} [::1] "
    "[::1]:{port} [0:0:0:0:0:0:0:1] [0000::0001]:80 debug.shop.test DEBUG.shop.test:9000 shop.test "
    "[2001:db8::1] 10.0.0.7:9000"
)


@pytest.mark.parametrize("host", ALLOWED_HOSTS.split())
def test_line_4_allowed_host_is_answered_with_any_port(server: Server, host: str) -> None:
    assert ask(server, host=host.format(port=server.port)).status == 200


OTHER_HOSTS = (
    "evil.test localhost. localhost.evil.test evil.localhost 127.0.0.1.evil.test "
    "7f000001.c0a80001.rbndr.evil.test 127-0-0-1.evil.test 1.0.0.127.in-addr.arpa 127.1 127.0.1 0x7f.1 "
    "0x7f000001 2130706433 017700000001 0177.0.0.1 127.0.0.01 127.0.0.2 0.0.0.0 0 [::] [::2] "
    "[::ffff:127.0.0.1] [2001:db8::2] xn--lcalhost-54a 192.0.2.1 _"
)


@pytest.mark.parametrize("host", OTHER_HOSTS.split())
def test_line_4_other_host_is_refused(server: Server, host: str) -> None:
    for shown in (host, f"{host}:{server.port}"):
        check_refused(ask(server, host=shown), 403, f'host not allowed: "{shown}"')


UNREADABLE_HOSTS = (
    ": :80 localhost: localhost:x localhost:-1 localhost:65536 localhost:123456 localhost:80:80 "
    "user@localhost user:password@localhost:80 localhost@evil.test localhost/evil.test localhost? localhost# "
    "localhost\\evil.test localhost,evil.test localhost%00 http://localhost ::1 [::1 ::1] [::1]x [::1]] "
    "[::1%eth0] [:::1] [127.0.0.1] [1::2::3] [localhost] löcalhost *"
)


@pytest.mark.parametrize("host", ["", "localhost evil.test", "x" * 254, *UNREADABLE_HOSTS.split()])
def test_line_4_host_that_cannot_be_read_is_refused(server: Server, host: str) -> None:
    answer = ask(server, host=host)
    check_refused(answer, 400, "Bad Request: ")
    assert len(answer.text) < 200


def test_line_4_request_without_a_host_is_refused(server: Server) -> None:
    check_refused(exchange(server, b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n"), 400, "Bad Request: ")
    check_refused(exchange(server, b"GET / HTTP/1.0\r\n\r\n"), 400, "one Host header expected, found 0")


@pytest.mark.parametrize("version", ["1.0", "1.1"])
@pytest.mark.parametrize("hosts", [("localhost", "evil.test"), ("evil.test", "localhost"), ("localhost", "localhost")])
def test_line_4_two_hosts_are_refused(server: Server, version: str, hosts: tuple[str, str]) -> None:
    lines = [f"GET / HTTP/{version}", *(f"Host: {host}" for host in hosts), "Connection: close", "", ""]
    check_refused(exchange(server, "\r\n".join(lines).encode()), 400, "Bad Request: ")


async def call(app: DebugApp, headers: list[tuple[bytes, bytes]], **more: Any) -> list[Message]:
    """Ask without a server, which would refuse some requests by itself."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    scope = {"type": "http", "method": "GET", "scheme": "http", "path": "/", "query_string": b"", "headers": headers}
    await app({**scope, **more}, receive, send)
    return sent


def test_line_4_two_hosts_are_refused_whatever_server_runs_the_application() -> None:
    app = monkit_present.app(Registry(), insecure=True)
    sent = asyncio.run(call(app, [(b"host", b"localhost"), (b"host", b"localhost")]))
    assert sent[0]["status"] == 400
    assert sent[1]["body"] == b"Bad Request: one Host header expected, found 2\n"


def test_line_4_address_that_a_request_came_in_on_is_allowed() -> None:
    app = monkit_present.app(Registry(), insecure=True)
    for host, status in ((b"192.0.2.7:80", 200), (b"192.0.2.8", 403), (b"[2001:db8::7]", 403)):
        assert asyncio.run(call(app, [(b"host", host)], server=("192.0.2.7", 80)))[0]["status"] == status
    sent = asyncio.run(call(app, [(b"host", b"[2001:db8:0::7]")], server=("2001:db8::7", 80)))
    assert sent[0]["status"] == 200


def test_line_4_plain_address_of_a_client_on_a_socket_for_both_versions_is_allowed() -> None:
    """A socket on ``::`` has for a client of IPv4 an address that holds the plain one."""
    app = monkit_present.app(Registry(), insecure=True)
    for host, status in ((b"192.0.2.7:80", 200), (b"[::ffff:192.0.2.7]", 200), (b"192.0.2.8", 403), (b"::ffff", 400)):
        sent = asyncio.run(call(app, [(b"host", host)], server=("::ffff:192.0.2.7", 80)))
        assert sent[0]["status"] == status


@pytest.mark.parametrize("host", ["shop.test:9000", "[::1]", "http://shop.test", "*", "shop.test/", "x" * 254])
def test_line_4_host_that_no_request_can_name_is_said_when_serving(host: str) -> None:
    with pytest.raises(ValueError, match=r"^hosts= takes names and addresses without a port, found "):
        monkit_present.app(Registry(), insecure=True, hosts=[host])
    handle = monkit_present.serve(Registry(), port=0, hosts=[host])
    assert isinstance(handle.error, ValueError)
    assert handle.url is None


def test_line_4_letters_of_one_text_are_no_hosts() -> None:
    with pytest.raises(TypeError, match=r"^hosts= takes a sequence of names, such as \('shop.test',\)$"):
        monkit_present.app(Registry(), insecure=True, hosts="shop.test")


def test_line_4_name_of_a_unix_socket_is_no_host() -> None:
    app = monkit_present.app(Registry(), insecure=True)
    assert asyncio.run(call(app, [(b"host", b"shop.sock")], server=("shop.sock", None)))[0]["status"] == 403
    assert asyncio.run(call(app, [(b"host", b"localhost")], server=("shop.sock", None)))[0]["status"] == 200


def test_line_4_host_is_looked_at_before_path_method_and_query(server: Server) -> None:
    for target, method in (("/nope", "GET"), ("/", "POST"), ("/trace/svg", "GET"), ("*", "OPTIONS")):
        assert ask(server, target, method=method, host="evil.test").status == 403


# Line 4: absolute-form targets.


@pytest.mark.parametrize("path", ["/funcs", "/funcs/", "/funcs?", "/%66uncs"])
@pytest.mark.parametrize("authority", ["localhost:{port}", "LOCALHOST", "127.0.0.1:{port}", "[::1]:80"])
def test_line_4_absolute_target_of_ours_is_answered_as_usual(server: Server, authority: str, path: str) -> None:
    for scheme in ("http", "HTTP", "https"):
        answer = ask(server, f"{scheme}://{authority.format(port=server.port)}{path}")
        assert (answer.status, answer.body) == (200, ask(server, path).body)


@pytest.mark.parametrize("target", ["http://localhost:{port}", "http://localhost:{port}/", "http://localhost?"])
def test_line_4_absolute_target_without_a_path_is_the_index(server: Server, target: str) -> None:
    assert ask(server, target.format(port=server.port)).text == ask(server, "/").text


def test_line_4_absolute_target_keeps_its_query(server: Server) -> None:
    with Wait(server, f"http://localhost:{server.port}/trace/json?regex=handle") as wait:
        assert wait.status == 200


@pytest.mark.parametrize(
    "target", ["http://evil.test/funcs", "http://evil.test:{port}/", "https://localhost.evil.test/"]
)
def test_line_4_absolute_target_of_another_authority_is_refused(server: Server, target: str) -> None:
    check_refused(ask(server, target.format(port=server.port)), 403, "host not allowed: ")


UNREADABLE = (
    "http:// http:///funcs http://user@localhost/ http://localhost:99999/ ftp://localhost/funcs * funcs localhost:80 "
    "file:///etc/passwd javascript:alert(1) http:/localhost/funcs ?x #/funcs"
)


@pytest.mark.parametrize("target", UNREADABLE.split())
def test_line_4_target_that_cannot_be_read_is_refused(server: Server, target: str) -> None:
    check_refused(ask(server, target), 400, "Bad Request: ")


def test_line_4_host_counts_beside_an_absolute_target_too(server: Server) -> None:
    check_refused(ask(server, f"http://localhost:{server.port}/", host="evil.test"), 403, "host not allowed")


# Line 5: other sites.


def origin(*values: str) -> Headers:
    return [("Origin", value) for value in values]


def test_line_5_origin_of_ours_is_answered(server: Server) -> None:
    own = f"http://localhost:{server.port}"
    for headers in (origin(own), origin(own.upper().replace("HTTP", "http")), origin(own, own)):
        assert ask(server, PAGE, headers=headers).status == 200
    assert ask(server, PAGE, host="localhost", headers=origin("http://localhost")).status == 200
    assert ask(server, PAGE, host="localhost", headers=origin("http://localhost:80")).status == 200
    assert ask(server, PAGE, host="localhost:443", headers=origin("https://localhost")).status == 200
    assert ask(server, PAGE, host="[::1]:80", headers=origin("http://[0::1]")).status == 200


@pytest.mark.parametrize(
    "values",
    [
        ("null",),
        ("",),
        ("http://evil.test",),
        ("http://localhost",),
        ("http://localhost:1",),
        ("http://127.0.0.1:{port}",),
        ("http://localhost.evil.test:{port}",),
        ("http://localhost:{port}.evil.test",),
        ("http://localhost:{port}/",),
        ("http://user@localhost:{port}",),
        ("localhost:{port}",),
        ("//localhost:{port}",),
        ("http://localhost:{port}", "http://evil.test"),
        ("http://evil.test", "http://localhost:{port}"),
        ("http://localhost:{port} http://evil.test",),
        ("http://localhost:{port}, http://evil.test",),
    ],
)
def test_line_5_other_origin_is_refused(server: Server, values: tuple[str, ...]) -> None:
    headers = origin(*(value.format(port=server.port) for value in values))
    for path in (INDEX, PAGE, PICTURE):
        check_refused(ask(server, path, headers=headers), 403, "cross-site request refused: origin ")


def test_line_5_origin_that_came_in_the_clear_is_none_of_a_port_that_speaks_tls() -> None:
    app = monkit_present.app(Registry(), insecure=True)
    for scheme, origin, host, status in (
        ("https", b"http://localhost", b"localhost", 403),
        ("https", b"http://localhost:9443", b"localhost:9443", 403),
        ("https", b"https://localhost:9443", b"localhost:9443", 200),
        ("https", b"https://localhost", b"localhost", 200),
        ("http", b"https://localhost", b"localhost", 200),  # a proxy may have ended TLS
        ("http", b"http://localhost", b"localhost", 200),
        ("http", b"ftp://localhost", b"localhost", 403),
        ("http", b"chrome-extension://localhost", b"localhost", 403),
    ):
        sent = asyncio.run(call(app, [(b"host", host), (b"origin", origin)], scheme=scheme))
        assert sent[0]["status"] == status, (scheme, origin)


def fetch(site: str, mode: str, dest: str) -> Headers:
    return [("Sec-Fetch-Site", site), ("Sec-Fetch-Mode", mode), ("Sec-Fetch-Dest", dest)]


WAYS = (
    ("navigate", "document"),
    ("navigate", "iframe"),
    ("navigate", "frame"),
    ("navigate", "object"),
    ("navigate", "embed"),
    ("no-cors", "image"),
    ("no-cors", "script"),
    ("no-cors", "style"),
    ("no-cors", "empty"),
    ("cors", "empty"),
    ("same-origin", "empty"),
    ("websocket", "empty"),
)


@pytest.mark.parametrize("path", [INDEX, PAGE, "/ps/json", PICTURE, "/nope"])
def test_line_5_sec_fetch_site_decides_who_may_open_what(server: Server, path: str) -> None:
    usual = ask(server, path).status
    for site in ("cross-site", "same-site", "same-origin", "none", "bogus", ""):
        for mode, dest in WAYS:
            opens = (mode, dest) == ("navigate", "document")
            allowed = site in ("none", "same-origin") or (opens and (site == "same-site" or path in DOCUMENTS))
            answer = ask(server, path, headers=fetch(site, mode, dest))
            assert answer.status == (usual if allowed else 403), (site, mode, dest)
            if not allowed:
                check_refused(answer, 403, "cross-site request refused; open the address itself")


def test_line_5_request_of_a_program_without_such_headers_is_answered(server: Server) -> None:
    assert ask(server, PAGE).status == 200


def test_line_5_cross_site_without_a_mode_is_refused(server: Server) -> None:
    assert ask(server, INDEX, headers=[("Sec-Fetch-Site", "cross-site")]).status == 403


@pytest.mark.parametrize("sites", [("cross-site", "none"), ("none", "cross-site"), ("same-site", "cross-site")])
def test_line_5_every_sec_fetch_site_counts(server: Server, sites: tuple[str, ...]) -> None:
    headers = [("Sec-Fetch-Site", site) for site in sites]
    assert ask(server, "/funcs/json", headers=headers).status == 403
    assert ask(server, "/funcs/json", headers=[*headers, *fetch("same-site", "navigate", "document")]).status == 403


def test_line_5_wait_that_another_site_asked_for_never_begins() -> None:
    registry, scope = fresh_scope()
    scope.func("handle")
    with served(registry) as server:
        target = "/trace/json?regex=handle"
        assert ask(server, target, headers=fetch("cross-site", "no-cors", "image")).status == 403
        assert ask(server, target, headers=origin("http://evil.test")).status == 403
        assert registry.watcher_count == 0


def test_line_5_link_from_another_site_works_to_the_documents_of_a_mounted_application() -> None:
    app = monkit_present.app(Registry(), insecure=True)
    headers = [(b"host", b"localhost"), (b"sec-fetch-site", b"cross-site"), (b"sec-fetch-mode", b"navigate")]
    headers.append((b"sec-fetch-dest", b"document"))
    for path, status in (("/debug/", 200), ("/debug/funcs", 200), ("/debug/funcs/json", 403)):
        assert asyncio.run(call(app, headers, path=path, root_path="/debug"))[0]["status"] == status


# Line 6: methods.


@pytest.mark.parametrize(
    "method",
    ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PROPFIND", "get", "Get", "head", "X" * 99],
)
def test_line_6_methods_but_get_and_head_are_refused_everywhere(server: Server, method: str) -> None:
    for path in (INDEX, PAGE, PICTURE, "/nope"):
        answer = ask(server, path, method=method)
        check_refused(answer, 405, "is not among GET, HEAD")
        assert answer.header("allow") == "GET, HEAD"
        assert len(answer.text) < 100


@pytest.mark.parametrize("path", ["/ps", "/stats/mark", "/health", "/", "/nope"])
def test_line_6_path_is_the_same_for_the_guard_and_for_what_answers(
    server: Server, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    """An end of line at the end, which a pattern with ``$`` overlooks, is part of a path."""
    for end in ("%0A", "/%0A", "%0D", "%00", "%20", "//", "%2F%2F"):
        for method in ("GET", "HEAD"):
            assert ask(server, path + end, method=method).status == 404, end
    assert caplog.records == []


def test_line_6_options_gives_no_leave_to_other_sites(server: Server) -> None:
    headers = [*origin("http://evil.test"), ("Access-Control-Request-Method", "POST")]
    check_refused(ask(server, PAGE, method="OPTIONS", headers=headers), 405, "OPTIONS is not among")


def test_line_6_body_of_a_get_changes_nothing(server: Server) -> None:
    data = request(server, PAGE, headers=[("Content-Length", "5")]) + b"hello"
    assert exchange(server, data).status == 200


# Line 11: sizes of what comes in one piece.


def head_of(size: int, line: bytes = b"X-A: ") -> bytes:
    """A request whose header lines have so many bytes, ends of lines with them."""
    fixed = b"Host: localhost\r\nConnection: close\r\n"
    filling = size - len(fixed) - len(line) - 2
    return b"GET /funcs HTTP/1.1\r\n" + fixed + line + b"x" * filling + b"\r\n\r\n"


def test_line_11_headers_of_16_kb_are_the_most(server: Server) -> None:
    for size, status in ((16_384 - 100, 200), (16_384, 200), (16_385, 431), (17_000, 431), (60_000, 431)):
        answer = whole_at_once(head_of(size))
        assert answer[0] == status, size
        assert answer[1] == ("" if status == 200 else f"the headers have {size:,} bytes, at most 16,384")


def whole_at_once(data: bytes) -> tuple[int, str]:
    """What the guard says to a request that came in one piece, whatever the server would have made of it."""
    lines = data.split(b"\r\n")[1:-2]
    headers = [(name.lower(), value) for name, _, value in (line.partition(b": ") for line in lines)]
    sent = asyncio.run(call(monkit_present.app(Registry(), insecure=True), headers, path="/funcs"))
    text = b"".join(message.get("body", b"") for message in sent).decode()
    return sent[0]["status"], text.partition(": ")[2].removesuffix("\n")


def test_line_11_large_head_that_arrives_in_one_read_is_refused_over_the_wire(server: Server) -> None:
    answer = exchange(server, head_of(17_000))
    assert answer.status in (400, 431)  # 400 where the pieces were seen one by one
    check_protected(answer)
    many = [("X-A", "y" * 100)] * 160
    answer = ask(server, PAGE, headers=many)
    assert answer.status in (400, 431)
    check_protected(answer)


def test_line_11_target_of_8_kb_is_the_longest(server: Server) -> None:
    for target in ("/nope" + "x" * 8_187, "/funcs?" + "x" * 8_185):
        assert ask(server, target).status in (404, 400)
        check_refused(ask(server, target + "x"), 414, "the request target is longer than 8,192 bytes")
    check_refused(ask(server, "http://localhost/" + "x" * 8_192), 414, "the request target is longer than 8,192 bytes")


def test_line_11_target_is_measured_whatever_server_runs_the_application() -> None:
    app = monkit_present.app(Registry(), insecure=True)
    for query, status in ((b"x" * 8_185, 400), (b"x" * 8_186, 414)):
        sent = asyncio.run(call(app, [(b"host", b"localhost")], path="/funcs", raw_path=b"/funcs", query_string=query))
        assert sent[0]["status"] == status
    sent = asyncio.run(call(app, [(b"host", b"localhost")], path="/" + "x" * 8_192))
    assert sent[1]["body"].endswith(b": the target has 8,193 bytes, at most 8,192\n")
    sent = asyncio.run(call(app, [(b"host", b"evil.test")], path="/" + "x" * 8_192))
    assert sent[0]["status"] == 403


def test_line_11_sizes_hold_whatever_server_runs_the_application_and_host_is_looked_at_first() -> None:
    app = monkit_present.app(Registry(), insecure=True)
    long_path, many = "/" + "x" * 9_000, (b"x-many", b"y" * 17_000)
    for host, more, status in (
        (b"localhost", {"path": long_path}, 414),
        (b"evil.test", {"path": long_path}, 403),
        (b"localhost", {}, 431),
        (b"evil.test", {}, 403),
    ):
        headers = [(b"host", host)] if more else [(b"host", host), many]
        assert asyncio.run(call(app, headers, **more))[0]["status"] == status


# Lines 7 and 15: headers.


def test_line_7_every_response_is_protected_and_names_no_server(server: Server) -> None:
    paths = [*(place.path for place in READ), PICTURE, "/trace/json?regex=handle&timeout=0.01", "/nope"]
    paths += ["/trace/svg", "/trace/svg?regex=nothing", "/trace/xml?regex=handle"]
    for path in paths:
        for method in ("GET", "HEAD"):
            check_protected(ask(server, path, method=method))


def test_line_7_response_to_what_is_no_http_is_protected_too(server: Server) -> None:
    for data in (b"\x16\x03\x01\x02\x00garbage\r\n\r\n", b"GET\r\n\r\n", b"GET / SPDY/3\r\n\r\n"):
        check_refused(exchange(server, data), 400, "Bad Request: this is not a valid HTTP request")


def test_line_11_head_of_a_request_that_does_not_end_is_refused(server: Server) -> None:
    endless = b"GET /funcs HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 20_000
    check_refused(exchange(server, endless), 431, "the head of the request is larger than 16,384 bytes")


def test_line_7_page_that_failed_is_protected() -> None:
    class Broken(Registry):
        def funcs(self) -> Any:
            raise RuntimeError

    with served(Broken()) as server:
        check_refused(ask(server, PAGE), 500, "the page failed")


def test_line_7_picture_brings_a_policy_of_its_own(server: Server) -> None:
    assert ask(server, PICTURE).header("content-security-policy") == trace_svg.CONTENT_SECURITY_POLICY
    assert "sandbox allow-scripts" in trace_svg.CONTENT_SECURITY_POLICY
    assert "unsafe-inline" not in trace_svg.CONTENT_SECURITY_POLICY
    assert [item.name for item in TRACE.formats if item.policy is not None] == ["svg"]


def test_line_15_date_is_of_the_response(server: Server) -> None:
    pattern = r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT"
    assert re.fullmatch(pattern, ask(server).header("date"))


# Line 14: the log.


def test_line_14_log_holds_no_raw_bytes_of_a_request(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    marker = "m4rk"
    hostile: Headers = [("X-A", marker), ("Origin", f"http://{marker}"), ("Cookie", marker), ("User-Agent", marker)]
    for path in (f"/{marker}%0a%1b[31m", f"/trace/svg?regex={marker}[", f"/trace/{marker}?regex=handle", f"/?{marker}"):
        ask(server, path)
        ask(server, path, headers=hostile)
        ask(server, path, method=marker.upper())
        ask(server, path, host=marker)
    for data in (marker.encode(), f"GET /{marker}\r\n\r\n".encode()):
        exchange(server, data + b"\r\n\r\n")
    assert marker not in caplog.text.lower()
    assert [record.getMessage() for record in caplog.records if record.name != "asyncio"] == []


def test_line_14_body_that_breaks_off_is_no_fault_of_a_page(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    chunked = [("Transfer-Encoding", "chunked")]
    begun = request(server, PAGE, headers=chunked) + b"ZZZ\r\n"
    check_refused(exchange(server, begun), 400, "this is not a valid HTTP request")
    with connect(server) as connection:
        connection.sendall(request(server, "/trace/json?regex=handle", headers=chunked))
        while not connection.recv(65_536).endswith(b" \r\n"):
            pass
        connection.sendall(b"ZZZ\r\n")
        assert connection.recv(65_536) == b""  # cut, as the response had begun
    with connect(server) as connection:
        connection.sendall(request(server, PAGE, headers=chunked).replace(b"close", b"keep-alive"))
        data = b""
        while not data.endswith(b"\r\n0\r\n\r\n"):
            data += connection.recv(65_536)
        connection.sendall(b"ZZZ\r\n")
        assert connection.recv(65_536) == b""  # no second response to one request
    assert ask(server).status == 200
    assert caplog.records == []


def test_line_16_proxy_headers_are_not_trusted(server: Server) -> None:
    forwarded: Headers = [
        ("X-Forwarded-Host", "evil.test"),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-For", "192.0.2.1"),
        ("Forwarded", "host=evil.test;proto=https"),
        ("X-Original-URL", "/stats"),
        ("X-HTTP-Method-Override", "POST"),
    ]
    page = ask(server, headers=forwarded)
    assert page.status == 200
    assert "evil.test" not in page.text
    assert f"http://localhost:{server.port}/trace" in page.text
    assert ask(server, headers=forwarded, host="evil.test").status == 403
    with_debug_name: Headers = [("X-Forwarded-Host", "localhost")]
    assert ask(server, headers=with_debug_name, host="evil.test").status == 403


# What is no request for a page.


def test_websocket_is_refused_before_it_is_accepted() -> None:
    app = monkit_present.app(Registry(), insecure=True)
    sent = asyncio.run(call(app, [(b"host", b"localhost")], type="websocket"))
    assert sent == [{"type": "websocket.close", "code": 1008}]


def test_request_to_become_a_websocket_is_not_followed(server: Server) -> None:
    headers: Headers = [
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ]
    data = request(server, PAGE, headers=headers).replace(b"Connection: close", b"Connection: close, Upgrade")
    answer = exchange(server, data)
    assert answer.status == 200
    assert answer.all("upgrade") == []


def test_lifespan_of_a_server_that_runs_the_application_is_left_alone() -> None:
    assert asyncio.run(call(monkit_present.app(Registry(), insecure=True), [], type="lifespan")) == []
