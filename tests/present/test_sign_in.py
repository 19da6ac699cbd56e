"""Line 3 of the security checklist: how a browser signs in. A one-time code for a cookie."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from contextlib import closing

import orjson
import pytest
from starlette.types import Message

import monkit_present
from monkit_core import Registry
from monkit_present.access import Access
from monkit_present.render import sign_in
from monkit_present.server import Server
from monkit_present.tokens import Token
from tests.http_helpers import BROWSER, CHANGE, TOKEN, Answer, Headers, ask, exchange, request, served


@pytest.fixture
def server() -> Iterator[Server]:
    with served(Registry(), access=Access(Token(TOKEN), open_paths=["/sign-in"])) as running:
        yield running


def code_of(server: Server) -> str:
    url = str(server.sign_in_url())
    address, separator, code = url.partition("#")
    assert (address, separator) == (f"{server.url}/sign-in", "#")
    return code


def hand_in(server: Server, code: object, headers: Headers = CHANGE, host: str | None = None) -> Answer:
    body = orjson.dumps({"code": code})
    lines = [*headers, ("Content-Length", str(len(body)))]
    return exchange(server, request(server, "/sign-in", method="POST", headers=lines, host=host) + body, method="POST")


def cookie_of(answer: Answer) -> str:
    """Name and value, as a browser sends it."""
    return answer.header("set-cookie").partition(";")[0]


def status(server: Server, cookie: str, target: str = "/ps", host: str | None = None) -> int:
    return ask(server, target, headers=[("Cookie", cookie)], host=host).status


def test_line_3_code_is_exchanged_for_a_cookie_that_opens_every_page(server: Server) -> None:
    answer = hand_in(server, code_of(server))
    assert (answer.status, answer.json) == (200, {"signed_in": True})
    assert re.fullmatch(
        rf"monkit-{server.port}=[A-Za-z0-9_-]{{43}}; Path=/; Max-Age=43200; HttpOnly; SameSite=Strict",
        answer.header("set-cookie"),
    )
    for path in ("/", "/ps", "/stats/json", "/openapi.json"):
        assert status(server, cookie_of(answer), path) == 200


def test_line_3_code_is_good_once(server: Server) -> None:
    code = code_of(server)
    assert hand_in(server, code).status == 200
    answer = hand_in(server, code)
    assert (answer.status, answer.header("www-authenticate")) == (401, "Bearer")
    assert answer.text == "Unauthorized: the code is unknown, used or expired; ask for a new one\n"
    assert answer.all("set-cookie") == []


@pytest.mark.parametrize("code", ["", "m4rk", TOKEN, "A" * 22, "\x00", "é" * 22])
def test_line_3_other_code_is_refused(server: Server, code: str) -> None:
    good = code_of(server)
    answer = hand_in(server, code)
    assert answer.status == 401
    assert not code or code not in answer.text
    assert hand_in(server, good).status == 200


@pytest.mark.parametrize("code", [None, 5, ["x"], "x" * 101])
def test_line_3_code_that_is_none_is_refused_by_the_table(server: Server, code: object) -> None:
    assert hand_in(server, code).status == 400


def test_line_3_at_most_16_codes_are_outstanding(server: Server) -> None:
    codes = [code_of(server) for _ in range(17)]
    assert [hand_in(server, code).status for code in codes] == [401] + [200] * 16


def test_line_3_handing_in_is_a_change_and_guarded_as_one(server: Server) -> None:
    code = code_of(server)
    for headers, expected in (
        ([], 415),
        (CHANGE[:1], 403),
        ([("Content-Type", "text/plain"), CHANGE[1]], 415),
        ([*CHANGE, ("Origin", "http://evil.test")], 403),
        ([*CHANGE, ("Sec-Fetch-Site", "cross-site")], 403),
        ([*CHANGE, ("Sec-Fetch-Site", "same-site")], 403),
    ):
        answer = hand_in(server, code, headers)
        assert (answer.status, answer.all("set-cookie")) == (expected, [])
    assert hand_in(server, code, host="evil.test").status == 403
    assert hand_in(server, code).status == 200


@pytest.mark.parametrize("query", ["?code=x", "?token=x"])
def test_line_3_nothing_is_taken_from_the_query_string(server: Server, query: str) -> None:
    assert ask(server, "/sign-in" + query).status == 400


# The page.


def test_line_3_page_is_constant_and_its_policy_allows_its_script_and_nothing_inline_else(server: Server) -> None:
    answer = ask(server, "/sign-in")
    assert (answer.status, answer.header("content-type")) == (200, "text/html; charset=utf-8")
    assert answer.text == sign_in.SIGN_IN.html
    policy = answer.header("content-security-policy")
    assert policy == sign_in.SIGN_IN.policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert " style=" not in answer.text
    assert " on" not in re.sub(r">[^<]*<", "><", re.sub(r"(?s)<script>.*</script>", "", answer.text))
    assert answer.header("referrer-policy") == "no-referrer"


def test_line_3_link_in_a_message_opens_the_page(server: Server) -> None:
    fetch = [("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Mode", "navigate"), ("Sec-Fetch-Dest", "document")]
    assert ask(server, "/sign-in", headers=fetch).status == 200


def test_line_3_methods_of_the_page(server: Server) -> None:
    answer = ask(server, "/sign-in", method="PUT", headers=CHANGE)
    assert (answer.status, answer.header("allow")) == (405, "GET, HEAD, POST")


# Sessions.


def session(server: Server) -> str:
    return cookie_of(hand_in(server, code_of(server)))


def test_line_3_cookie_is_found_among_others(server: Server) -> None:
    cookie = session(server)
    name = cookie.partition("=")[0]
    for header in (f"a=b; {cookie}", f"{cookie};c=d", f"{name}=forged; {cookie}", f"{name}=; {cookie}", f"a; {cookie}"):
        assert status(server, header) == 200, header
    assert ask(server, "/ps", headers=[("Cookie", "a=b"), ("Cookie", cookie)]).status == 200


def test_line_3_other_cookies_open_nothing(server: Server) -> None:
    name, _, value = session(server).partition("=")
    for header in (
        f"{name}={value[:-1]}",
        f"{name}={value}x",
        f"{name}={value.swapcase()}",
        f'{name}="{value}"',
        f"{name.upper()}={value}",
        f"monkit={value}",
        f"monkit-1={value}",
        f"__Host-{name}={value}",
        value,
        f"{name}={TOKEN}",
        f"{name}={code_of(server)}",
        name,
        "; ".join([f"{name}=x"] * 8 + [f"{name}={value}"]),  # no more than a few are tried
    ):
        assert status(server, header) == 401, header


def test_line_3_session_is_of_the_port_that_the_browser_asked(server: Server) -> None:
    """Behind two tunnels to two processes neither puts the other's cookie out."""
    answer = hand_in(server, code_of(server), host="localhost:7001")
    cookie = cookie_of(answer)
    assert cookie.startswith("monkit-7001=")
    assert status(server, cookie, host="localhost:7001") == 200
    assert status(server, cookie, host="localhost:7002") == 401
    assert cookie_of(hand_in(server, code_of(server), host="localhost")).startswith("monkit-80=")


