"""Pages: what a page is. A path, a title, its parameters, what produces its data, formats, and actions.

The tables of pages are read by the routes, the guard, the index, the
documents and ``/openapi.json``. Nothing here knows a particular page.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

from monkit_core import Registry, Span
from monkit_present.access import Access
from monkit_present.marks import Marks
from monkit_present.parameters import Parameter

__all__ = [
    "HTML", "JSON", "Action", "Address", "Ending", "Format", "Page", "PageRequest", "Reply", "Served", "Wait",
    "Waiter", "addresses",
]  # fmt: skip

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

HTML = "text/html; charset=utf-8"
JSON = "application/json; charset=utf-8"
_READING = ("GET", "HEAD")


@dataclass(frozen=True, slots=True)
class Served:
    """What one application serves.

    Attributes:
        registry: whose figures and spans.
        access: who is let in.
        pages: the table.
        viz_hosts: hosts and ports (``None``: any) that ``/trace/remote`` may send a browser to.
        marks: for differences.
    """

    registry: Registry
    access: Access
    pages: tuple[Page[Any], ...]
    viz_hosts: frozenset[tuple[str, int | None]]
    marks: Marks


@dataclass(frozen=True, slots=True)
class PageRequest:
    """What a page is asked, checked.

    Attributes:
        served: what it may look at.
        values: of its parameters, every one of them.
        base: address of the application as the client wrote it, ``http://localhost:9000``.
        root: path it is mounted at, empty at the top.
        cookie: name of the cookie for a session of this client.
        sessions: what came in cookies of that name, good or not.
    """

    served: Served
    values: Mapping[str, Any]
    base: str
    root: str
    cookie: str
    sessions: tuple[str, ...] = field(repr=False)


class Waiter(Protocol[T_co]):
    """Something that is waited for; it watches from its making until it is done or cancelled."""

    @property
    def target(self) -> Span | None:
        """The span that matched, or ``None``."""
        ...

    def cancel(self) -> None:
        """Stop watching."""
        ...

    def __await__(self) -> Generator[Any, None, T_co]:
        """Wait for it."""
        ...


@dataclass(frozen=True, slots=True)
class Wait(Generic[T]):
    """What a page that waits produces: everything is checked, nothing is watched yet.

    Attributes:
        watch: begins to watch.
        words: what is waited for, to be shown.
        timeout_s: seconds.
    """

    watch: Callable[[], Waiter[T]]
    words: str
    timeout_s: float


@dataclass(frozen=True, slots=True)
class Ending:
    """How a wait ended without what it waited for.

    Attributes:
        reason: ``timeout`` or ``closed``.
        words: what was waited for.
        waited_s: seconds.
        matched: a call matched and still runs.
    """

    reason: str
    words: str
    waited_s: float
    matched: bool


@dataclass(frozen=True, slots=True)
class Format(Generic[T]):
    """One way to send the data of a page.

    Attributes:
        name: last part of its path; empty if the path of the page is all of it.
        media_type: of the response.
        render: the data as chunks.
        policy: content security policy; ``None`` takes the guard's.
        without: of a page that waits, what is sent when the wait ends without data.
        beside: it is the one to send if the parameter of this name is given.
        listed: the index shows it.
    """

    name: str
    media_type: str
    render: Callable[[T], Iterable[str | bytes]]
    policy: str | None = None
    without: Callable[[Ending], str | bytes] | None = None
    beside: str | None = None
    listed: bool = True


@dataclass(frozen=True, slots=True)
class Reply:
    """What an action answers: the fields of a JSON object, and headers."""

    fields: Mapping[str, Any]
    headers: tuple[tuple[bytes, bytes], ...] = ()


@dataclass(frozen=True, slots=True)
class Action:
    """A change that a page offers, by POST to its address.

    Attributes:
        name: last part of its path; empty if the path of the page is all of it.
        title: what it does.
        act: does it.
        fields: of the answer, with what each says.
        parameters: fields of the JSON object that it takes.
    """

    name: str
    title: str
    act: Callable[[PageRequest], Reply]
    fields: tuple[tuple[str, str], ...]
    parameters: tuple[Parameter, ...] = ()


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """A page.

    Attributes:
        path: ``/stats``.
        title: what it shows.
        produce: its data, or a `Wait` for it.
        formats: the first one is also sent at the path of the page itself.
        parameters: of every format.
        actions: what it offers to change.
        runs_program: it runs code of the program (gauges, sources), so it needs a thread.
        waits: what it produces is a `Wait`.
        refuses: statuses of refusals of its own.
        bare: the path itself is an address too.
        listed: the index shows it.
    """

    path: str
    title: str
    produce: Callable[[PageRequest], Any]
    formats: tuple[Format[T], ...]
    parameters: tuple[Parameter, ...] = ()
    actions: tuple[Action, ...] = ()
    runs_program: bool = False
    waits: bool = False
    refuses: tuple[int, ...] = ()
    bare: bool = True
    listed: bool = True


@dataclass(frozen=True, slots=True)
class Address:
    """One path, and what is there: formats of a page, of which one is chosen, an action, or both."""

    path: str
    page: Page[Any]
    formats: tuple[Format[Any], ...] = ()
    action: Action | None = None

    @property
    def methods(self) -> tuple[str, ...]:
        """What may be asked of it."""
        return (*(_READING if self.formats else ()), *(("POST",) if self.action else ()))

    def choose(self, values: Mapping[str, Any]) -> Format[Any]:
        """The format to send for these values of the parameters."""
        return next(
            (item for item in self.formats if item.beside is not None and values.get(item.beside) is not None),
            self.formats[0],
        )


def addresses(page: Page[Any]) -> list[Address]:
    """Every path of a page, without the trailing slash that is tolerated."""
    formats: dict[str, tuple[Format[Any], ...]] = {page.path: page.formats[:1]} if page.bare else {}
    for item in page.formats:
        path = _below(page.path, item.name)
        formats[path] = (*(other for other in formats.get(path, ()) if other is not item), item)
    found = {path: Address(path, page, items) for path, items in formats.items()}
    for action in page.actions:
        path = _below(page.path, action.name)
        found[path] = Address(path, page, formats.get(path, ()), action)
    return list(found.values())


def _below(path: str, name: str) -> str:
    return f"{path}/{name}" if name else path
