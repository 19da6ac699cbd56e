from __future__ import annotations

import asyncio
import contextvars
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from monkit_core import Span, current_span, engine
from monkit_core.engine import finish, start
from tests.helpers import BOUND_S, check_idle, fresh_scope, in_fresh_context, live_names


def test_span_knows_function_trace_parent_and_times() -> None:
    _, scope = fresh_scope()
    assert current_span() is None
    with scope.task("outer") as outer:
        assert (outer.parent, outer.parent_id, outer.finished, outer.finish_ns) == (None, None, False, 0)
        before = outer.duration_ns
        with scope.task("inner") as inner:
            assert current_span() is inner
            assert (inner.parent, inner.parent_id, inner.trace) == (outer, outer.id, outer.trace)
            assert inner.func.full_name == "shop.inner"
            assert list(outer.children) == [inner]
        assert outer.children == ()
        assert outer.duration_ns >= before
    assert outer.finished
    assert outer.duration == outer.duration_ns / 1e9
    assert outer.duration_ns == outer.finish_ns - outer.start_ns >= inner.duration_ns
    assert scope.func("outer").success_times.summary().recent == outer.duration_ns


def test_text_of_span_func_scope_and_trace_says_what_they_are() -> None:
    _, scope = fresh_scope()
    with scope.task("work") as span:
        assert repr(span) == f"<Span {span.id:016x} of shop.work, running>"
        assert repr(span.trace) == f"<Trace {span.trace.id:032x}, 1 running>"
    assert repr(span) == f"<Span {span.id:016x} of shop.work, finished>"
    assert (repr(span.func), repr(scope)) == ("<Func shop.work>", "<Scope shop>")


def test_callers_count_from_where_a_function_was_called() -> None:
    _, scope = fresh_scope()
    inner = scope.task("inner")
    with inner:
        pass
    for _ in range(2):
        with scope.task("outer"), inner:
            pass
    assert scope.func("inner").callers == {None: 1, scope.func("outer"): 2}
    assert scope.func("outer").callers == {None: 2}


def test_annotations_are_appended_also_after_the_end() -> None:
    _, scope = fresh_scope()
    with scope.task("work") as span:
        span.annotate("rows", 3)
        span.annotate("rows", [4])
    span.annotate("late", None)
    assert span.annotations == (("rows", "3"), ("rows", "[4]"), ("late", "None"))


def test_span_keeps_256_annotations_and_counts_the_rest() -> None:
    _, scope = fresh_scope()
    with scope.task("work") as span:
        for number in range(300):
            span.annotate("n", number)
    assert len(span.annotations) == 256
    assert span.annotations[-1] == ("n", "255")
    assert span.annotations_dropped == 44


def test_annotations_are_clean_clipped_and_never_raise() -> None:
    class Unspeakable:
        def __str__(self) -> str:
            raise ValueError

    _, scope = fresh_scope()
    with scope.task("work") as span:
        span.annotate("\x1b", "\ud800")
        span.annotate("k" * 2_000, "v" * 2_000)
        span.annotate("hostile", Unspeakable())
    assert span.annotations == (
        ("\\x1b", "\\ud800"),
        ("k" * 999 + "…", "v" * 999 + "…"),
        ("hostile", "<Unspeakable whose __str__ raised ValueError>"),
    )


def test_trace_keeps_values_for_every_span_of_it() -> None:
    _, scope = fresh_scope()
    with scope.task("outer") as outer:
        assert outer.trace.get("sampled") is None
        outer.trace.set("sampled", True)
        outer.trace.set("other", 1)
        with scope.task("inner") as inner:
            assert inner.trace.get("sampled") is True
            assert inner.trace.get("never set") is None
    with scope.task("next") as later:
        assert later.trace.get("sampled") is None


def test_span_count_says_how_many_run() -> None:
    _, scope = fresh_scope()
    with scope.task("outer") as outer:
        trace = outer.trace
        assert trace.span_count == 1
        with scope.task("inner"):
            assert trace.span_count == 2
        assert trace.span_count == 1
    assert trace.span_count == 0


@in_fresh_context
def test_child_that_outlives_its_parent_becomes_a_root_and_keeps_its_parent_id() -> None:
    registry, scope = fresh_scope()
    parent = start(scope.func("parent"))
    child = start(scope.func("child"))
    grandchild = start(scope.func("grandchild"))
    finish(parent)
    assert (child.orphaned, child.parent_id, child.trace) == (True, parent.id, parent.trace)
    assert (grandchild.orphaned, grandchild.parent) == (False, child)
    assert live_names(registry) == [(0, "child"), (1, "grandchild")]
    assert registry.root_spans() == [child]
    finish(grandchild)
    finish(child)
    assert current_span() is None
    check_idle(registry)


@in_fresh_context
def test_orphan_that_ends_makes_orphans_of_its_children() -> None:
    registry, scope = fresh_scope()
    parent, child, grandchild = (start(scope.func(name)) for name in ("parent", "child", "grandchild"))
    finish(parent)
    finish(child)
    assert grandchild.orphaned
    assert registry.root_spans() == [grandchild]
    finish(grandchild)
    check_idle(registry)


