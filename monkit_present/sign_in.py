"""Signing in and out: a one-time code out of the program, exchanged by a browser for a cookie, which it may give back.

The code stands in the fragment of an address, which browsers do not send; a
script hands it over once. So no secret is ever in a request line, in a log of
a proxy or in the history of the browser.
"""

from __future__ import annotations

from monkit_present.access import SESSION_S
from monkit_present.pages import HTML, Action, Format, Page, PageRequest, Reply
from monkit_present.parameters import Parameter, Text
from monkit_present.render import sign_in
from monkit_present.responses import Problem

__all__ = ["SIGN_IN", "SIGN_OUT"]


def _begin_session(request: PageRequest) -> Reply:
    access = request.served.access
    if not access.codes.take_back(request.values["code"]):
        raise Problem(
            401, "the code is unknown, used or expired; ask for a new one", ((b"www-authenticate", b"Bearer"),)
        )
    return Reply({"signed_in": True}, (_set_cookie(request.cookie, access.sessions.issue(), SESSION_S),))


def _end_session(request: PageRequest) -> Reply:
    ended = [request.served.access.sessions.take_back(session) for session in request.sessions]
    return Reply({"signed_out": any(ended)}, (_set_cookie(request.cookie, "", 0),))


def _set_cookie(name: str, value: str, max_age_s: float) -> tuple[bytes, bytes]:
    secure = "; Secure" if name.startswith("__Host-") else ""
    cookie = f"{name}={value}; Path=/; Max-Age={max_age_s:.0f}; HttpOnly; SameSite=Strict{secure}"
    return b"set-cookie", cookie.encode("ascii")


SIGN_IN: Page[None] = Page(
    "/sign-in",
    "exchanges the one-time code of a sign-in address for a cookie",
    lambda request: None,
    (Format("", HTML, lambda _: [sign_in.SIGN_IN.html], policy=sign_in.SIGN_IN.policy),),
    actions=(
        Action(
            "",
            "begins a session: sets a cookie",
            _begin_session,
            fields=(("signed_in", "true"),),
            parameters=(Parameter("code", Text("text", 100), "the one-time code", required=True),),
        ),
    ),
    listed=False,
)

SIGN_OUT: Page[None] = Page(
    "/sign-out",
    "asks whether to end the session of this browser",
    lambda request: None,
    (Format("", HTML, lambda _: [sign_in.SIGN_OUT.html], policy=sign_in.SIGN_OUT.policy),),
    actions=(
        Action(
            "",
            "ends the session that the cookie stands for, and takes the cookie away",
            _end_session,
            fields=(("signed_out", "whether there was one"),),
        ),
    ),
)
