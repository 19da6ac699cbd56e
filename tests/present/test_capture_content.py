"""What a capture holds: the same figures, parents and marks in each format."""

from __future__ import annotations

import asyncio
import threading
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import pytest

from monkit_core import Capture, Registry, Scope
from monkit_present.gather import trace_rows
from monkit_present.render import trace_svg
from tests.helpers import BOUND_S, fresh_scope
from tests.http_helpers import SVG, Wait, ask, bars, connect, request, served, words


def shop() -> tuple[Registry, Scope]:
    """A registry that knows `shop.handle`."""
    registry, scope = fresh_scope()
    scope.func("handle")
    return registry, scope


def url(kind: str, query: str = "regex=handle") -> str:
    return f"/trace/{kind}?{query}"


def capture_both(registry: Registry, query: str, work: Callable[[], object]) -> tuple[list[Any], ET.Element]:
    """What *work* looks like as JSON and as a picture."""
    with (
        served(registry) as server,
        Wait(server, url("json", query)) as first,
        Wait(server, url("svg", query)) as second,
    ):
        work()
        return first.json(), second.svg()


def check_same(rows: list[Any], picture: ET.Element) -> None:
    """The picture has a bar for each row, with its start, length and parent."""
    index = {row["id"]: number for number, row in enumerate(rows)}
    begun = rows[0]["start"]
    for row, bar in zip(rows, bars(picture), strict=True):
        start, length, parent = (int(figure) for figure in bar.get("data-t", "").split())
        assert start == row["start"] - begun
        assert parent == index.get(row.get("parent_id"), -1)
        if not row.get("unfinished"):
            assert length == row["finish"] - row["start"]
        title = bar.find(f"{SVG}title")
        assert title is not None
        assert (title.text or "").startswith(f"{row['func']['package']}.{row['func']['name']}")


def marks(bar: ET.Element) -> set[str]:
    return set(bar.get("class", "").split()) - {"s"}


async def gather_family(scope: Scope) -> asyncio.Task[None]:
    """A parent with a hundred children at once: one raises, one is cancelled, one outlives it."""
    together = asyncio.Event()
    started = 0

    @scope.task(args=("number",))
    async def child(number: int) -> None:
        nonlocal started
        started += 1
        if started == 100:
            together.set()
        await together.wait()
        if number == 17:
            raise LookupError("seventeen")
        if number in (23, 42):
            await asyncio.Event().wait()

    @scope.task
    async def parent() -> asyncio.Task[None]:
        children = [asyncio.create_task(child(number)) for number in range(100)]
        others = [task for number, task in enumerate(children) if number not in (23, 42)]
        await asyncio.gather(*others, return_exceptions=True)
        children[23].cancel()
        await asyncio.wait([children[23]])
        return children[42]

    return await parent()


def test_hundred_children_at_once_are_all_there_with_their_parents_and_marks() -> None:
    registry, scope = fresh_scope()
    scope.func("gather_family.parent")

    def work() -> None:
        async def run() -> None:
            survivor = await gather_family(scope)
            survivor.cancel()
            await asyncio.wait([survivor])

        asyncio.run(run())

    rows, picture = capture_both(registry, "regex=parent$", work)
    check_same(rows, picture)
    assert len(rows) == 101
    assert {row.get("parent_id") for row in rows[1:]} == {rows[0]["id"]}
    by_argument = dict(
        zip((row["args"][0] for row in rows[1:]), zip(rows[1:], bars(picture)[1:], strict=True), strict=True)
    )
    assert by_argument.keys() == {f"number={number}" for number in range(100)}
    failed, failed_bar = by_argument.pop("number=17")
    assert (failed["err"], failed["error_name"], failed["panicked"]) == ("seventeen", "LookupError", False)
    assert marks(failed_bar) == {"e"}
    cancelled, cancelled_bar = by_argument.pop("number=23")
    assert (cancelled["err"], cancelled["error_name"]) == ("Canceled", "Canceled")
    assert marks(cancelled_bar) == {"k"}
    survivor, survivor_bar = by_argument.pop("number=42")
    assert (survivor["finish"], survivor["unfinished"], survivor["orphaned"]) == (None, True, True)
    assert marks(survivor_bar) == {"u", "h"}
    for row, bar in by_argument.values():
        assert (row["err"], row["orphaned"], row.get("unfinished"), marks(bar)) == ("", False, None, set())


def test_panic_and_deep_and_threaded_children_are_there() -> None:
    registry, scope = shop()

    def work() -> None:
        def in_thread() -> None:
            with scope.func("thread").reset_trace():
                pass

        @scope.task("handle")
        def handle() -> None:
            thread = threading.Thread(target=in_thread)
            thread.start()
            thread.join(BOUND_S)
            with scope.task("a"), scope.task("b"), scope.task("c"):
                raise SystemExit(3)

        with pytest.raises(SystemExit):
            handle()

    rows, picture = capture_both(registry, "regex=handle", work)
    check_same(rows, picture)
    assert [row["func"]["name"] for row in rows] == ["handle", "a", "b", "c"]
    assert [row.get("parent_id") for row in rows[1:]] == [row["id"] for row in rows[:-1]]
    assert (rows[0]["panicked"], rows[0]["err"]) == (True, "3")
    assert [marks(bar) for bar in bars(picture)] == [{"p"}] * 4