@in_fresh_context
def test_child_started_under_a_finished_parent_is_an_orphan_at_once() -> None:
    registry, scope = fresh_scope()
    parent = start(scope.func("parent"))
    later = contextvars.copy_context()
    finish(parent)
    child = later.run(start, scope.func("child"))
    assert (child.orphaned, child.parent_id, child.trace) == (True, parent.id, parent.trace)
    assert scope.func("child").callers == {scope.func("parent"): 1}
    grandchild = later.run(start, scope.func("grandchild"))
    assert (grandchild.orphaned, grandchild.parent) == (False, child)
    assert live_names(registry) == [(0, "child"), (1, "grandchild")]
    later.run(finish, grandchild)
    later.run(finish, child)
    check_idle(registry)


@in_fresh_context
def test_finishing_twice_does_nothing() -> None:
    registry, scope = fresh_scope()
    span = start(scope.func("work"))
    finish(span, KeyError())
    ended = span.finish_ns
    finish(span)
    assert span.finish_ns == ended
    assert scope.func("work").errors == {"KeyError": 1}
    check_idle(registry)


@in_fresh_context
def test_finish_leaves_the_current_span_alone_when_it_is_another() -> None:
    registry, scope = fresh_scope()
    first = contextvars.Context().run(start, scope.func("elsewhere"))
    own = start(scope.func("own"))
    finish(first)
    assert current_span() is own
    finish(own)
    assert current_span() is None
    check_idle(registry)


def test_thread_starts_without_a_span_and_a_copied_context_carries_it() -> None:
    registry, scope = fresh_scope()
    block = scope.task("in thread")

    def call() -> Span:
        with block as span:
            return span

    with ThreadPoolExecutor(1) as pool, scope.task("outer") as outer:
        assert pool.submit(call).result(BOUND_S).parent_id is None
        carried = pool.submit(contextvars.copy_context().run, call).result(BOUND_S)
        assert (carried.parent_id, carried.trace) == (outer.id, outer.trace)
    check_idle(registry)


def test_to_thread_carries_the_span() -> None:
    registry, scope = fresh_scope()

    def call() -> int | None:
        with scope.task("in thread") as span:
            return span.parent_id

    async def main() -> None:
        with scope.task("outer") as outer:
            assert await asyncio.to_thread(call) == outer.id

    asyncio.run(main())
    check_idle(registry)


def test_reset_keeps_current_and_forgets_the_rest() -> None:
    registry, scope = fresh_scope()
    func = scope.func("work")
    with scope.task("work"), scope.task("work"):
        pass
    with scope.task("work"):
        for problem in (KeyError, KeyboardInterrupt):
            with pytest.raises(problem), scope.task("work"):
                raise problem
        func.reset()
        assert (func.current, func.highwater) == (1, 1)
        assert (func.errors, func.panics, func.callers) == ({}, 0, {})
        assert func.success_times.count == func.failure_times.count == 0
    assert func.current == 0
    assert func.success_times.count == 1
    assert list(registry.all_spans()) == []


def test_parents_come_before_children_and_siblings_by_start() -> None:
    registry, scope = fresh_scope()
    names: list[list[tuple[int, str]]] = []

    async def child(name: str, go: asyncio.Event) -> None:
        with scope.task(name), scope.task(f"in {name}"):
            await go.wait()

    async def main() -> None:
        go = asyncio.Event()
        with scope.task("outer"):
            tasks = [asyncio.create_task(child(name, go)) for name in ("b", "c", "a")]
            await asyncio.sleep(0)
            names.append(live_names(registry))
            go.set()
            await asyncio.gather(*tasks)

    asyncio.run(main())
    wanted = [(0, "outer"), (1, "b"), (2, "in b"), (1, "c"), (2, "in c"), (1, "a"), (2, "in a")]
    assert names == [wanted]
    check_idle(registry)


@pytest.mark.skipif(engine.name != "pure", reason="in the compiled engine there is nothing between the two steps")
@in_fresh_context
def test_child_that_ends_while_its_parent_makes_it_an_orphan_is_not_kept() -> None:
    """The child's thread ends it between the two steps of the parent's thread."""
    registry, scope = fresh_scope()
    parent, child = start(scope.func("parent")), start(scope.func("child"))

    class EndsTheChild(dict[Span, None]):
        def __setitem__(self, span: Span, value: None) -> None:
            if span is child:
                finish(child)
            super().__setitem__(span, value)

    registry.live._orphans = EndsTheChild()  # type: ignore[attr-defined,unused-ignore]
    finish(parent)
    assert child.finished
    check_idle(registry)


def test_parent_and_child_ending_at_once_in_two_threads_leave_nothing() -> None:
    registry, scope = fresh_scope()
    rounds, together = 300, threading.Barrier(2)
    spans: list[Span] = []

    def end_child() -> None:
        for _ in range(rounds):
            together.wait(BOUND_S)
            finish(spans[-1])
            together.wait(BOUND_S)

    def one_round() -> None:
        parent = start(scope.func("parent"))
        spans.append(start(scope.func("child")))
        together.wait(BOUND_S)
        finish(parent)
        together.wait(BOUND_S)

    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(end_child)
        for _ in range(rounds):
            contextvars.Context().run(one_round)
        other.result(BOUND_S)
    assert scope.func("child").success_times.count == rounds
    check_idle(registry)
