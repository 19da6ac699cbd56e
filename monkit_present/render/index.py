"""The index: what the port offers, each line a link that works and a command that can be typed."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import Any

from monkit_present.pages import Page
from monkit_present.render.assets import source_hash, static_text

__all__ = ["CONTENT_SECURITY_POLICY", "render"]

_STYLE = static_text("index.css")

CONTENT_SECURITY_POLICY = (
    f"default-src 'none'; style-src {source_hash(_STYLE)}; img-src data:; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
"""The policy to serve the index with."""


_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{process}, pid {pid}: monkit</title>
<link rel="icon" href="data:,">
<style>{style}</style>
</head>
<body>
<h1>{process}</h1>
<p>pid {pid}, {functions} monitored functions, {engine} engine</p>
<h2>Pages</h2>
<div class="wrap"><table>
<tr><th scope="col">Page</th><th scope="col">Formats</th><th scope="col">Shows</th></tr>
{pages}
</table></div>
<h2>Wait for the next call and see it drawn</h2>
<form action="{root}/trace/svg" method="get">
<label>Function name matches <input name="regex" required maxlength="1000" placeholder="HandleHTTP"></label>
<button>Wait for it</button>
</form>
<p></p>
<pre>curl '{base}/trace/svg?regex=HandleHTTP' &gt; trace.svg
curl '{base}/trace/json?regex=HandleHTTP'</pre>
{parameters}
</body>
</html>
"""

_PARAMETERS = """<h2>Parameters of {addresses}</h2>
<div class="wrap"><table>
<tr><th scope="col">Name</th><th scope="col">Takes</th><th scope="col">Default</th><th scope="col">Meaning</th></tr>
{rows}
</table></div>"""


def render(
    *, process: str, pid: int, functions: int, engine: str, base: str, root: str, pages: Iterable[Page[Any]]
) -> str:
    """The page.

    Args:
        process: name of the process.
        pid: its number.
        functions: how many are monitored.
        engine: name of the engine that runs.
        base: address of the application as the client wrote it, ``http://localhost:9000``.
        root: path the application is mounted at, empty at the top.
        pages: the table; those that wait are shown as commands and not as links.
    """
    listed = [page for page in pages if page.listed]
    return _PAGE.format(
        style=_STYLE,
        process=escape(process),
        pid=pid,
        functions=functions,
        engine=escape(engine),
        base=escape(base),
        root=escape(root),
        pages="\n".join(_page_row(page, root) for page in listed if not page.waits),
        parameters="\n".join(_parameters(page) for page in listed if page.parameters),
    )


def _page_row(page: Page[Any], root: str) -> str:
    names = [item.name for item in page.formats if item.name and item.listed]
    formats = " ".join(_link(f"{root}{page.path}/{name}", name) for name in names)
    return _row((_link(root + page.path, page.path), formats, escape(page.title)))


def _parameters(page: Page[Any]) -> str:
    paths = [page.path] if page.bare else [f"{page.path}/{item.name}" for item in page.formats]
    return _PARAMETERS.format(
        addresses=" and ".join(f"<code>{escape(path)}</code>" for path in paths),
        rows="\n".join(
            _row(escape(text) for text in (item.name, item.takes, item.default_words or "–", item.words))
            for item in page.parameters
        ),
    )


def _link(target: str, words: str) -> str:
    return f'<a href="{escape(target)}">{escape(words)}</a>'


def _row(cells: Iterable[str]) -> str:
    return "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"
