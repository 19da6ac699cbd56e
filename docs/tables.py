"""Writes the tables of the reference from the tables of the port.

``make docs`` runs it. In a document a table stands between ``<!-- table NAME -->`` and ``<!-- end -->``; a test holds
that what stands there is what this writes.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import monkit_present
from monkit_present.catalogue import CALL_GRAPH, CAPTURE, PAGES
from monkit_present.graph_page import GRAPH
from monkit_present.kept_pages import KEPT, LATEST
from monkit_present.pages import EVENT_STREAM, HTML, Action, Format, Page, addresses
from monkit_present.parameters import Parameter
from monkit_present.trace_pages import REMOTE, TRACE

__all__ = ["TABLES", "fill"]

_REFERENCE = Path(__file__).parent / "reference"
_PLACE = re.compile(r"(<!-- table (.+?) -->\n).*?(<!-- end -->)", re.DOTALL)


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [" | ".join(("", *cells, "")).strip() for cells in (head, ("---",) * len(head), *rows)]
    return "\n".join(lines).replace("|  |", "| |")


def _code(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _address_rows(page: Page[Any]) -> Iterator[tuple[str, str, str]]:
    """A row for each format of *page*, with every address that sends it; then what a browser gets, and its stream."""
    for item in page.formats:
        paths = [place.path for place in addresses(page) if item in place.formats]
        yield (
            _code(paths),
            item.media_type.partition(";")[0],
            _words(page, item),
        )
    if page.view is not None and page.formats[0].media_type != HTML:
        yield f"`{page.path}`", "text/html", "the same as a page, for a browser (`Accept: text/html`)"
    for place in addresses(page):
        if place.is_stream:
            yield f"`{place.path}`", EVENT_STREAM, "what changes on that page, once a second"


def _words(page: Page[Any], item: Format[Any]) -> str:
    words = page.title if item is page.formats[0] else "the same"
    if item.beside:
        return f"{words}, with `{item.beside}=`"
    return f"{words}, as a file" if item.suffix else words


def _addresses() -> str:
    rows = [row for page in PAGES for row in _address_rows(page)]
    return _table(("address", "media type", "what"), rows)


def _parameters(*pages: Page[Any]) -> str:
    rows: dict[Parameter, tuple[str, ...]] = {}
    for page in pages:
        for parameter in page.every_parameter:
            where = [other.path for other in pages if parameter in other.every_parameter]
            cells = [f"`{parameter.name}`", parameter.takes, parameter.default_words, parameter.words]
            rows[parameter] = (*cells, _code(where)) if len(pages) > 1 else tuple(cells)
    head = ("parameter", "takes", "default", "meaning", "of")
    return _table(head if len(pages) > 1 else head[:-1], rows.values())


def _action_row(path: str, action: Action) -> tuple[str, ...]:
    takes = "; ".join(f"`{item.name}`: {item.takes}; {item.words}" for item in action.parameters)
    return f"`POST {path}`", takes, action.title, "; ".join(f"`{name}`: {words}" for name, words in action.fields)


def _actions() -> str:
    places = [place for page in PAGES for place in addresses(page)]
    rows = [_action_row(place.path, place.action) for place in places if place.action]
    return _table(("action", "takes", "does", "answers"), rows)


def _arguments(function: Callable[..., object]) -> str:
    """Every argument of *function* with its default and what its docstring says."""
    (section,) = re.findall(r"^Args:\n(.*?)\n\n", inspect.getdoc(function) or "", re.DOTALL | re.MULTILINE)
    meanings = dict(re.findall(r"^    (\w+): (.*?)(?=\n    \w|\Z)", section, re.DOTALL | re.MULTILINE))
    rows = []
    for name, argument in inspect.signature(function).parameters.items():
        words = re.sub(r"\s+", " ", meanings[name]).replace("``", "`").strip().removesuffix(".")
        words = re.sub(r"(?<!\*)\*(\w+)\*(?!\*)", r"`\1`", words)
        rows.append((f"`{name}`", f"`{argument.default!r}`".replace('"', "'"), words))
    return _table(("argument", "default", "meaning"), rows)


TABLES: dict[str, Callable[[], str]] = {
    "addresses": _addresses,
    "actions": _actions,
    "parameters of /stats": lambda: _parameters(next(page for page in PAGES if page.path == "/stats")),
    "parameters of /metrics": lambda: _parameters(next(page for page in PAGES if page.path == "/metrics")),
    "parameters of /funcs/svg": lambda: _parameters(GRAPH, CALL_GRAPH),
    "parameters of /funcs/{name}": lambda: _parameters(next(page for page in PAGES if page.path == "/funcs/{name}")),
    "parameters of kept traces": lambda: _parameters(KEPT, LATEST),
    "parameters that wait": lambda: _parameters(TRACE, CAPTURE, REMOTE),
    "arguments of serve": lambda: _arguments(monkit_present.serve),
    "arguments of app": lambda: _arguments(monkit_present.app),
}


def fill(document: str) -> str:
    """*document* with every table as it should stand there.

    Raises:
        KeyError: it names a table that there is not.
    """
    return _PLACE.sub(lambda found: f"{found[1]}{TABLES[found[2]]()}\n{found[3]}", document)


if __name__ == "__main__":
    for path in sorted(_REFERENCE.glob("*.md")):
        before = path.read_text("utf-8")
        after = fill(before)
        if after != before:
            path.write_text(after, "utf-8")
            print(f"written: {path.name}", file=sys.stderr)
