"""Help: what the port offers, each line a link that works and a command that can be typed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from monkit_present.pages import Page, PageRequest
from monkit_present.views.frame import document

__all__ = ["listed_pages", "render", "render_text"]


@dataclass(frozen=True, slots=True)
class Line:
    """A page: its path, the names of its further formats with their paths, what it shows."""

    path: str
    formats: tuple[tuple[str, str], ...]
    title: str


def listed_pages(request: PageRequest) -> list[Page[Any]]:
    """The pages that help tells of."""
    return [page for page in request.served.pages if page.listed]


def _addresses(page: Page[Any]) -> list[str]:
    return [page.path] if page.bare else [f"{page.path}/{item.name}" for item in page.formats]


def render(request: PageRequest) -> Iterator[str]:
    """The page."""
    pages = listed_pages(request)
    return document(
        request,
        "help.html",
        request.page("/help"),
        "Help",
        base=request.base,
        lines=[_line(page) for page in pages if not page.waits and page.variable is None],
        below=[page for page in pages if page.variable is not None],
        parameters=[(_addresses(page), page.parameters) for page in pages if page.parameters],
    )


def _line(page: Page[Any]) -> Line:
    return Line(
        page.path,
        tuple(
            (item.name, f"{page.path.rstrip('/')}/{item.name}") for item in page.formats if item.name and item.listed
        ),
        page.title,
    )


def render_text(request: PageRequest) -> Iterator[str]:
    """The same as plain text: a command and what it shows, a line each."""
    pages = listed_pages(request)
    rows = [(address, page.title) for page in pages for address in _addresses(page)]
    width = max(len(address) for address, _ in rows)
    for address, title in rows:
        yield f"{request.base}{address.ljust(width)}  {title}\n"
    yield f"\ncurl '{request.base}/trace/svg?regex=HandleHTTP' > trace.svg\n"