def test_line_3_session_does_not_help_a_wrong_token(server: Server) -> None:
    headers = [("Cookie", session(server)), ("Authorization", "Bearer wrong")]
    assert ask(server, "/ps", headers=headers).status == 401


def test_line_3_session_is_guarded_like_the_token(server: Server) -> None:
    cookie = session(server)
    assert ask(server, "/ps", headers=[("Cookie", cookie), ("Origin", "http://evil.test")]).status == 403
    assert ask(server, "/ps", headers=[("Cookie", cookie), ("Sec-Fetch-Site", "cross-site")]).status == 403
    assert ask(server, "/stats/mark", method="POST", headers=[("Cookie", cookie)]).status == 415
    data = request(server, "/stats/mark", method="POST", headers=[*CHANGE, ("Cookie", cookie), ("Content-Length", "2")])
    assert exchange(server, data + b"{}", method="POST").status == 200


def test_line_3_session_ends_after_twelve_hours() -> None:
    now_s = [0.0]
    access = Access(Token(TOKEN), open_paths=["/sign-in"], clock=lambda: now_s[0])
    with served(Registry(), access=access) as server:
        late = code_of(server)
        cookie = session(server)
        now_s[0] = 12 * 3600 - 0.1
        assert status(server, cookie) == 200
        assert hand_in(server, late).status == 401  # after ten minutes
        now_s[0] = 12 * 3600
        assert status(server, cookie) == 401


