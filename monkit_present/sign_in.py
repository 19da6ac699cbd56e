"""Signing in: a one-time code out of the program, exchanged by a browser for a cookie.

The code stands in the fragment of an address, which browsers do not send; a
script hands it over once. So no secret is ever in a request line, in a log of
a proxy or in the history of the browser.
"""

from __future__ import annotations

from monkit_present.access import SESSION_S, Access
from monkit_present.pages import HTML, Action, Format, Page, PageRequest, Reply
from monkit_present.parameters import Parameter, Text
from monkit_present.render import sign_in
from monkit_present.responses import Problem

__all__ = ["SIGN_IN", "begin_session"]


def begin_session(access: Access, code: str, cookie: str) -> tuple[bytes, bytes]:
    """Exchange *code* for a session: the header that sets its cookie.

    Raises:
        Problem: the code is unknown, used or expired.
    """
    if not access.codes.redeem(code):
        raise Problem(
            401, "the code is unknown, used or expired; ask for a new one", ((b"www-authenticate", b"Bearer"),)
        )
    session = access.sessions.issue()
    secure = "; Secure" if cookie.startswith("__Host-") else ""
    value = f"{cookie}={session}; Path=/; Max-Age={SESSION_S:.0f}; HttpOnly; SameSite=Strict{secure}"
    return b"set-cookie", value.encode("ascii")


def _exchange(request: PageRequest) -> Reply:
    header = begin_session(request.served.access, request.values["code"], request.cookie)
    return Reply({"signed_in": True}, (header,))


SIGN_IN: Page[None] = Page(
    "/sign-in",
    "exchanges the one-time code of a sign-in address for a cookie",
    lambda request: None,
    (Format("", HTML, lambda _: [sign_in.render()], policy=sign_in.CONTENT_SECURITY_POLICY),),
    actions=(
        Action(
            "",
            "begins a session: sets a cookie",
            _exchange,
            fields=(("signed_in", "true"),),
            parameters=(Parameter("code", Text("text", 100), "the one-time code", required=True),),
        ),
    ),
    listed=False,
)
