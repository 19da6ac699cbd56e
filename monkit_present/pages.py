"""Pages: what a page is. A path, a title, its parameters, what produces its data, formats, and actions.

The tables of pages are read by the routes, the guard, the index, the
documents and ``/openapi.json``. Nothing here knows a particular page.

A path may end in one variable, ``/traces/{trace_id}``, which is a parameter of
the page that stands in the path.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

from monkit_core import Registry, Span
from monkit_core.waiting import WentBy
from monkit_present.access import Access
from monkit_present.history import History
from monkit_present.kept import Kept
from monkit_present.marks import Marks
from monkit_present.negotiation import preferred
from monkit_present.parameters import Parameter
from monkit_present.past_captures import PastCaptures

__all__ = [
    "EVENT_STREAM", "HTML", "JSON", "Action", "Address", "Blocks", "Ending", "Format", "Page", "PageRequest", "Reply",
    "Served", "View", "Wait", "Waiter", "addresses",
]  # fmt: skip

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

EVENT_STREAM = "text/event-stream"
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
        history: what the last minutes were like, while somebody looks.
        kept: parts of pages, as long as what they are made of stays the same.
        captures: the latest ones.
        own_thread: the port has a thread of its own, so what that costs is the cost of the port.
    """

    registry: Registry
    access: Access
    pages: tuple[Page[Any], ...]
    viz_hosts: frozenset[tuple[str, int | None]]
    marks: Marks
    history: History
    kept: Kept
    captures: PastCaptures
    own_thread: bool


@dataclass(frozen=True, slots=True)
class PageRequest:
    """What a page is asked, checked.

    Attributes:
        served: what it may look at.
        values: of its parameters, every one of them.
        query: the same as they came, percent-encoded, without the question mark.
        base: address of the application as the client wrote it, ``http://localhost:9000``.
        root: path it is mounted at, empty at the top.
        cookie: name of the cookie for a session of this client.
        sessions: what came in cookies of that name, good or not.
        format: name of the format that is to be sent.
    """

    served: Served
    values: Mapping[str, Any]
    query: str
    base: str
    root: str
    cookie: str
    sessions: tuple[str, ...] = field(repr=False)
    format: str = ""

    def page(self, path: str) -> Page[Any]:
        """The page with this path in the table."""
        return next(page for page in self.served.pages if page.path == path)


class Waiter(Protocol[T_co]):
    """Something that is waited for; it watches from its making until it is done or cancelled."""

    @property
    def target(self) -> Span | None:
        """The span that matched, or ``None``."""
        ...

    @property
    def went_by(self) -> WentBy:
        """What came meanwhile and was not it."""
        ...

    @property
    def part(self) -> T_co | None:
        """What there is of it already."""
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
        name: of the file that it is sent as, where it is sent as one, without the end of that name.
        caught: is told what came, before it is sent.
    """

    watch: Callable[[], Waiter[T]]
    words: str
    timeout_s: float
    name: str = "trace"
    caught: Callable[[T], object] | None = None


@dataclass(frozen=True, slots=True)
class Ending:
    """How a wait ended without what it waited for.

    Attributes:
        reason: ``timeout`` or ``closed``.
        words: what was waited for.
        waited_s: seconds.
        matched: a call matched and still runs.
        went_by: calls that were looked at and did not match.
    """

    reason: str
    words: str
    waited_s: float
    matched: bool
    went_by: WentBy


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
        negotiated: which of the formats at its path is sent depends on what the client accepts.
        suffix: it is sent as a file, whose name ends in this.
        opening: of a page that waits, the chunk that is sent at once, and that `render` leaves out.
    """

    name: str
    media_type: str
    render: Callable[[T], Iterable[str | bytes]]
    policy: str | None = None
    without: Callable[[Ending], str | bytes] | None = None
    beside: str | None = None
    listed: bool = True
    negotiated: bool = False
    suffix: str | None = None
    opening: str = " "


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


Blocks = Mapping[str, str]
"""Parts of a view that change while one looks: the HTML of an element by its ``id``."""