def test_line_3_65th_session_puts_the_first_out(server: Server) -> None:
    cookies = [session(server) for _ in range(65)]
    assert [status(server, cookie) for cookie in (cookies[0], cookies[1], cookies[64])] == [401, 200, 200]


def test_line_3_session_of_one_process_opens_no_other(server: Server) -> None:
    cookie = session(server)
    with served(Registry(), access=Access(Token(TOKEN), open_paths=["/sign-in"])) as other:
        value = cookie.partition("=")[2]
        assert status(other, f"monkit-{other.port}={value}") == 401


# The handle.


def test_address_without_a_token_is_that_of_the_index() -> None:
    with closing(monkit_present.serve(Registry(), port=0)) as handle:
        assert handle.sign_in_url() == f"{handle.url}/"
        assert ask(handle, "/sign-in").status == 404
        assert ask(handle, "/sign-in", method="POST").status == 405
    assert handle.sign_in_url() is None


def test_every_call_gives_another_address() -> None:
    with closing(monkit_present.serve(Registry(), port=0, token=TOKEN)) as handle:
        assert len({handle.sign_in_url() for _ in range(10)}) == 10
        assert hand_in(handle, code_of(handle)).status == 200


def test_application_gives_codes_for_the_place_where_it_is_mounted() -> None:
    app = monkit_present.app(Registry(), token=TOKEN)
    code = app.sign_in_code()
    assert code is not None
    assert re.fullmatch(r"[A-Za-z0-9_-]{22}", code)


# Signing out.


def sign_out(server: Server, headers: Headers = (), host: str | None = None) -> Answer:
    lines = [*CHANGE, *headers, ("Content-Length", "2")]
    data = request(server, "/sign-out", method="POST", headers=lines, host=host) + b"{}"
    return exchange(server, data, method="POST")


def test_line_3_session_that_was_ended_opens_nothing_and_its_cookie_goes(server: Server) -> None:
    cookie, other = session(server), session(server)
    answer = sign_out(server, [("Cookie", cookie)])
    assert (answer.status, answer.json) == (200, {"signed_out": True})
    name = cookie.partition("=")[0]
    assert answer.header("set-cookie") == f"{name}=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict"
    assert (status(server, cookie), status(server, other)) == (401, 200)
    assert sign_out(server, [("Cookie", cookie)]).status == 401


def test_line_3_every_session_that_a_browser_sends_is_ended(server: Server) -> None:
    first, second = session(server), session(server)
    answer = sign_out(server, [("Cookie", f"{first}; {second}")])
    assert answer.json == {"signed_out": True}
    assert (status(server, first), status(server, second)) == (401, 401)


def test_line_3_token_stays_good_where_there_is_no_session_to_end(server: Server) -> None:
    token: Headers = [("Authorization", f"Bearer {TOKEN}")]
    answer = sign_out(server, token)
    assert (answer.status, answer.json) == (200, {"signed_out": False})
    assert ask(server, "/ps", headers=token).status == 200


