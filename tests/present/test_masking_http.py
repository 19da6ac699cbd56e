"""Line 10 of the security checklist: no address shows a secret that a program has put into a span."""

from __future__ import annotations

import html
from contextlib import suppress
from dataclasses import dataclass

import pytest

from monkit_core import Registry, Span
from tests.helpers import in_fresh_context
from tests.http_helpers import Wait, ask, served

SECRET = "Q7hunter2Xq9"
JWT = f"eyJhbGciOiJIUzI1NiJ9.{SECRET}.{SECRET}"
PEM = f"-----BEGIN RSA PRIVATE KEY-----\n{SECRET}\n-----END RSA PRIVATE KEY-----"
URL = f"postgres://ann:{SECRET}@db/shop"
TELLING = ("password", "client_secret", "token", "apiKey", "auth", "cookie", "credentials", "dsn", "session_id")
TEXTS = (
    URL, JWT, PEM, f"Bearer {SECRET}", f"Authorization: Basic {SECRET}", f"password={SECRET}",
    f"/in?access_token={SECRET}&n=1",
    f'{{"secret": "{SECRET}"}}', f"Cookie: a={SECRET}; b={SECRET}",
)  # fmt: skip
LIVE = ("/ps", "/ps/json", "/ps/dot")
CAPTURES = ("/trace/json", "/trace/svg")


@dataclass
class Login:
    user: str
    password: str


VALUES = {**dict.fromkeys(TELLING, SECRET), "nested": [{"token": SECRET, "n": 1}], "login": Login("ann", SECRET)}


def fill(span: Span, text: str) -> None:
    for key, value in {**VALUES, "text": text, text: text}.items():
        span.annotate(key, value)


@pytest.mark.parametrize("text", TEXTS)
@in_fresh_context
def test_line_10_planted_secrets_are_on_no_page(text: str) -> None:
    registry = Registry()
    scope = registry.scope("shop")
    query = "?regex=sign_in&preselect=false"
    with served(registry) as server:
        captures = {path: Wait(server, path + query) for path in CAPTURES}
        pages: dict[str, str] = {}
        with captures["/trace/json"], captures["/trace/svg"]:
            with suppress(ConnectionError), scope.task("sign_in", args={**VALUES, "text": text}) as span:
                fill(span, text)
                pages |= {path: ask(server, path).text for path in LIVE}
                raise ConnectionError(f"refused: {text}")
            pages |= {path: wait.rest().decode() for path, wait in captures.items()}
    for path, body in pages.items():
        page = html.unescape(body)  # DOT writes punctuation as entities, which would hide a secret from this test
        assert SECRET not in page, path
        assert "sign_in" in page, path
        assert "ann" in page, path  # the values are there, only without their secrets
        assert "***" in page, path


@in_fresh_context
def test_line_10_arguments_are_recorded_only_where_they_are_named() -> None:
    registry = Registry()
    scope = registry.scope("shop")

    @scope.task
    def sign_in(user: str) -> list[str]:
        return [ask(server, path).text for path in LIVE]

    with served(registry) as server:
        for page in map(html.unescape, sign_in(SECRET)):
            assert "sign_in" in page
            assert SECRET not in page
