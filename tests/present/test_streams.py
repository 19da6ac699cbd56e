"""Streams: what changes on a page, sent to whoever looks."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
import pytest
from starlette.types import Message

from monkit_present.responses import Problem
from monkit_present.streams import Streams
from tests.helpers import BOUND_S


class Reader:
    """A client: what it was sent, and when it leaves."""

    def __init__(self) -> None:
        self.events: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.leaves = asyncio.Event()
        self.raw: list[bytes] = []

    async def receive(self) -> Message:
        await self.leaves.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        body = message.get("body", b"")
        self.raw.append(body)
        if body.startswith(b"data: "):
            self.events.put_nowait(orjson.loads(body.removeprefix(b"data: ")))

    async def next(self) -> dict[str, Any]:
        return await asyncio.wait_for(self.events.get(), BOUND_S)


class Page:
    """Parts that change when they are told to, and how often they were worked out."""

    def __init__(self) -> None:
        self.blocks: dict[str, str] = {"a": "1", "b": "1"}
        self.turns = 0

    async def __call__(self) -> dict[str, str]:
        self.turns += 1
        return dict(self.blocks)


def run(test: Callable[[Streams], Awaitable[None]], **limits: Any) -> None:
    async def within() -> None:
        await test(Streams(every_s=0.001, **limits))

    asyncio.run(within())


async def open_stream(streams: Streams, page: Page, reader: Reader, key: object = "page") -> asyncio.Task[None]:
    return asyncio.create_task(streams.respond(key, page, "GET", reader.receive, reader.send))


def test_first_event_has_everything_and_the_next_only_what_changed() -> None:
    async def test(streams: Streams) -> None:
        page, reader = Page(), Reader()
        stream = await open_stream(streams, page, reader)
        first = await reader.next()
        assert (first["set"], first["order"]) == ({"a": "1", "b": "1"}, ["a", "b"])
        page.blocks["b"] = "2"
        event = await reader.next()
        while not event["set"]:
            event = await reader.next()
        assert event["set"] == {"b": "2"}
        assert "order" not in event
        page.blocks = {"c": "1", "b": "2"}
        while "order" not in event:
            event = await reader.next()
        assert (event["set"], event["order"]) == ({"c": "1"}, ["c", "b"])
        reader.leaves.set()
        await asyncio.wait_for(stream, BOUND_S)
        assert streams.open == 0

    run(test)


def test_page_is_worked_out_once_for_all_who_look() -> None:
    async def test(streams: Streams) -> None:
        page, readers = Page(), [Reader() for _ in range(5)]
        opened = [await open_stream(streams, page, reader) for reader in readers]
        for reader in readers:
            await reader.next()
        turns = page.turns
        for _ in range(3):
            await asyncio.gather(*(reader.next() for reader in readers))
        assert page.turns - turns <= 5
        for reader in readers:
            reader.leaves.set()
        await asyncio.gather(*opened)
        turns = page.turns
        await asyncio.sleep(0)
        assert (page.turns, streams.open) == (turns, 0)

    run(test)


def test_one_stream_too_many_is_refused_before_anything_is_sent() -> None:
    async def test(streams: Streams) -> None:
        first, second = Reader(), Reader()
        stream = await open_stream(streams, Page(), first)
        await first.next()
        with pytest.raises(Problem) as caught:
            await streams.respond("other", Page(), "GET", second.receive, second.send)
        assert (caught.value.status, second.raw) == (429, [])
        first.leaves.set()
        await stream

    run(test, most=1)


def test_page_that_cannot_begin_is_refused_before_anything_is_sent() -> None:
    async def refuse() -> dict[str, str]:
        raise Problem(404, "no such page")

    async def test(streams: Streams) -> None:
        reader = Reader()
        with pytest.raises(Problem, match="no such page"):
            await asyncio.wait_for(streams.respond("page", refuse, "GET", reader.receive, reader.send), BOUND_S)
        assert (reader.raw, streams.open) == ([], 0)

    run(test)


def test_page_that_fails_later_ends_its_streams_and_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def test(streams: Streams) -> None:
        turns = iter([{"a": "1"}])

        async def fail() -> dict[str, str]:
            for blocks in turns:
                return blocks
            raise RuntimeError("secret of the program")

        reader = Reader()
        await asyncio.wait_for(streams.respond("page", fail, "GET", reader.receive, reader.send), BOUND_S)
        assert not any(b"secret" in part for part in reader.raw)
        assert streams.open == 0

    run(test)
    assert "a live page failed" in caplog.text


def test_closing_ends_every_stream_in_a_well_formed_way() -> None:
    async def test(streams: Streams) -> None:
        reader = Reader()
        stream = await open_stream(streams, Page(), reader)
        await reader.next()
        streams.close()
        await asyncio.wait_for(stream, BOUND_S)
        assert reader.raw[-1] == b"retry: 5000\n\n"

    run(test)


def test_page_that_takes_long_is_worked_out_less_often() -> None:
    async def test(streams: Streams) -> None:
        async def slow() -> dict[str, str]:
            await asyncio.sleep(0.01)
            return {"a": "1"}

        reader = Reader()
        stream = asyncio.create_task(streams.respond("page", slow, "GET", reader.receive, reader.send))
        await reader.next()
        assert (await reader.next())["every"] >= 0.2
        reader.leaves.set()
        await stream

    run(test)


def test_head_has_no_body() -> None:
    async def test(streams: Streams) -> None:
        page, reader = Page(), Reader()
        await streams.respond("page", page, "HEAD", reader.receive, reader.send)
        assert (b"".join(reader.raw), page.turns) == (b"", 0)

    run(test)
