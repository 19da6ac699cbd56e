"""Client spans of httpx: their life, their end, what they say to the other side."""

from __future__ import annotations

import asyncio
import contextvars
import gzip
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import httpx
import pytest

from monkit_core import Scope, Span, current_span
from monkit_plugins.httpx import AsyncMonkitTransport, MonkitTransport, instrument
from tests.helpers import check_idle, fresh_scope
from tests.plugins.services import Finished, only, run

Answer = Callable[[httpx.Request], httpx.Response]


class Stream(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A body in pieces that notes when it is closed, and may fail."""

    def __init__(
        self, *pieces: bytes, error: BaseException | None = None, close_error: Exception | None = None
    ) -> None:
        self.pieces = pieces
        self.error = error
        self.close_error = close_error
        self.closed = 0

    def __iter__(self) -> Iterator[bytes]:
        yield from self.pieces
        if self.error is not None:
            raise self.error

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self:
            yield piece

    def close(self) -> None:
        self.closed += 1
        if self.close_error is not None:
            raise self.close_error

    async def aclose(self) -> None:
        self.close()


def sync_client(mon: Scope, answer: Answer, **options: Any) -> httpx.Client:
    return httpx.Client(transport=MonkitTransport(httpx.MockTransport(answer), mon, **options))


def async_client(mon: Scope, answer: Answer, **options: Any) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=AsyncMonkitTransport(httpx.MockTransport(answer), mon, **options))


def get(
    kind: str, mon: Scope, answer: Answer, method: str = "GET", url: str = "http://up/", **options: Any
) -> httpx.Response:
    """Send one request with a client of a kind, in a context of its own."""

    def sync() -> httpx.Response:
        with sync_client(mon, answer, **options) as client:
            return client.request(method, url)

    async def asynchronous() -> httpx.Response:
        async with async_client(mon, answer, **options) as client:
            return await client.request(method, url)

    return contextvars.Context().run(sync) if kind == "sync" else run(asynchronous())


both = pytest.mark.parametrize("kind", ["sync", "async"])


@both
def test_request_is_one_span_named_by_its_method(kind: str) -> None:
    registry, mon = fresh_scope()
    watched = Finished(registry)
    assert get(kind, mon, lambda request: httpx.Response(200, stream=Stream(b"a", b"b"))).content == b"ab"
    (span,) = watched.spans
    assert span.func.full_name == "shop.httpx GET"
    assert span.func.tags == ()
    assert span.annotations == (("http.host", "up"), ("http.status", "200"))
    check_idle(registry)


@both
def test_headers_say_that_the_client_span_is_the_parent(kind: str) -> None:
    registry, mon = fresh_scope()
    watched = Finished(registry)
    sent: list[httpx.Headers] = []

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(request.headers)
        return httpx.Response(200)

    get(kind, mon, answer)
    (span,) = watched.spans
    assert sent[0].get_list("traceparent") == [f"00-{span.trace.id:032x}-{span.id:016x}-00"]


def test_client_span_is_a_child_of_the_span_that_sends() -> None:
    registry, mon = fresh_scope()
    watched = Finished(registry)
    with mon.task("handler") as handler:
        sync_client(mon, lambda request: httpx.Response(200)).get("http://up/")
        assert current_span() is handler
    client, _ = watched.spans
    assert (client.parent_id, client.trace) == (handler.id, handler.trace)
    check_idle(registry)


@both
def test_request_that_is_sent_twice_says_its_own_span_each_time(kind: str) -> None:
    _, mon = fresh_scope()
    said: list[list[str]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        said.append(request.headers.get_list("traceparent"))
        return httpx.Response(200)

    request = httpx.Request("GET", "http://up/", headers={"TraceParent": "old"})
    for _ in range(2):
        if kind == "sync":
            sync_client(mon, answer).send(request)
        else:
            run(async_client(mon, answer).send(request))
    assert [len(values) for values in said] == [1, 1]
    assert said[0] != said[1]


@both
def test_formats_are_those_that_were_asked_for(kind: str) -> None:
    _, mon = fresh_scope()
    names: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        names.extend(name for name in request.headers if name in ("traceparent", "b3"))
        return httpx.Response(200)

    get(kind, mon, answer, formats="b3")
    assert names == ["b3"]


def test_unknown_format_is_refused_where_the_transport_is_made() -> None:
    _, mon = fresh_scope()
    with pytest.raises(ValueError, match="unknown propagation format 'jaeger'"):
        sync_client(mon, lambda request: httpx.Response(200), formats=["jaeger"])


def test_span_lasts_until_the_body_is_closed() -> None:
    registry, mon = fresh_scope()
    watched = Finished(registry)
    stream = Stream(b"a", b"b")
    with mon.task("handler") as handler:
        client = sync_client(mon, lambda request: httpx.Response(200, stream=stream))
        with client.stream("GET", "http://up/") as response:
            assert current_span() is handler  # what is done with the answer is no part of the request
            body = response.iter_raw()
            assert next(body) == b"a"
            (running,) = handler.children
            assert running.func.short_name == "httpx GET"
            assert watched.spans == []
            assert next(body) == b"b"
        assert (watched.names, stream.closed) == (["httpx GET"], 1)
    check_idle(registry)


def test_span_lasts_until_the_body_of_an_asynchronous_answer_is_closed() -> None:
    registry, mon = fresh_scope()
    watched = Finished(registry)
    stream = Stream(b"a", b"b")

    async def work() -> None:
        async with (
            mon.task("handler") as handler,
            async_client(mon, lambda request: httpx.Response(200, stream=stream)) as client,
        ):
            async with client.stream("GET", "http://up/") as response:
                assert current_span() is handler
                async for piece in response.aiter_raw():
                    assert watched.spans == []
                    assert [child.func.short_name for child in handler.children] == ["httpx GET"]
                    if piece == b"a":
                        break  # the reader stops early, which is no failure
            assert (watched.names, stream.closed) == (["httpx GET"], 1)

    run(work())
    assert only(registry) == {"handler": (1, {}), "httpx GET": (1, {})}
    check_idle(registry)


def test_answer_whose_reader_stops_early_counts_by_its_status() -> None:
    registry, mon = fresh_scope()
    client = sync_client(mon, lambda request: httpx.Response(503, stream=Stream(b"a", b"b")))
    with client.stream("GET", "http://up/") as response:
        assert [piece for piece, _ in zip(response.iter_raw(), range(1), strict=False)] == [b"a"]
    assert only(registry) == {"httpx GET": (0, {"HTTP 503": 1})}


def test_answer_that_is_closed_in_another_context_ends_its_span() -> None:
    registry, mon = fresh_scope()
    with mon.task("handler"):
        client = sync_client(mon, lambda request: httpx.Response(200, stream=Stream(b"a")))
        response = client.send(client.build_request("GET", "http://up/"), stream=True)
    assert [span.orphaned for span in registry.root_spans()] == [True]
    contextvars.Context().run(response.close)
    check_idle(registry)


@both
def test_bytes_of_the_answer_are_not_changed(kind: str) -> None:
    _, mon = fresh_scope()
    packed = gzip.compress(bytes(range(256)) * 10)
    headers = {"content-encoding": "gzip", "content-length": str(len(packed)), "x-custom": "1"}

    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers=headers, stream=Stream(packed[:7], b"", packed[7:]), extensions={"mark": 1})

    response = get(kind, mon, answer)
    assert response.content == bytes(range(256)) * 10
    assert response.num_bytes_downloaded == len(packed)
    assert dict(response.headers) == headers
    assert response.extensions["mark"] == 1


@both
@pytest.mark.parametrize(
    ("status", "options", "counted"),
    [
        (200, {}, (1, {})),
        (304, {}, (1, {})),
        (404, {}, (0, {"HTTP 404": 1})),
        (503, {}, (0, {"HTTP 503": 1})),
        (404, {"fail_on_4xx": False}, (1, {})),
        (503, {"fail_on_4xx": False}, (0, {"HTTP 503": 1})),
        (503, {"fail_on_5xx": False}, (1, {})),
        (404, {"fail_on_5xx": False}, (0, {"HTTP 404": 1})),
        (404, {"fail_on_4xx": False, "fail_on_5xx": False}, (1, {})),
        (503, {"fail_on_4xx": False, "fail_on_5xx": False}, (1, {})),
    ],
)
def test_answers_of_4xx_and_5xx_count_as_errors_unless_told_otherwise(
    kind: str, status: int, options: dict[str, Any], counted: tuple[int, dict[str, int]]
) -> None:
    registry, mon = fresh_scope()
    get(kind, mon, lambda request: httpx.Response(status, stream=Stream(b"x")), **options)
    assert only(registry) == {"httpx GET": counted}


@both
def test_failure_to_send_counts_under_its_name_and_goes_on(kind: str) -> None:
    registry, mon = fresh_scope()

    def answer(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectTimeout("too slow")

    with pytest.raises(httpx.ConnectTimeout):
        get(kind, mon, answer)
    assert only(registry) == {"httpx GET": (0, {"ConnectTimeout": 1})}
    check_idle(registry)


@both
def test_failure_in_the_middle_of_the_body_counts_under_its_name(kind: str) -> None:
    registry, mon = fresh_scope()
    with pytest.raises(httpx.ReadError):
        get(kind, mon, lambda request: httpx.Response(200, stream=Stream(b"a", error=httpx.ReadError("cut"))))
    assert only(registry) == {"httpx GET": (0, {"ReadError": 1})}
    check_idle(registry)


@both
def test_failure_to_close_the_body_counts_under_its_name(kind: str) -> None:
    registry, mon = fresh_scope()
    with pytest.raises(httpx.CloseError):
        get(kind, mon, lambda request: httpx.Response(200, stream=Stream(close_error=httpx.CloseError("no"))))
    assert only(registry) == {"httpx GET": (0, {"CloseError": 1})}
    check_idle(registry)


def test_cancelled_request_counts_as_canceled() -> None:
    registry, mon = fresh_scope()

    class Silent(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            asked.set()
            await asyncio.Event().wait()
            raise AssertionError

    asked = asyncio.Event()

    async def work() -> None:
        async with httpx.AsyncClient(transport=AsyncMonkitTransport(Silent(), mon)) as client:
            asking = asyncio.create_task(client.get("http://up/"))
            await asked.wait()
            asking.cancel()
            await asyncio.wait([asking])
            assert asking.cancelled()

    run(work())
    assert only(registry) == {"httpx GET": (0, {"Canceled": 1})}


@both
def test_redirects_are_a_span_each(kind: str) -> None:
    registry, mon = fresh_scope()
    watched = Finished(registry)

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/":
            return httpx.Response(302, headers={"location": "/end"}, stream=Stream(b"x"))
        return httpx.Response(200, stream=Stream(b"y"))

    async def work() -> None:
        async with async_client(mon, answer) as client:
            assert (await client.get("http://up/", follow_redirects=True)).content == b"y"

    if kind == "sync":
        assert sync_client(mon, answer).get("http://up/", follow_redirects=True).content == b"y"
    else:
        run(work())
    assert [span.annotations[1] for span in watched.spans] == [("http.status", "302"), ("http.status", "200")]
    check_idle(registry)


@both
def test_hosts_are_a_tag_only_where_they_were_named(kind: str) -> None:
    registry, mon = fresh_scope()
    for host in ("known", "other", "another"):
        get(kind, mon, lambda request: httpx.Response(200), url=f"http://{host}/", hosts="known")
    assert [(func.tags, func.success_times.count) for func in registry.funcs()] == [((), 2), ((("host", "known"),), 1)]


@both
def test_invented_methods_make_one_name(kind: str) -> None:
    registry, mon = fresh_scope()
    for method in ("BREW", "WHEN"):
        get(kind, mon, lambda request: httpx.Response(200), method=method)
    assert only(registry) == {"httpx OTHER": (2, {})}


class Lifecycle(httpx.BaseTransport, httpx.AsyncBaseTransport):
    """A transport that notes what is done with it."""

    def __init__(self) -> None:
        self.log: list[str] = []

    def __enter__(self) -> Lifecycle:
        self.log.append("enter")
        return self

    def __exit__(self, *problem: object) -> None:
        self.log.append("exit")

    async def __aenter__(self) -> Lifecycle:
        return self.__enter__()

    async def __aexit__(self, *problem: object) -> None:
        self.__exit__()

    def close(self) -> None:
        self.log.append("close")

    async def aclose(self) -> None:
        self.close()


def test_transport_inside_is_entered_left_and_closed() -> None:
    _, mon = fresh_scope()
    inner = Lifecycle()
    with httpx.Client(transport=MonkitTransport(inner, mon)):
        pass
    MonkitTransport(inner, mon).close()
    assert inner.log == ["enter", "exit", "close"]


def test_asynchronous_transport_inside_is_entered_left_and_closed() -> None:
    _, mon = fresh_scope()
    inner = Lifecycle()

    async def work() -> None:
        async with httpx.AsyncClient(transport=AsyncMonkitTransport(inner, mon)):
            pass
        await AsyncMonkitTransport(inner, mon).aclose()

    run(work())
    assert inner.log == ["enter", "exit", "close"]


def test_instrument_wraps_a_client_that_exists_with_its_mounts_once() -> None:
    registry, mon = fresh_scope()

    def transport(name: str) -> httpx.MockTransport:
        return httpx.MockTransport(lambda request: httpx.Response(200, text=name))

    client = httpx.Client(transport=transport("main"), mounts={"http://a": transport("a"), "http://b": None})
    assert instrument(instrument(client, mon), mon) is client
    assert [client.get(f"http://{host}/").text for host in ("a", "c")] == ["a", "main"]
    assert only(registry) == {"httpx GET": (2, {})}
    assert None in client._mounts.values()


def test_instrument_wraps_an_asynchronous_client() -> None:
    registry, mon = fresh_scope()

    async def work() -> None:
        answer = httpx.MockTransport(lambda request: httpx.Response(200, text="x"))
        async with httpx.AsyncClient(transport=answer, mounts={"http://a": answer, "http://b": None}) as client:
            assert instrument(instrument(client, mon, hosts=["a"]), mon) is client
            for host in "ac":
                await client.get(f"http://{host}/")

    run(work())
    assert [(func.tags, func.success_times.count) for func in registry.funcs()] == [((), 1), ((("host", "a"),), 1)]


def test_span_of_a_call_is_current_while_the_transport_works() -> None:
    _, mon = fresh_scope()
    seen: list[Span | None] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(current_span())
        return httpx.Response(200)

    sync_client(mon, answer).get("http://up/")
    assert [span and span.func.short_name for span in seen] == ["httpx GET"]
    assert current_span() is None
