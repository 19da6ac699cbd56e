"""Line 3 of the security checklist: who is let in."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator

import pytest
from starlette.types import Message

import monkit_present
from monkit_core import Registry
from monkit_present.access import Access, session_cookie
from monkit_present.app import DebugApp, make_access
from monkit_present.pages import Address
from monkit_present.responses import Problem
from monkit_present.server import Server
from monkit_present.tokens import Token
from tests.helpers import fresh_scope
from tests.http_helpers import CHANGE, EVERY, TOKEN, Answer, Headers, Wait, ask, served

NEEDED = "Unauthorized: a token is needed: send Authorization: Bearer TOKEN, or open a sign-in address in a browser\n"


@pytest.fixture
def server() -> Iterator[Server]:
    registry, scope = fresh_scope()
    scope.func("handle")
    with served(registry, access=make_access(TOKEN, everybody=False, open_health=False)) as running:
        yield running


def bearer(token: str = TOKEN) -> Headers:
    return [("Authorization", f"Bearer {token}")]


def check_unauthorized(answer: Answer, words: str = NEEDED) -> None:
    assert (answer.status, answer.text) == (401, words)
    assert answer.header("www-authenticate") == "Bearer"
    assert answer.header("content-type") == "text/plain; charset=utf-8"
    assert answer.all("set-cookie") == []


@pytest.mark.parametrize("place", [place for place in EVERY if place.path != "/sign-in"], ids=lambda place: place.path)
def test_line_3_every_address_needs_the_token(server: Server, place: Address) -> None:
    target = place.path + ("?regex=handle&timeout=0.01" if place.page.waits else "")
    method, further = ("POST", CHANGE) if place.action else ("GET", ())
    check_unauthorized(ask(server, target, method=method, headers=further))
    if method == "GET":
        check_unauthorized(ask(server, target + "/" if "?" not in target else target, headers=further))
        head = ask(server, target, method="HEAD")
        assert (head.status, head.header("www-authenticate")) == (401, "Bearer")
        if place.page.variable is None and not place.is_stream:  # of what that may name there is nothing; it never ends
            assert ask(server, target, headers=bearer()).status == 200


def test_line_3_address_that_is_none_needs_the_token_too(server: Server) -> None:
    check_unauthorized(ask(server, "/nope"))
    assert ask(server, "/nope", headers=bearer()).status == 404


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "Bearer  "])
def test_line_3_scheme_may_be_in_any_case(server: Server, scheme: str) -> None:
    assert ask(server, "/ps", headers=[("authorization", f"{scheme} {TOKEN}")]).status == 200


@pytest.mark.parametrize(
    "value",
    [
        "",
        TOKEN,
        f"Basic {TOKEN}",
        "Bearer",
        "Bearer ",
        f"Bearer {TOKEN} x",
        f"Bearer\t{TOKEN}",
        f"Bearer {TOKEN},Bearer {TOKEN}",
        f'Bearer "{TOKEN}"',
        "Bearer \xe9",
        f"Token {TOKEN}",
    ],
)
def test_line_3_header_that_cannot_be_read_is_refused(server: Server, value: str) -> None:
    check_unauthorized(
        ask(server, "/ps", headers=[("Authorization", value)]),
        "Unauthorized: Authorization header cannot be read; expected: Bearer TOKEN\n",
    )


@pytest.mark.parametrize("token", [TOKEN[:-1], TOKEN + "0", TOKEN.lower(), "x", "0" * 5000])
def test_line_3_other_token_is_refused_and_not_repeated(server: Server, token: str) -> None:
    check_unauthorized(
        ask(server, "/ps", headers=bearer(token)), "Unauthorized: the token is not the one of this port\n"
    )


def test_line_3_two_headers_are_refused_though_both_hold_the_token(server: Server) -> None:
    check_unauthorized(
        ask(server, "/ps", headers=[*bearer(), *bearer()]),
        "Unauthorized: one Authorization header expected, found 2\n",
    )


@pytest.mark.parametrize("name", ["token", "access_token", "authorization", "key"])
def test_line_3_token_is_never_taken_from_a_query_string(server: Server, name: str) -> None:
    check_unauthorized(ask(server, f"/ps?{name}={TOKEN}"))
    answer = ask(server, f"/ps?{name}={TOKEN}", headers=bearer())
    assert answer.status == 400
    assert TOKEN not in answer.text


def test_line_3_token_is_taken_from_no_other_header(server: Server) -> None:
    others = [("X-Token", TOKEN), ("Proxy-Authorization", f"Bearer {TOKEN}"), ("Cookie", f"token={TOKEN}")]
    check_unauthorized(ask(server, "/ps", headers=[*others, ("X-Authorization", f"Bearer {TOKEN}")]))


def test_line_3_host_and_origin_are_looked_at_with_the_token_too(server: Server) -> None:
    assert ask(server, "/ps", headers=bearer(), host="evil.test").status == 403
    assert ask(server, "/ps", headers=[*bearer(), ("Origin", "http://evil.test")]).status == 403


def test_line_3_wait_without_the_token_never_begins() -> None:
    registry, scope = fresh_scope()
    scope.func("handle")
    with served(registry, access=make_access(TOKEN, everybody=False, open_health=True)) as server:
        check_unauthorized(ask(server, "/trace/json?regex=handle"))
        assert registry.watcher_count == 0


def test_line_3_log_does_not_hold_what_was_tried(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    for headers in (bearer("m4rk-m4rk"), [("Authorization", "m4rk")], [*bearer("m4rk"), *bearer("m4rk")]):
        assert "m4rk" not in ask(server, "/ps?m4rk=m4rk", headers=headers).text
    assert "m4rk" not in caplog.text


# /health.


@pytest.mark.parametrize("open_health", [True, False])
def test_line_3_health_alone_can_be_opened(open_health: bool) -> None:
    with served(Registry(), access=make_access(TOKEN, everybody=False, open_health=open_health)) as server:
        for path in ("/health", "/health/"):
            answer = ask(server, path)
            assert (answer.status, answer.text) == ((200, "ok\n") if open_health else (401, NEEDED))
        for path in ("/", "/ps", "/healthy", "/health/json", "//health", "/health/../ps", "/Health"):
            assert ask(server, path).status == 401, path
        assert ask(server, "/health", headers=bearer()).status == 200
        assert ask(server, "/health", host="evil.test").status == 403


# What is missing is refused.


def test_line_3_nobody_is_let_in_where_nothing_can_be_checked() -> None:
    access = Access()
    with served(Registry(), access=access) as server:
        for headers in ([], bearer(), [("Cookie", f"monkit-{server.port}={access.sessions.issue()}")]):
            assert ask(server, "/ps", headers=headers).status == 401


def test_line_3_everybody_is_not_everybody_when_there_is_a_token() -> None:
    access = Access(Token(TOKEN), everybody=True)
    assert access.by_token
    with pytest.raises(Problem):
        access.check("/ps", [], "monkit-9000")


def test_line_3_check_that_fails_lets_nobody_in(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Access):
        def check(self, path: str, headers: object, cookie: str) -> None:
            raise RuntimeError

    with served(Registry(), access=Broken(everybody=True)) as server:
        assert ask(server, "/ps").status == 500
    assert [record.message for record in caplog.records] == ["a page failed"]


def test_line_3_application_needs_a_token_or_a_word() -> None:
    with pytest.raises(ValueError, match=r"give token=monkit_present.new_token\(\), or say insecure=True"):
        monkit_present.app(Registry())
    with pytest.raises(ValueError, match="128 are needed"):
        monkit_present.app(Registry(), token="short")
    with pytest.raises(ValueError, match="is empty"):
        monkit_present.app(Registry(), token="", insecure=True)


def test_line_3_application_checks_its_token_though_it_is_called_insecure() -> None:
    app = monkit_present.app(Registry(), token=TOKEN, insecure=True)
    assert app.sign_in_code() is not None
    assert asyncio.run(status(app, [])) == 401
    assert asyncio.run(status(app, [(b"authorization", b"Bearer " + TOKEN.encode())])) == 200
    assert monkit_present.app(Registry(), insecure=True).sign_in_code() is None


async def status(app: DebugApp, headers: list[tuple[bytes, bytes]]) -> int:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    scope = {"type": "http", "method": "GET", "scheme": "http", "path": "/ps", "query_string": b""}
    await app({**scope, "headers": [(b"host", b"localhost"), *headers]}, receive, send)
    return int(sent[0]["status"])


# serve().


def test_line_3_serve_with_a_token_checks_it_on_the_loopback_interface_too() -> None:
    handle = monkit_present.serve(Registry(), port=0, token=TOKEN)
    try:
        check_unauthorized(ask(handle, "/ps"))
        assert ask(handle, "/ps", headers=bearer()).status == 200
    finally:
        handle.close()


def test_line_1_token_allows_an_address_that_others_reach() -> None:
    handle = monkit_present.serve(Registry(), host="0.0.0.0", port=0, token=TOKEN)
    try:
        assert handle.error is None
        check_unauthorized(ask(handle, "/ps"))
        assert ask(handle, "/ps", headers=bearer()).status == 200
    finally:
        handle.close()


@pytest.mark.parametrize("token", ["", "short", "password" * 5, 5])
def test_line_3_serve_with_a_weak_token_serves_nothing_and_says_why(
    token: str, caplog: pytest.LogCaptureFixture
) -> None:
    for insecure in (True, False):
        handle = monkit_present.serve(Registry(), port=0, token=token, insecure=insecure)
        assert isinstance(handle.error, ValueError | TypeError)
        assert (handle.url, handle.port, handle.sign_in_url()) == (None, None, None)
    assert len(caplog.records) == 2
    assert token not in ("short", "password" * 5) or str(token) not in caplog.text
    with pytest.raises((ValueError, TypeError), match=r"^token= "):
        monkit_present.serve(Registry(), port=0, token=token, strict=True)


def test_line_3_prometheus_style_wait_with_the_token_works(server: Server) -> None:
    assert ask(server, "/trace/json?regex=handle&timeout=0.01", headers=bearer()).json["timeout"] is True
    with pytest.raises(AssertionError), Wait(server, "/trace/json?regex=handle") as wait:
        assert wait.status == 200


@pytest.mark.parametrize(
    ("scheme", "host", "port", "name"),
    [
        ("http", "localhost", 9000, "monkit-9000"),
        ("http", "localhost", None, "monkit-80"),
        ("https", "shop.test", None, "__Host-monkit-443"),
        ("https", "shop.test", 9443, "__Host-monkit-9443"),
    ],
)
def test_line_3_cookie_is_named_after_the_port_that_the_browser_asked(
    scheme: str, host: str, port: int | None, name: str
) -> None:
    assert session_cookie(scheme, host, port) == name
