"""The debug application: the table of pages over one registry, behind the guard."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

from monkit_core import Registry, default_registry
from monkit_core.text import clean, clip
from monkit_present.access import Access, session_cookie, sessions_sent
from monkit_present.authority import read_hosts, split_authority
from monkit_present.body import read_json_object
from monkit_present.capture import Captures
from monkit_present.catalogue import HEALTH, PAGES
from monkit_present.guard import LOOPBACK_NAMES, Guard, path_of
from monkit_present.history import History
from monkit_present.kept import Kept
from monkit_present.marks import Marks
from monkit_present.negotiation import preferred
from monkit_present.pages import HTML, JSON, Address, Blocks, Format, PageRequest, Served
from monkit_present.parameters import BadQuery, read_object, read_query
from monkit_present.past_captures import PastCaptures
from monkit_present.remote import viz_hosts as read_viz_hosts
from monkit_present.render import json
from monkit_present.responses import READY_BYTES, Problem, attachment, gathered, send_all, send_body, send_head
from monkit_present.routes import Routes
from monkit_present.sign_in import SIGN_IN, SIGN_OUT
from monkit_present.streams import Streams
from monkit_present.tokens import Token
from monkit_present.views.frame import VIEW_POLICY
from monkit_present.workers import Workers

__all__ = ["DebugApp", "app", "make_access"]


class DebugApp:
    """An ASGI application that shows a registry.

    Args:
        registry: what it shows.
        access: who is let in.
        hosts: names and addresses that it answers to, beside those of the loopback interface.
        viz_hosts: see `app`.
        captures: keeps the waits, with limits of its own if given.
        workers: run the pages that call the program, likewise.
        streams: send what changes on pages, likewise.
        own_thread: nothing else runs in the thread that it is served in.
    """

    def __init__(
        self,
        registry: Registry,
        *,
        access: Access,
        hosts: Iterable[str] = (),
        viz_hosts: Iterable[str] = (),
        captures: Captures | None = None,
        workers: Workers | None = None,
        streams: Streams | None = None,
        own_thread: bool = False,
    ) -> None:
        pages = tuple(page for page in PAGES if access.by_token or page not in (SIGN_IN, SIGN_OUT))
        self._served = Served(
            registry,
            access,
            pages,
            read_viz_hosts(viz_hosts),
            Marks(),
            History(registry),
            Kept(),
            PastCaptures(),
            own_thread,
        )
        self._captures = Captures() if captures is None else captures
        self._workers = Workers() if workers is None else workers
        self._streams = Streams() if streams is None else streams
        self._routes = Routes(pages)
        self._drawers = Workers(most=2, deadline_s=30.0, waited_for="picture")
        self._without_format = {page.path: page for page in pages if not page.bare}
        self._guarded: ASGIApp = Guard(
            self._dispatch,
            access=access,
            hosts=read_hosts(hosts).union(LOOPBACK_NAMES),
            methods=self._routes.methods,
            is_document=self._routes.is_document,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        await self._guarded(scope, receive, send)

    def close_waits(self) -> None:
        """End open captures and streams in a well-formed way. Call it in the event loop that serves them."""
        self._captures.close()
        self._streams.close()
        self._served.history.close()

    def sign_in_code(self) -> str | None:
        """A code for the page at ``/sign-in#<code>``: good once, for ten minutes. ``None`` where no token is asked for.

        May be called from any thread.
        """
        access = self._served.access
        return access.codes.issue() if access.by_token else None

    async def _dispatch(self, scope: Scope, receive: Receive, send: Send) -> None:
        """By the path that the guard has checked: two readers of one path might take it for different ones."""
        path = path_of(scope)
        found = self._routes.find(path)
        if found is not None:
            await self._answer(*found, scope, receive, send)
            return
        page = self._without_format.get(path) or self._without_format.get(path.rpartition("/")[0])
        if page is not None:  # the query is looked at first, as in the original
            request = self._request(scope, _checked(read_query, page.parameters, scope["query_string"]))
            _checked(page.produce, request)
        raise Problem(404, f"path not found: {clip(clean(scope['path']), 200)}")

    async def _answer(
        self, place: Address, variable: dict[str, str], scope: Scope, receive: Receive, send: Send
    ) -> None:
        if scope["method"] == "POST":
            await self._act(place, scope, receive, send)
            return
        values = _checked(read_query, place.page.parameters, scope["query_string"])
        if place.page.variable is not None:
            values |= _checked(read_object, (place.page.variable,), variable)
        view = place.view
        if place.is_stream:
            await self._stream(place, self._request(scope, values), scope, receive, send)
            return
        chosen, produce = place.choose(values, _accepted(scope)), place.page.produce
        if view is not None and preferred((chosen.media_type, HTML), _accepted(scope)):
            self._served.history.look()
            chosen, produce = Format("", HTML, view.render, VIEW_POLICY), _as_it_is
        request = self._request(scope, values, chosen.name)
        if place.page.waits:
            wait = _checked(produce, request)
            await self._captures.respond(wait, chosen, scope["method"], receive, send)
            return
        chunks: Iterable[str | bytes] = ()
        if scope["method"] != "HEAD":

            def render() -> Iterable[str | bytes]:
                return chosen.render(produce(request))

            workers = self._drawers if place.page.takes_long else self._workers if place.page.runs_program else None
            if workers is not None:
                chunks = await workers.run(lambda: list(gathered(_checked(render), READY_BYTES)))
            else:
                chunks = _checked(render)
        headers = [(b"vary", b"Accept")] if place.negotiates else []
        if chosen.suffix is not None:
            name = next(iter(variable.values()), "recent")  # of a trace the page knows, so these are digits
            headers.append(attachment(f"trace-{name}{chosen.suffix}"))
        headers += [(b"content-security-policy", chosen.policy.encode())] if chosen.policy else []
        await send_head(send, 200, chosen.media_type, headers)
        await send_all(send, chunks)

    async def _stream(self, place: Address, request: PageRequest, scope: Scope, receive: Receive, send: Send) -> None:
        view = place.page.view
        assert view is not None  # it has an address because it has parts that change
        blocks = view.blocks
        assert blocks is not None

        async def work() -> Blocks:
            self._served.history.look()
            if place.page.runs_program:
                return await self._workers.run(lambda: _checked(blocks, request))
            return dict(_checked(blocks, request))

        key = (path_of(scope), request.root, request.query)
        await self._streams.respond(key, work, scope["method"], receive, send)

    async def _act(self, place: Address, scope: Scope, receive: Receive, send: Send) -> None:
        action = place.action
        assert action is not None  # the guard has looked at the method
        _checked(read_query, (), scope["query_string"])
        fields = await read_json_object(scope, receive)
        request = self._request(scope, _checked(read_object, action.parameters, fields))
        if place.page.runs_program:
            reply = await self._workers.run(lambda: action.act(request))
        else:
            reply = action.act(request)
        await send_head(send, 200, JSON, reply.headers)
        await send_body(send, json.message(dict(reply.fields)))

    def _request(self, scope: Scope, values: dict[str, Any], format_name: str = "") -> PageRequest:
        authority = next((value.decode("latin-1") for name, value in scope["headers"] if name == b"host"), "localhost")
        root = scope.get("root_path", "")
        cookie = session_cookie(scope["scheme"], *split_authority(authority))
        return PageRequest(
            served=self._served,
            values=values,
            query=scope["query_string"].decode("latin-1"),
            base=f"{scope['scheme']}://{authority}{root}",
            root=root,
            cookie=cookie,
            sessions=sessions_sent(scope["headers"], cookie),
            format=format_name,
        )


def _as_it_is(request: PageRequest) -> PageRequest:
    """What a view is rendered from."""
    return request


def _accepted(scope: Scope) -> str:
    return ",".join(value.decode("latin-1") for name, value in scope["headers"] if name == b"accept")


def _checked(read: Callable[..., Any], *arguments: object) -> Any:
    """What *read* returns; what it cannot use is the client's fault."""
    try:
        return read(*arguments)
    except BadQuery as problem:
        raise Problem(400, str(problem)) from None


