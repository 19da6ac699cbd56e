"""httpx: a span for every request that a client sends, and the headers that let the other side go on with its trace.

```python
from monkit_plugins.httpx import instrument

client = instrument(httpx.AsyncClient(), mon)
```

Spans are called ``httpx GET``: the method and nothing else, for a client may
talk to any number of hosts and paths. The host is an annotation, and of those
named in *hosts* a tag too, so that they are counted apart.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Iterable, Iterator
from types import TracebackType
from typing import TypedDict, TypeVar, Unpack

try:
    import httpx
except ModuleNotFoundError as problem:
    if problem.name != "httpx":
        raise
    raise ModuleNotFoundError(
        "monkit_plugins.httpx needs httpx; install it with: pip install 'monkit-py[httpx]'", name="httpx"
    ) from problem

from monkit_core import Func, Scope
from monkit_core.engine import finish, start
from monkit_core.propagation import DEFAULT_FORMATS, check_formats, inject
from monkit_core.span import CURRENT
from monkit_core.variables import set_variable
from monkit_plugins.web import FailedStatus, FuncCache, method_word

__all__ = ["AsyncMonkitTransport", "MonkitTransport", "Options", "instrument"]

Client = TypeVar("Client", httpx.Client, httpx.AsyncClient)


class Options(TypedDict, total=False):
    """What everything here can be told."""

    hosts: Collection[str]
    """Hosts whose requests are counted apart, under a tag ``host``; none without it."""
    formats: Iterable[str]
    """How the trace is told, keys of `monkit_core.propagation.FORMATS`; ``w3c`` and ``baggage`` without it.

    Leave out ``baggage`` for a client that talks to strangers.
    """
    fail_on_4xx: bool
    """Count an answer of 400 to 499 as an error, ``HTTP 404``; true without it."""
    fail_on_5xx: bool
    """The same of 500 and above."""


class _Caller:
    """Starts the spans of one transport."""

    def __init__(self, mon: Scope, options: Options) -> None:
        hosts = options.get("hosts", ())
        formats = options.get("formats", DEFAULT_FORMATS)
        self._funcs = FuncCache(mon)
        self._hosts = frozenset((hosts,) if isinstance(hosts, str) else hosts)
        self._formats = (formats,) if isinstance(formats, str) else tuple(formats)
        check_formats(self._formats)
        self._failing = range(
            400 if options.get("fail_on_4xx", True) else 500, 1000 if options.get("fail_on_5xx", True) else 500
        )

    def call(self, request: httpx.Request) -> _Call:
        """Start the span of *request* and tell of it in its headers."""
        name = f"httpx {method_word(request.method)}"
        host = request.url.host
        call = _Call(self._funcs.get(name, name, host if host in self._hosts else None), host, self._failing)
        inject(request.headers, formats=self._formats)
        return call


class _Call:
    """The span of one request: current while the transport works, running until the answer's body is closed."""

    def __init__(self, func: Func, host: str, failing: range) -> None:
        self._failing = failing
        self._status = 0
        self._span = start(func)
        self._span.annotate("http.host", host)

    def answered(self, response: httpx.Response) -> bool:
        """Note the head of the answer; returns whether its body is still to come.

        What the caller does while it reads is no part of the request, so the span is not current any more.
        """
        self._status = response.status_code
        self._span.annotate("http.status", self._status)
        if response.is_closed:  # a transport for tests has given all of it at once
            self.end()
            return False
        if CURRENT.get() is self._span:
            set_variable(CURRENT, self._span.outer)
        return True

    def end(self, error: BaseException | None = None) -> None:
        """End the span, unless it has ended."""
        if error is None and self._status in self._failing:
            error = FailedStatus(self._status)
        finish(self._span, error)


class _Body(httpx.SyncByteStream):
    """The body of an answer, which ends its span."""

    def __init__(self, stream: httpx.SyncByteStream, call: _Call) -> None:
        self._stream = stream
        self._call = call

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from self._stream
        except GeneratorExit:
            raise  # whoever stops early closes the answer next
        except BaseException as error:
            self._call.end(error)
            raise

    def close(self) -> None:
        """Close the body and end the span."""
        try:
            self._stream.close()
        except BaseException as error:
            self._call.end(error)
            raise
        self._call.end()