def test_figures_are_true() -> None:
    """Wall time from the wall clock, lengths from the monotonic one, children within their parent."""
    registry, scope = shop()
    truth: dict[str, int] = {}

    def work() -> None:
        pause = threading.Event()
        truth["before"], begun = time.time_ns(), time.perf_counter_ns()
        with scope.task("handle"):
            with scope.task("first"):
                pause.wait(0.02)
            with scope.task("second"):
                pause.wait(0.01)
        truth["took"] = time.perf_counter_ns() - begun
        truth["after"] = time.time_ns()

    rows, picture = capture_both(registry, "regex=handle", work)
    check_same(rows, picture)
    root, first, second = rows
    length = root["finish"] - root["start"]
    clocks_apart_ns = 1_000_000_000  # the wall clock may be set meanwhile
    assert truth["before"] - clocks_apart_ns <= root["start"] <= truth["after"] + clocks_apart_ns
    assert 30_000_000 <= length <= truth["took"]
    assert first["finish"] - first["start"] >= 20_000_000
    assert second["finish"] - second["start"] >= 10_000_000
    assert root["start"] <= first["start"] <= first["finish"] <= second["start"] <= second["finish"] <= root["finish"]
    assert scope.func("handle").success_times.summary().recent == length


def test_spans_above_the_cap_are_counted_in_both_formats() -> None:
    registry, scope = shop()

    def work() -> None:
        with scope.task("handle"):
            for _ in range(9):
                with scope.task("child"):
                    pass

    rows, picture = capture_both(registry, "regex=handle&max_spans=4", work)
    check_same(rows, picture)
    assert (len(rows), rows[0]["dropped"]) == (4, 6)
    assert ["dropped" in row for row in rows] == [True, False, False, False]
    assert "4 spans, 6 more dropped at the cap" in words(picture)
    rows, picture = capture_both(registry, "regex=handle&max_spans=10", work)
    assert (len(rows), "dropped" in rows[0]) == (10, False)
    assert "10 spans, none dropped" in words(picture)


def test_thousands_of_spans_arrive_whole() -> None:
    registry, scope = shop()

    def work() -> None:
        child = scope.task("child")
        with scope.task("handle"):
            for _ in range(3000):
                with child:
                    pass

    rows, picture = capture_both(registry, "regex=handle", work)
    assert len(rows) == len(bars(picture)) == 3001
    check_same(rows, picture)


TRACE = 0xABCDEF << 64 | 0xFEDCBA9876543210


@pytest.mark.parametrize("digits", [f"{TRACE & (1 << 64) - 1:016x}", f"{TRACE:032x}", f"{TRACE:032X}"])
def test_trace_is_found_by_16_and_by_32_digits_of_its_id(digits: str) -> None:
    registry, scope = shop()

    def work() -> None:
        with scope.func("elsewhere").reset_trace():
            pass
        with scope.func("entry").remote_trace(7, TRACE), scope.task("child"):
            pass

    rows, picture = capture_both(registry, f"trace_id={digits}", work)
    check_same(rows, picture)
    assert [row["func"]["name"] for row in rows] == ["entry", "child"]
    assert rows[0]["parent_id"] == 7
    assert rows[0]["trace"] == {"id": TRACE & (1 << 63) - 1, "id_hex": f"{TRACE:032x}"}


def test_regex_and_trace_id_together_mean_and() -> None:
    registry, scope = shop()

    def work() -> None:
        with scope.task("handle"):
            pass
        with scope.func("entry").remote_trace(None, TRACE), scope.task("other"), scope.task("handle"):
            pass

    rows, _ = capture_both(registry, f"regex=handle&trace_id={TRACE:032x}", work)
    (row,) = rows
    assert (row["func"]["name"], row["trace"]["id_hex"]) == ("handle", f"{TRACE:032x}")


def test_later_function_is_captured_without_preselect() -> None:
    registry, scope = shop()

    def work() -> None:
        with scope.task("made_later"):
            pass

    rows, _ = capture_both(registry, "regex=made_later&preselect=false", work)
    assert [row["func"]["name"] for row in rows] == ["made_later"]


def test_every_wait_gets_the_same_call() -> None:
    registry, scope = shop()
    with served(registry) as server, ExitStack() as waits:
        opened = [waits.enter_context(Wait(server, url("json"))) for _ in range(10)]
        with scope.task("handle") as span:
            pass
        with scope.task("handle"):
            pass
        assert [[row["id"] for row in wait.json()] for wait in opened] == [[span.id]] * 10
        assert registry.watcher_count == 0


def test_other_pages_answer_while_one_waits() -> None:
    registry, scope = shop()
    with served(registry) as server, Wait(server, url("svg")) as wait:
        assert ask(server, "/funcs").status == 200
        with scope.task("handle"):
            pass
        assert len(bars(wait.svg())) == 1


def test_connection_can_be_used_again_after_a_capture() -> None:
    registry, scope = shop()
    with served(registry) as server, connect(server) as connection:
        connection.sendall(request(server, url("json")).replace(b"close", b"keep-alive"))
        data = b""
        while not data.endswith(b"\r\n1\r\n \r\n"):
            data += connection.recv(65_536)
        with scope.task("handle"):
            pass
        while not data.endswith(b"\r\n0\r\n\r\n"):
            data += connection.recv(65_536)
        connection.sendall(request(server, "/ps"))
        with connection.makefile("rb") as stream:
            assert stream.readline() == b"HTTP/1.1 200 OK\r\n"


def test_picture_without_spans_is_a_picture() -> None:
    rows = trace_rows(Capture((), 0))
    assert rows.trace_id == 0
    ET.fromstring(trace_svg.render(rows))
