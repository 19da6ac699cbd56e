"""The frame: what stands around every view, and how templates are filled."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from monkit_core import engine
from monkit_core.clock import NS_PER_S, monotonic_ns, wall_offset_ns
from monkit_core.environment.process import process
from monkit_present.gather import process_name
from monkit_present.pages import HTML, Page, PageRequest
from monkit_present.render import figures

__all__ = ["VIEW_POLICY", "Entry", "Frame", "Macro", "document", "macro"]

VIEW_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
"""The policy to serve a view with: files and data of this port, and nothing inline."""

_NAVIGATION = (
    (("/", "Overview"),),
    (("/funcs", "Functions"), ("/graph", "Call graph"), ("/stats", "Stats")),
    (("/ps", "Live spans"), ("/traces", "Traces"), ("/capture", "Capture")),
)


@dataclass(frozen=True, slots=True)
class Entry:
    """A page that all pages lead to."""

    path: str
    name: str
    here: bool


@dataclass(frozen=True, slots=True)
class Frame:
    """What every view says around its content.

    Attributes:
        root: path that the application is mounted at.
        process: its name.
        pid: its number.
        python: version.
        engine: name.
        up: how long the process has run, as people read it.
        navigation: groups of entries.
        query: of the page with its question mark, empty if there is none.
        formats: names and paths of the same in other formats.
        command: that gets the same.
        now_ms: milliseconds since 1970.
        sign_out: this browser has a session that can be ended.
        live: where the stream of changes is, empty if there is none.
    """

    root: str
    process: str
    pid: int
    python: str
    engine: str
    up: str
    navigation: tuple[tuple[Entry, ...], ...]
    query: str
    formats: tuple[tuple[str, str], ...]
    command: str
    now_ms: int
    sign_out: bool
    live: str


@cache
def environment() -> Environment:
    """Templates, which escape what they show unless it is mark-up of their own."""
    made = Environment(
        loader=PackageLoader("monkit_present"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(
        duration=figures.duration, count=figures.count, counted=figures.counted, rate=figures.rate,
        percent=figures.percent, number=figures.number,
    )  # fmt: skip
    return made


Macro = Callable[..., str]


@cache
def macro(template: str, name: str) -> Macro:
    """A macro of a template, for a part of a page that is also sent by itself."""
    module = environment().get_template(template).module
    found: Macro = getattr(module, name)
    return found


def document(
    request: PageRequest, template: str, page: Page[Any], title: str, *, path: str = "", **shown: Any
) -> Iterator[str]:
    """The document as chunks.

    Args:
        request: of the page.
        template: name of the file.
        page: that is shown, by its other formats.
        title: of the document.
        path: of the page where it has a variable.
        shown: what the template is filled with.
    """
    path = path or page.path
    behind = f"?{request.query}" if request.query else ""
    live = f"{request.root}{path.rstrip('/')}/live{behind}" if page.view and page.view.blocks else ""
    frame = Frame(
        root=request.root,
        process=process_name(),
        pid=os.getpid(),
        python=platform.python_version(),
        engine=engine.name,
        up=figures.duration(dict(process()).get("uptime", 0.0) * NS_PER_S),
        query=behind,
        navigation=_navigation(request, page.path),
        formats=tuple(
            (item.name, f"{path.rstrip('/')}/{item.name}{behind}") for item in page.formats if item.name and item.listed
        ),
        command="" if page.formats[0].media_type == HTML else f"curl {_quoted(request.base + path + behind)}",
        now_ms=(monotonic_ns() + wall_offset_ns()) // 1_000_000,
        sign_out=any(page.path == "/sign-out" for page in request.served.pages),
        live=live,
    )
    return environment().get_template(template).generate(frame=frame, request=request, title=title, **shown)


def _navigation(request: PageRequest, here: str) -> tuple[tuple[Entry, ...], ...]:
    paths = {page.path for page in request.served.pages}
    below = here.partition("{")[0].rstrip("/")
    groups = (
        tuple(Entry(path, name, path in (here, below)) for path, name in group if path in paths)
        for group in _NAVIGATION
    )
    return tuple(group for group in groups if group)


def _quoted(address: str) -> str:
    return f"'{address}'" if any(letter in address for letter in "?&()$*;{} ") else address