def make_access(token: str | None, *, everybody: bool, open_health: bool) -> Access:
    """Who is let in: whoever has the token; without one everybody or nobody.

    Raises:
        TypeError: *token* is no text.
        ValueError: *token* is weak.
    """
    return Access(
        None if token is None else Token(token),
        everybody=everybody,
        open_paths=(SIGN_IN.path, *([HEALTH.path] if open_health else [])),
    )


def app(
    registry: Registry | None = None,
    *,
    token: str | None = None,
    insecure: bool = False,
    hosts: Iterable[str] = (),
    viz_hosts: Iterable[str] = (),
    open_health: bool = False,
) -> DebugApp:
    """The debug pages as an ASGI application, to be mounted in one of your own.

    Args:
        registry: what it shows, the default registry if not given.
        token: what every request has to bring (``Authorization: Bearer``).
        insecure: no token is asked for; something else must keep strangers out.
        hosts: names and addresses that requests may be addressed to, beside
            those of the loopback interface; the address a request came in on is
            always allowed.
        viz_hosts: hosts, or ``host:port``, that ``/trace/remote?viz=`` may send a browser to.
        open_health: ``/health`` needs no token.

    Raises:
        ValueError: neither *token* nor *insecure* is given, the token is weak,
            or one of *hosts* or *viz_hosts* cannot be read.
        TypeError: *token* is no text, or *hosts* or *viz_hosts* is one.
    """
    if token is None and not insecure:
        raise ValueError(
            "app() cannot know who reaches it: give token=monkit_present.new_token(), "
            "or say insecure=True where something else keeps strangers out"
        )
    return DebugApp(
        default_registry if registry is None else registry,
        access=make_access(token, everybody=insecure, open_health=open_health),
        hosts=hosts,
        viz_hosts=viz_hosts,
    )
