"""Line 10 of the security checklist: secrets that a program handles are on no page."""

from __future__ import annotations

import pytest

from tests.helpers import fresh_scope, in_fresh_context
from tests.http_helpers import Wait, ask, served

SECRETS = ("hunter2-secret", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJlLW9mLWl0", "s3cr3t-of-url")


@in_fresh_context
@pytest.mark.parametrize("form", ["svg", "json"])
def test_line_10_secrets_in_arguments_annotations_and_errors_are_on_no_page(form: str) -> None:
    registry, scope = fresh_scope()
    password, token, in_url = SECRETS
    bodies: list[str] = []

    @scope.task(args=("password", "options", "number"))
    def sign_in(password: str, options: dict[str, str], number: int) -> None:
        with scope.task("block", args={"api_key": password, "text": f"Bearer {token}"}) as span:
            span.annotate("session", token)
            span.annotate("called", f"https://user:{in_url}@example.test/path?password={password}")
            bodies.extend(ask(server, path).text for path in ("/ps", "/ps/json", "/ps/dot"))
        raise ValueError(f"login with password={password!r} failed at ftp://user:{in_url}@host, token: {token}")

    with served(registry) as server, Wait(server, f"/trace/{form}?regex=sign_in") as wait:
        with pytest.raises(ValueError, match="failed"):
            sign_in(password, {"token": token, "url": f"amqp://u:{in_url}@mq"}, 7)
        bodies.append(wait.rest().decode())
        bodies.extend(ask(server, path).text for path in ("/funcs", "/funcs/json", "/stats"))
    assert [(secret, body) for body in bodies for secret in SECRETS if secret in body] == []
    assert all("***" in bodies[index] for index in (0, 1, 3))  # DOT writes punctuation as entities
    assert "number=7" in bodies[0]