class _AsyncBody(httpx.AsyncByteStream):
    """The same of an asynchronous client."""

    def __init__(self, stream: httpx.AsyncByteStream, call: _Call) -> None:
        self._stream = stream
        self._call = call

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for chunk in self._stream:
                yield chunk
        except GeneratorExit:
            raise  # whoever stops early closes the answer next
        except BaseException as error:
            self._call.end(error)
            raise

    async def aclose(self) -> None:
        """Close the body and end the span."""
        try:
            await self._stream.aclose()
        except BaseException as error:
            self._call.end(error)
            raise
        self._call.end()


class MonkitTransport(httpx.BaseTransport):
    """A transport around a transport: ``httpx.Client(transport=MonkitTransport(httpx.HTTPTransport(), mon))``.

    Each request that goes out gets a span, redirects and retries one each. It
    lasts until the body of the answer is closed; a body that nobody closes
    keeps it running. The bytes of the answer are passed on as they come.

    Args:
        transport: sends the requests.
        mon: scope that the functions belong to.
        **options: see `Options`.

    Raises:
        ValueError: a format is unknown.
    """

    def __init__(self, transport: httpx.BaseTransport, mon: Scope, **options: Unpack[Options]) -> None:
        self._transport = transport
        self._caller = _Caller(mon, options)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """See `httpx.BaseTransport`."""
        call = self._caller.call(request)
        try:
            response = self._transport.handle_request(request)
        except BaseException as error:
            call.end(error)
            raise
        if call.answered(response):
            assert isinstance(response.stream, httpx.SyncByteStream)
            response.stream = _Body(response.stream, call)
        return response

    def close(self) -> None:
        """Close the transport inside."""
        self._transport.close()

    def __enter__(self) -> MonkitTransport:
        self._transport.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        trace: TracebackType | None = None,
    ) -> None:
        self._transport.__exit__(kind, error, trace)


class AsyncMonkitTransport(httpx.AsyncBaseTransport):
    """The same for an `httpx.AsyncClient`; see `MonkitTransport`."""

    def __init__(self, transport: httpx.AsyncBaseTransport, mon: Scope, **options: Unpack[Options]) -> None:
        self._transport = transport
        self._caller = _Caller(mon, options)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """See `httpx.AsyncBaseTransport`."""
        call = self._caller.call(request)
        try:
            response = await self._transport.handle_async_request(request)
        except BaseException as error:
            call.end(error)
            raise
        if call.answered(response):
            assert isinstance(response.stream, httpx.AsyncByteStream)
            response.stream = _AsyncBody(response.stream, call)
        return response

    async def aclose(self) -> None:
        """Close the transport inside."""
        await self._transport.aclose()

    async def __aenter__(self) -> AsyncMonkitTransport:
        await self._transport.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        trace: TracebackType | None = None,
    ) -> None:
        await self._transport.__aexit__(kind, error, trace)


def instrument(client: Client, mon: Scope, **options: Unpack[Options]) -> Client:
    """Wrap the transports of *client*, those of its proxies and mounts too, and return it; a second time does nothing.

    httpx has no public way to do that for a client that exists, so this
    replaces its ``_transport`` and ``_mounts``. Where the client is made, a
    `MonkitTransport` can be handed in instead.

    Args:
        client: an `httpx.Client` or `httpx.AsyncClient`.
        mon: scope that the functions belong to.
        **options: see `Options`.
    """
    if isinstance(client, httpx.AsyncClient):
        client._transport = _wrap_async(client._transport, mon, options)
        client._mounts = {
            pattern: mount and _wrap_async(mount, mon, options) for pattern, mount in client._mounts.items()
        }
    else:
        client._transport = _wrap(client._transport, mon, options)
        client._mounts = {pattern: mount and _wrap(mount, mon, options) for pattern, mount in client._mounts.items()}
    return client


def _wrap(transport: httpx.BaseTransport, mon: Scope, options: Options) -> httpx.BaseTransport:
    return transport if isinstance(transport, MonkitTransport) else MonkitTransport(transport, mon, **options)


def _wrap_async(transport: httpx.AsyncBaseTransport, mon: Scope, options: Options) -> httpx.AsyncBaseTransport:
    return transport if isinstance(transport, AsyncMonkitTransport) else AsyncMonkitTransport(transport, mon, **options)
