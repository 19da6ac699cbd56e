"""Access: whether a request may come in at all, by the token or by the session of a browser.

What cannot be checked is refused. Nothing that a request holds is repeated in
what it is told.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable

from monkit_present.authority import with_port
from monkit_present.keyring import Keyring
from monkit_present.responses import Problem
from monkit_present.tokens import Token

__all__ = ["MAX_CODES", "MAX_SESSIONS", "SESSION_S", "Access", "session_cookie", "sessions_sent"]

MAX_CODES = 16
CODE_S = 600.0
MAX_SESSIONS = 64
SESSION_S = 12 * 3600.0
_MOST_COOKIES = 8
_BEARER = re.compile(rb"bearer +([A-Za-z0-9._~+/-]+=*)", re.IGNORECASE)
_NEEDED = "a token is needed: send Authorization: Bearer TOKEN, or open a sign-in address in a browser"

RequestHeaders = Iterable[tuple[bytes, bytes]]


class Access:
    """Who is let in.

    Without a token and without *everybody* nobody is.

    Args:
        token: opens every page.
        everybody: no token is asked for.
        open_paths: are open to everybody all the same.
        clock: seconds that never go back.

    Attributes:
        codes: one-time codes that can be exchanged for a session.
        sessions: what signed-in browsers send as a cookie.
    """

    def __init__(
        self,
        token: Token | None = None,
        *,
        everybody: bool = False,
        open_paths: Iterable[str] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._token = token
        self._everybody = everybody and token is None
        self._open_paths = frozenset(open_paths)
        self.codes = Keyring(bits=128, most=MAX_CODES, lifetime_s=CODE_S, clock=clock)
        self.sessions = Keyring(bits=256, most=MAX_SESSIONS, lifetime_s=SESSION_S, clock=clock)

    @property
    def by_token(self) -> bool:
        """Whether a token is asked for."""
        return not self._everybody

    def is_open(self, path: str) -> bool:
        """Whether everybody may ask for this path."""
        return self._everybody or path in self._open_paths

    def check(self, path: str, headers: RequestHeaders, cookie: str) -> None:
        """Let a request pass.

        Args:
            path: what it asks for, below the place where the application is mounted.
            headers: of the request, names in lower case.
            cookie: name of the cookie that a session is in.

        Raises:
            Problem: it may not.
        """
        if self.is_open(path):
            return
        headers = list(headers)
        given = [value for name, value in headers if name == b"authorization"]
        if len(given) > 1:
            raise _refusal(f"one Authorization header expected, found {len(given)}")
        if given:
            bearer = _BEARER.fullmatch(given[0])
            if bearer is None:
                raise _refusal("Authorization header cannot be read; expected: Bearer TOKEN")
            if self._token is None or not self._token.matches(bearer[1]):
                raise _refusal("the token is not the one of this port")
        elif self._token is None or not any(map(self.sessions.holds, sessions_sent(headers, cookie))):
            raise _refusal(_NEEDED)


def _refusal(words: str) -> Problem:
    return Problem(401, words, ((b"www-authenticate", b"Bearer"),))


def session_cookie(scheme: str, host: str, port: int | None) -> str:
    """Name of the cookie of a session.

    Browsers send cookies to every port of a host, so the port that the browser
    asked stands in the name: two processes do not put each other's out, also
    behind tunnels.
    """
    _, number = with_port(scheme, host, port)
    return f"{'__Host-' if scheme == 'https' else ''}monkit-{number}"


def sessions_sent(headers: RequestHeaders, cookie: str) -> tuple[str, ...]:
    """What cookies of this name hold; another path or process of the host may have set one of that name too."""
    pairs = [
        pair.strip().partition("=")
        for name, value in headers
        if name == b"cookie"
        for pair in value.decode("latin-1").split(";")
    ]
    return tuple(value for name, separator, value in pairs if separator and name == cookie)[:_MOST_COOKIES]