@dataclass(frozen=True, slots=True)
class View:
    """A page as people see it, which is what a browser gets at its path.

    Attributes:
        render: the document as chunks of HTML.
        blocks: the parts that change, as they are now; ``None`` if it stands still.
    """

    render: Callable[[PageRequest], Iterable[str]]
    blocks: Callable[[PageRequest], Blocks] | None = None


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
        takes_long: it works so long that it needs one too, or starts a program.
        waits: what it produces is a `Wait`.
        refuses: statuses of refusals of its own.
        bare: the path itself is an address too.
        listed: the index shows it.
        view: what a browser gets at the path instead of the first format.
        variable: the parameter that the path ends in.
    """

    path: str
    title: str
    produce: Callable[[PageRequest], Any]
    formats: tuple[Format[T], ...]
    parameters: tuple[Parameter, ...] = ()
    actions: tuple[Action, ...] = ()
    runs_program: bool = False
    takes_long: bool = False
    waits: bool = False
    refuses: tuple[int, ...] = ()
    bare: bool = True
    listed: bool = True
    view: View | None = None
    variable: Parameter | None = None

    @property
    def every_parameter(self) -> tuple[Parameter, ...]:
        """That of the path, then those of the query."""
        return self.parameters if self.variable is None else (self.variable, *self.parameters)


@dataclass(frozen=True, slots=True)
class Address:
    """One path, and what is there: formats of a page, of which one is chosen, an action, or both."""

    path: str
    page: Page[Any]
    formats: tuple[Format[Any], ...] = ()
    action: Action | None = None

    @property
    def view(self) -> View | None:
        """What a browser gets here."""
        return self.page.view if self.path == self.page.path else None

    @property
    def is_stream(self) -> bool:
        """It sends what changes in the view, as long as somebody reads."""
        return self.formats == (_LIVE,)

    @property
    def media_types(self) -> tuple[str, ...]:
        """What it may send, the usual one first."""
        types = [item.media_type for item in self.formats]
        return tuple(dict.fromkeys([*types, HTML] if self.view is not None else types))

    @property
    def is_document(self) -> bool:
        """It has a page that one reads in a browser, and that links lead to."""
        return self.view is not None or any(item.media_type == HTML for item in self.formats)

    @property
    def methods(self) -> tuple[str, ...]:
        """What may be asked of it."""
        return (*(_READING if self.formats else ()), *(("POST",) if self.action else ()))

    def choose(self, values: Mapping[str, Any], accept: str = "") -> Format[Any]:
        """The format to send for these values of the parameters, and what the client says it accepts."""
        if any(item.negotiated for item in self.formats):
            return self.formats[preferred([item.media_type for item in self.formats], accept)]
        return next(
            (item for item in self.formats if item.beside is not None and values.get(item.beside) is not None),
            self.formats[0],
        )

    @property
    def negotiates(self) -> bool:
        """Whether what is sent depends on what the client accepts."""
        return self.view is not None or any(item.negotiated for item in self.formats)


_LIVE: Format[Any] = Format("live", EVENT_STREAM, lambda _: (), listed=False)
"""What changes in a view; `Streams` writes it."""


def addresses(page: Page[Any]) -> list[Address]:
    """Every path of a page, without the trailing slash that is tolerated."""
    formats: dict[str, tuple[Format[Any], ...]] = {page.path: page.formats[:1]} if page.bare else {}
    for item in page.formats:
        path = _below(page.path, item.name)
        formats[path] = (*(other for other in formats.get(path, ()) if other is not item), item)
    if page.view is not None and page.view.blocks is not None:
        formats[_below(page.path, _LIVE.name)] = (_LIVE,)
    found = {path: Address(path, page, items) for path, items in formats.items()}
    for action in page.actions:
        path = _below(page.path, action.name)
        found[path] = Address(path, page, formats.get(path, ()), action)
    return list(found.values())


def _below(path: str, name: str) -> str:
    return f"{path.rstrip('/')}/{name}" if name else path
