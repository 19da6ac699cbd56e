from __future__ import annotations

import asyncio
import contextvars
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from monkit_core import Block, Span, current_span, without_span
from tests.helpers import BOUND_S, check_idle, fresh_scope, in_fresh_context, live_names


@pytest.fixture
def fast_switching() -> Iterator[None]:
    """Threads take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def test_block_enters_a_new_span_each_time_and_returns_it() -> None:
    registry, scope = fresh_scope()
    block = scope.task("block")
    with block as first:
        assert current_span() is first
        assert live_names(registry) == [(0, "block")]
    with block as second:
        pass
    assert isinstance(first, Span)
    assert first is not second
    assert first.finished
    assert current_span() is None
    assert block.func.success_times.count == 2
    check_idle(registry)


def test_block_without_a_name_is_refused() -> None:
    _, scope = fresh_scope()
    with pytest.raises(TypeError, match="a block needs a name"), scope.task():
        pass
    with pytest.raises(TypeError, match="a block needs a name"):
        _ = scope.task(tier="edge").func
    assert current_span() is None


def test_block_takes_a_mapping_of_arguments() -> None:
    _, scope = fresh_scope()
    with scope.task("block", args={"user": "ann", "n": 3}) as span:
        assert span.args == ("user='ann'", "n=3")
    with pytest.raises(TypeError, match="args= of a block takes a mapping"), scope.task("block", args=("user",)):
        pass


def test_block_has_tags() -> None:
    _, scope = fresh_scope()
    with scope.task("block", tier="edge") as span:
        assert span.func.tags == (("tier", "edge"),)


def test_one_object_can_be_nested() -> None:
    registry, scope = fresh_scope()
    block = scope.task("block")
    with block as outer, block as inner:
        assert inner.parent is outer
        assert block.func.current == 2
    assert outer.finish_ns >= inner.finish_ns
    assert block.func.highwater == 2
    assert block.func.callers == {None: 1, block.func: 1}
    check_idle(registry)


@in_fresh_context
def test_blocks_may_be_left_in_another_order() -> None:
    registry, scope = fresh_scope()
    one, two = scope.task("one"), scope.task("two")
    first = one.__enter__()
    second = two.__enter__()
    one.__exit__(None, None, None)
    assert first.finished
    assert current_span() is second
    assert second.orphaned
    assert live_names(registry) == [(0, "two")]
    two.__exit__(None, None, None)
    assert current_span() is None
    check_idle(registry)


@in_fresh_context
def test_three_blocks_left_in_another_order_restore_past_the_gap() -> None:
    registry, scope = fresh_scope()
    blocks = [scope.task(name) for name in ("one", "two", "three")]
    spans = [block.__enter__() for block in blocks]
    blocks[1].__exit__(None, None, None)
    assert current_span() is spans[2]
    blocks[2].__exit__(None, None, None)
    assert current_span() is spans[0]
    blocks[0].__exit__(None, None, None)
    assert current_span() is None
    check_idle(registry)


def test_exit_ends_the_innermost_open_span_of_the_object() -> None:
    registry, scope = fresh_scope()
    shared, other = scope.task("shared"), scope.task("other")
    with shared as outer, shared as inner:
        foreign = other.__enter__()
        shared.__exit__(None, None, None)  # seen from the current span: past `foreign`, the inner one
        assert inner.finished
        assert not outer.finished
        other.__exit__(None, None, None)
        assert foreign.finished
        assert current_span() is outer
        shared.__enter__()  # for the `with` that thinks the inner one is still open
    check_idle(registry)


def test_concurrent_tasks_share_one_object() -> None:
    registry, scope = fresh_scope()
    block = scope.task("shared")

    async def worker(number: int, started: list[asyncio.Event], leave: list[asyncio.Event]) -> None:
        with block as span:
            started[number].set()
            await leave[number].wait()
            assert current_span() is span
        assert span.finished
        assert current_span() is None

    async def main() -> None:
        started, leave = ([asyncio.Event() for _ in range(4)] for _ in range(2))
        tasks = [asyncio.create_task(worker(number, started, leave)) for number in range(4)]
        for event in started:
            await event.wait()
        assert live_names(registry) == [(0, "shared")] * 4
        for number in (1, 3, 0, 2):
            leave[number].set()
            await tasks[number]

    asyncio.run(asyncio.wait_for(main(), BOUND_S))
    assert block.func.highwater == 4
    assert block.func.success_times.count == 4
    check_idle(registry)


def test_async_with_is_the_same_as_with() -> None:
    registry, scope = fresh_scope()
    block = scope.task("block")

    async def main() -> None:
        async with block as span:
            assert current_span() is span
            await asyncio.sleep(0)
        with pytest.raises(KeyError):
            async with block:
                raise KeyError
        assert current_span() is None

    asyncio.run(main())
    assert block.func.success_times.count == 1
    assert block.func.errors == {"KeyError": 1}
    check_idle(registry)


@in_fresh_context
def test_block_may_be_left_in_another_context() -> None:
    registry, scope = fresh_scope()
    block = scope.task("block")
    span = block.__enter__()
    contextvars.copy_context().run(block.__exit__, None, None, None)
    assert span.finished
    assert block.func.current == 0
    check_idle(registry)


@in_fresh_context
def test_context_of_a_block_that_was_left_elsewhere_recovers_with_the_next_block_outside() -> None:
    _, scope = fresh_scope()
    with scope.task("outer"):
        block = scope.task("block")
        block.__enter__()
        contextvars.copy_context().run(block.__exit__, None, None, None)
    assert current_span() is None
    with scope.task("next") as later:
        assert not later.orphaned


@in_fresh_context
def test_block_left_in_a_context_that_never_saw_it_ends_its_last_open_span() -> None:
    registry, scope = fresh_scope()
    block, other = scope.task("block"), scope.task("other")
    contexts = [contextvars.Context() for _ in range(2)]
    first, second = (context.run(block.__enter__) for context in contexts)
    with other as foreign:
        block.__exit__(None, None, None)
        assert (first.finished, second.finished) == (False, True)
        assert current_span() is foreign
        block.__exit__(None, None, None)
        assert first.finished
    check_idle(registry)


def test_exit_too_many_does_nothing() -> None:
    registry, scope = fresh_scope()
    block = scope.task("block")
    block.__exit__(None, None, None)
    with block:
        pass
    block.__exit__(None, None, None)
    assert block.func.success_times.count == 1
    check_idle(registry)


def test_block_does_not_swallow_the_exception() -> None:
    registry, scope = fresh_scope()
    problem = ValueError("same object")
    with pytest.raises(ValueError, match="same object") as caught, scope.task("block"):
        raise problem
    assert caught.value is problem
    assert scope.func("block").errors == {"ValueError": 1}
    check_idle(registry)


def test_remote_trace_starts_under_a_remote_parent() -> None:
    registry, scope = fresh_scope()
    func = scope.func("handler")
    with func.remote_trace(2**64 - 1, 2**128 - 1) as span:
        assert (span.parent_id, span.parent, span.trace.id) == (2**64 - 1, None, 2**128 - 1)
        assert not span.orphaned
        assert registry.root_spans() == [span]
        with scope.task("child") as child:
            assert child.trace is span.trace
    assert func.callers == {None: 1}
    with scope.task("outer") as outer:
        with func.remote_trace(7, outer.trace) as span:
            assert span.trace is outer.trace
            assert span not in outer.children
        assert current_span() is outer
        with func.remote_trace(7) as span:
            assert span.trace is outer.trace
    with func.remote_trace(None) as span:
        assert span.parent_id is None
        assert span.trace is not outer.trace
    check_idle(registry)


def test_reset_trace_starts_a_new_trace_for_each_entry() -> None:
    registry, scope = fresh_scope()
    block = scope.func("fresh").reset_trace()
    with scope.task("outer") as outer:
        with block as one:
            pass
        with block as two:
            assert two.parent_id is None
            assert {root.func.short_name for root in registry.root_spans()} == {"outer", "fresh"}
        assert current_span() is outer
    assert len({outer.trace.id, one.trace.id, two.trace.id}) == 3
    check_idle(registry)


def test_without_span_hides_the_current_span() -> None:
    registry, scope = fresh_scope()
    with scope.task("outer") as outer:
        with without_span():
            assert current_span() is None
            with without_span():
                pass
            with scope.task("hidden") as hidden:
                assert hidden.parent is None
                assert hidden.trace is not outer.trace
        assert current_span() is outer
    check_idle(registry)


def test_without_span_leaves_alone_what_is_current_at_its_end() -> None:
    _, scope = fresh_scope()

    def call() -> None:
        block = scope.task("left open")
        with scope.task("outer"):
            with without_span():
                opened = block.__enter__()
            assert current_span() is opened
            block.__exit__(None, None, None)

    contextvars.Context().run(call)


class TakenAway(dict[Span, None]):
    """Another thread ends the chosen span at the last moment."""

    def __init__(self, block: Block, spans: dict[Span, None]) -> None:
        super().__init__(spans)
        self.block = block
        self.once = True

    def pop(self, span: Span, *default: object) -> object:  # type: ignore[override]
        if self.once:
            self.once = False
            contextvars.copy_context().run(self.block.__exit__, None, None, None)
        return super().pop(span, *default)


@in_fresh_context
def test_exit_that_another_thread_outruns_ends_another_span() -> None:
    registry, scope = fresh_scope()
    block = scope.task("shared")
    contextvars.Context().run(block.__enter__)
    block.__enter__()
    block._open = TakenAway(block, block._open)
    block.__exit__(None, None, None)
    assert block.func.success_times.count == 2
    check_idle(registry)


@pytest.mark.usefixtures("fast_switching")
def test_threads_share_one_object_also_where_blocks_are_left_in_another_context() -> None:
    registry, scope = fresh_scope()
    block = scope.task("shared")
    threads, rounds = 4, 300
    together = threading.Barrier(threads)

    def worker() -> None:
        together.wait(BOUND_S)
        for _ in range(rounds):
            contextvars.Context().run(block.__enter__)
            contextvars.Context().run(block.__exit__, None, None, None)
            with block as span:  # which another thread may end: it is the last open one
                assert current_span() is span

    with ThreadPoolExecutor(threads) as pool:
        for future in [pool.submit(worker) for _ in range(threads)]:
            future.result(BOUND_S)
    assert block.func.success_times.count == threads * rounds * 2
    check_idle(registry)
