"""The pages where a browser exchanges a one-time code for a session, and where it ends one."""

from __future__ import annotations

from dataclasses import dataclass

from monkit_present.render.assets import source_hash, static_text

__all__ = ["SIGN_IN", "SIGN_OUT", "ConstantPage"]

_STYLE = static_text("index.css")

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{title}: monkit</title>
<link rel="icon" href="data:,">
<style>{style}</style>
</head>
<body>
<h1>{title}</h1>
{body}
<noscript><p>This page needs scripts. {without}</p></noscript>
<script>{script}</script>
</body>
</html>
"""


@dataclass(frozen=True, slots=True)
class ConstantPage:
    """A page that is the same for everybody.

    Attributes:
        html: all of it.
        policy: the content security policy to serve it with.
    """

    html: str
    policy: str


def _page(title: str, script: str, body: str, without: str) -> ConstantPage:
    policy = (
        f"default-src 'none'; style-src {source_hash(_STYLE)}; script-src {source_hash(script)}; connect-src 'self'; "
        "img-src data:; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
    )
    return ConstantPage(_PAGE.format(title=title, style=_STYLE, script=script, body=body, without=without), policy)


SIGN_IN = _page(
    "Sign in",
    static_text("sign_in.js"),
    '<p id="said" role="status">Signing in…</p>',
    "Without them, send the token in an Authorization header.",
)

SIGN_OUT = _page(
    "Sign out",
    static_text("sign_out.js"),
    """<p id="said" role="status">Ends the session of this browser. Others stay signed in.</p>
<p><button id="end" type="button">Sign out</button></p>""",
    "Without them, delete the cookie of this site; its session ends by itself.",
)
