"""The index: what the port offers, each line a link that works and a command that can be typed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from html import escape

from monkit_present.query import PARAMETERS
from monkit_present.render.assets import source_hash, static_text

__all__ = ["CONTENT_SECURITY_POLICY", "PAGES", "PageLink", "render"]

_STYLE = static_text("index.css")

CONTENT_SECURITY_POLICY = (
    f"default-src 'none'; style-src {source_hash(_STYLE)}; img-src data:; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
"""The policy to serve the index with."""


@dataclass(frozen=True, slots=True)
class PageLink:
    """A page as the index lists it: path, the names of its formats below that path, what it shows."""

    path: str
    formats: tuple[str, ...]
    words: str


PAGES = (
    PageLink("/ps", ("text", "dot", "json"), "what runs now, as trees"),
    PageLink("/funcs", ("text", "dot", "json"), "every function: callers, counts, errors by name, times"),
    PageLink("/stats", ("text", "json"), "every series"),
)

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
<h2>Parameters of <code>/trace/svg</code> and <code>/trace/json</code></h2>
<div class="wrap"><table>
<tr><th scope="col">Name</th><th scope="col">Takes</th><th scope="col">Default</th><th scope="col">Meaning</th></tr>
{parameters}
</table></div>
</body>
</html>
"""


def render(*, process: str, pid: int, functions: int, engine: str, base: str, root: str) -> str:
    """The page.

    Args:
        process: name of the process.
        pid: its number.
        functions: how many are monitored.
        engine: name of the engine that runs.
        base: address of the application as the client wrote it, ``http://localhost:9000``.
        root: path the application is mounted at, empty at the top.
    """
    return _PAGE.format(
        style=_STYLE,
        process=escape(process),
        pid=pid,
        functions=functions,
        engine=escape(engine),
        base=escape(base),
        root=escape(root),
        pages="\n".join(_page_row(page, root) for page in PAGES),
        parameters="\n".join(
            _row(escape(text) for text in (item.name, item.takes, item.default or "–", item.words))
            for item in PARAMETERS
        ),
    )


def _page_row(page: PageLink, root: str) -> str:
    formats = " ".join(_link(f"{root}{page.path}/{name}", name) for name in page.formats)
    return _row((_link(root + page.path, page.path), formats, escape(page.words)))


def _link(target: str, words: str) -> str:
    return f'<a href="{escape(target)}">{escape(words)}</a>'


def _row(cells: Iterable[str]) -> str:
    return "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"