def test_line_3_session_of_another_tunnel_is_not_ended(server: Server) -> None:
    here, there = (cookie_of(hand_in(server, code_of(server), host=f"localhost:{port}")) for port in (7001, 7002))
    assert sign_out(server, [("Cookie", f"{here}; {there}")], host="localhost:7001").status == 200
    assert status(server, here, host="localhost:7001") == 401
    assert status(server, there, host="localhost:7002") == 200


def test_line_3_signing_out_is_a_change_and_guarded_as_one(server: Server) -> None:
    cookie = session(server)
    for headers, expected in (
        ([("Origin", "http://evil.test")], 403),
        ([("Origin", "null")], 403),
        ([("Sec-Fetch-Site", "cross-site")], 403),
        ([("Sec-Fetch-Site", "same-site")], 403),
    ):
        answer = sign_out(server, [("Cookie", cookie), *headers])
        assert (answer.status, answer.all("set-cookie")) == (expected, [])
    assert ask(server, "/sign-out", method="POST", headers=[("Cookie", cookie)]).status == 415
    assert sign_out(server).status == 401
    assert status(server, cookie) == 200


def test_line_6_page_that_asks_whether_to_sign_out_ends_nothing(server: Server) -> None:
    cookie = session(server)
    for method in ("GET", "HEAD"):
        answer = ask(server, "/sign-out", method=method, headers=[("Cookie", cookie)])
        assert (answer.status, answer.all("set-cookie")) == (200, [])
    assert status(server, cookie) == 200
    assert ask(server, "/sign-out").status == 401


def test_line_7_page_that_asks_whether_to_sign_out_allows_its_script_and_nothing_inline_else(server: Server) -> None:
    answer = ask(server, "/sign-out", headers=[("Cookie", session(server))])
    assert answer.text == sign_in.SIGN_OUT.html
    policy = answer.header("content-security-policy")
    assert policy == sign_in.SIGN_OUT.policy
    assert policy != sign_in.SIGN_IN.policy
    assert "unsafe" not in policy
    assert " style=" not in answer.text
    assert " on" not in re.sub(r">[^<]*<", "><", re.sub(r"(?s)<script>.*</script>", "", answer.text))


def test_every_view_leads_to_signing_out_where_browsers_sign_in(server: Server) -> None:
    assert 'href="/sign-out"' in ask(server, headers=[("Cookie", session(server)), *BROWSER]).text
    with served(Registry()) as open_to_all:
        assert "sign-out" not in ask(open_to_all, headers=BROWSER).text
        assert ask(open_to_all, "/sign-out").status == 404


def test_line_3_cookie_under_tls_is_put_and_taken_away_as_secure() -> None:
    app = monkit_present.app(Registry(), token=TOKEN)

    def post(path: str, body: bytes, *headers: tuple[bytes, bytes]) -> list[bytes]:
        sent: list[Message] = []

        async def send(message: Message) -> None:
            sent.append(message)

        async def receive() -> Message:
            return {"type": "http.request", "body": body}

        change = [(name.lower().encode(), value.encode()) for name, value in CHANGE]
        scope = {"type": "http", "method": "POST", "scheme": "https", "path": path, "query_string": b""}
        asyncio.run(app({**scope, "headers": [(b"host", b"localhost:9443"), *change, *headers]}, receive, send))
        assert sent[0]["status"] == 200
        return [value for name, value in sent[0]["headers"] if name == b"set-cookie"]

    (put,) = post("/sign-in", orjson.dumps({"code": app.sign_in_code()}))
    assert re.fullmatch(rb"__Host-monkit-9443=[\w-]{43}; Path=/; Max-Age=43200; HttpOnly; SameSite=Strict; Secure", put)
    (taken,) = post("/sign-out", b"{}", (b"cookie", put.partition(b";")[0]))
    assert taken == b"__Host-monkit-9443=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict; Secure"
