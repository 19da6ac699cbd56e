"""A page that sends the browser to another address, which is linked for those that do not follow."""

from __future__ import annotations

from html import escape

__all__ = ["CONTENT_SECURITY_POLICY", "redirect", "without"]

CONTENT_SECURITY_POLICY = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
"""The policy to serve it with: like the guard's, without the sandbox, in which browsers do not refresh."""

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>{title}</title>
{head}</head>
<body>
<p>{body}</p>
</body>
</html>
"""


def redirect(address: str, words: str) -> str:
    """The page that leads to *address*; *words* say what is there."""
    shown = escape(address)
    return _PAGE.format(
        title=escape(words),
        head=f'<meta http-equiv="refresh" content="0; url={shown}">\n',
        body=f'{escape(words)}: <a href="{shown}">{shown}</a>',
    )


def without(title: str, words: str) -> str:
    """The page that leads nowhere and says why."""
    return _PAGE.format(title=escape(title), head="", body=escape(words))
