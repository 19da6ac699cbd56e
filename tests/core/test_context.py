from __future__ import annotations

import asyncio
import concurrent.futures
import functools
import gc
import io
import logging
import logging.handlers
import queue
import re
import sys
import threading
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from contextvars import ContextVar, copy_context
from pathlib import Path
from typing import Any

import pytest

from monkit_core import Scope, Span, current_span, without_span
from monkit_core.context import (
    LOG_FORMAT,
    LogFilter,
    Thread,
    ThreadPoolExecutor,
    carry,
    run_in_executor,
    wrap,
)
from tests.helpers import BOUND_S, ROOT, check_idle, fresh_scope, in_fresh_context, run_python

PAGE = (ROOT / "docs/reference/context.md").read_text("utf-8")
THREADS_INHERIT = bool(getattr(sys.flags, "thread_inherit_context", 0))  # a switch of later interpreters
MARK: ContextVar[str] = ContextVar("mark", default="")


def mark_and_span(mark: str = "") -> tuple[str, Span | None]:
    """The variable of the caller's context, which is then set, and the current span."""
    before = MARK.get()
    MARK.set(mark)
    return before, current_span()


def child_of(scope: Scope) -> Span:
    """A span below the current one, that has ended."""
    with scope.task("child") as span:
        return span


# Where it follows by itself.


def test_await_and_tasks_carry_the_span() -> None:
    registry, scope = fresh_scope()

    async def child() -> Span:
        await asyncio.sleep(0)
        return child_of(scope)

    async def main() -> None:
        with scope.task("parent") as parent:
            children = [await child(), *await asyncio.gather(child(), asyncio.create_task(child()))]
        assert {span.parent_id for span in children} == {parent.id}
        assert current_span() is None

    asyncio.run(main())
    check_idle(registry)


def test_task_group_carries_the_span() -> None:
    registry, scope = fresh_scope()

    async def child() -> Span | None:
        await asyncio.sleep(0)
        return current_span()

    async def main() -> None:
        with scope.task("parent") as parent:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(child()) for _ in range(3)]
            assert [task.result() for task in tasks] == [parent] * 3

    asyncio.run(main())
    check_idle(registry)


def test_to_thread_carries_the_span() -> None:
    registry, scope = fresh_scope()

    async def main() -> None:
        with scope.task("parent") as parent:
            assert await asyncio.to_thread(current_span) is parent
            assert (await asyncio.to_thread(child_of, scope)).parent_id == parent.id
            assert current_span() is parent

    asyncio.run(main())
    check_idle(registry)


@pytest.mark.parametrize("how", ["call_soon", "call_soon_threadsafe", "call_later", "call_at", "add_done_callback"])
def test_loop_callbacks_carry_the_span(how: str) -> None:
    registry, scope = fresh_scope()

    async def main() -> None:
        loop = asyncio.get_running_loop()
        seen: asyncio.Future[Span | None] = loop.create_future()

        def look(*_: object) -> None:
            seen.set_result(current_span())

        done: asyncio.Future[None] = loop.create_future()
        schedule: dict[str, Callable[[], object]] = {
            "call_soon": lambda: loop.call_soon(look),
            "call_soon_threadsafe": lambda: loop.call_soon_threadsafe(look),
            "call_later": lambda: loop.call_later(0, look),
            "call_at": lambda: loop.call_at(loop.time(), look),
            "add_done_callback": lambda: done.add_done_callback(look),
        }
        with scope.task("parent") as parent:
            schedule[how]()
        done.set_result(None)
        assert await asyncio.wait_for(seen, BOUND_S) is parent
        assert current_span() is None

    asyncio.run(main())
    check_idle(registry)


# Where it follows with a helper.


@pytest.mark.skipif(THREADS_INHERIT, reason="this interpreter was told to carry contexts into threads")
def test_standard_pools_and_threads_do_not_carry_the_span() -> None:
    _, scope = fresh_scope()
    seen: list[Span | None] = []

    async def in_executor() -> Span | None:
        return await asyncio.get_running_loop().run_in_executor(None, current_span)

    with scope.task("parent"):
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            seen += [pool.submit(current_span).result(BOUND_S), *pool.map(lambda _: current_span(), range(2))]
        thread = threading.Thread(target=lambda: seen.append(current_span()))
        thread.start()
        thread.join(BOUND_S)
        seen.append(asyncio.run(in_executor()))
    assert seen == [None] * 5


def test_pool_submits_with_the_span() -> None:
    registry, scope = fresh_scope()
    with ThreadPoolExecutor(2) as pool:
        with scope.task("parent") as parent:
            assert pool.submit(current_span).result(BOUND_S) is parent
            assert pool.submit(child_of, scope).result(BOUND_S).parent_id == parent.id
            with without_span():
                assert pool.submit(current_span).result(BOUND_S) is None
        assert pool.submit(current_span).result(BOUND_S) is None
    check_idle(registry)


def test_pool_maps_with_the_span() -> None:
    registry, scope = fresh_scope()
    with ThreadPoolExecutor(2) as pool, scope.task("parent") as parent:
        spans = list(pool.map(lambda _: child_of(scope), range(5)))
        assert [span.parent_id for span in spans] == [parent.id] * 5
    check_idle(registry)


@in_fresh_context
def test_calls_of_a_pool_do_not_see_what_others_set() -> None:
    MARK.set("outer")
    with ThreadPoolExecutor(1) as pool:
        marks = [pool.submit(mark_and_span, f"of {number}").result(BOUND_S)[0] for number in range(3)]
    assert marks == ["outer"] * 3
    assert MARK.get() == "outer"


def test_pool_passes_arguments_results_and_errors_through() -> None:
    def fail() -> None:
        raise ZeroDivisionError("as it is")

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(int, "ff", base=16).result(BOUND_S) == 255
        assert pool.submit(dict, fn=1, self=2).result(BOUND_S) == {"fn": 1, "self": 2}
        with pytest.raises(ZeroDivisionError, match="as it is"):
            pool.submit(fail).result(BOUND_S)


def test_run_in_executor_carries_the_span() -> None:
    registry, scope = fresh_scope()

    async def main() -> None:
        loop = asyncio.get_running_loop()
        with concurrent.futures.ThreadPoolExecutor(1) as pool, scope.task("parent") as parent:
            for given, executor in ((None, None), (loop, None), (None, pool), (loop, pool)):
                assert await run_in_executor(given, executor, current_span) is parent
            assert await run_in_executor(None, pool, int, "12") == 12
            with pytest.raises(ValueError, match="invalid literal"):
                await run_in_executor(None, pool, int, "x")

    asyncio.run(main())
    check_idle(registry)


def test_thread_carries_the_span_of_who_starts_it() -> None:
    registry, scope = fresh_scope()
    seen: list[Span | None] = []
    thread = Thread(target=lambda: seen.append(current_span()), name="carrier", daemon=True)
    with scope.task("parent") as parent:
        thread.start()
        thread.join(BOUND_S)
    assert seen == [parent]
    assert (thread.name, thread.daemon) == ("carrier", True)
    check_idle(registry)


@in_fresh_context
def test_thread_with_a_run_of_its_own_carries_the_span() -> None:
    class Worker(Thread):
        seen: tuple[str, Span | None] = ("", None)

        def run(self) -> None:
            self.seen = mark_and_span("of the thread")

    _, scope = fresh_scope()
    worker = Worker()
    MARK.set("outer")
    with scope.task("parent") as parent:
        worker.start()
        worker.join(BOUND_S)
    assert worker.seen == ("outer", parent)
    assert MARK.get() == "outer"


def test_thread_started_twice_is_refused_and_runs_once() -> None:
    seen: list[int] = []
    go = threading.Event()
    thread = Thread(target=lambda: seen.append(go.wait(BOUND_S)))
    thread.start()
    with pytest.raises(RuntimeError, match="once"):
        thread.start()
    go.set()
    thread.join(BOUND_S)
    with pytest.raises(RuntimeError, match="once"):
        thread.start()
    assert seen == [True]


def test_thread_that_could_not_start_starts_later_with_the_span_of_then(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    _, scope = fresh_scope()
    seen: list[Span | None] = []
    thread = Thread(target=lambda: seen.append(current_span()))
    with monkeypatch.context() as patch, scope.task("earlier"):
        patch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError, match="can't start"):
            thread.start()
    with scope.task("later") as later:
        thread.start()
        thread.join(BOUND_S)
    assert seen == [later]


def test_finished_thread_keeps_no_context() -> None:
    class Held:
        pass

    variable: ContextVar[Held] = ContextVar("held")

    def start() -> tuple[Thread, weakref.ref[Held]]:
        held = Held()
        variable.set(held)
        thread = Thread(target=lambda: None)
        thread.start()
        thread.join(BOUND_S)
        return thread, weakref.ref(held)

    gc.disable()
    try:
        thread, held = copy_context().run(start)
        assert held() is None
        gone = weakref.ref(thread)
        del thread
        assert gone() is None, "a finished thread is in no reference cycle"
    finally:
        gc.enable()


def test_wrapped_callable_runs_with_the_span_of_where_it_was_wrapped() -> None:
    registry, scope = fresh_scope()
    with scope.task("parent") as parent:
        bound = wrap(mark_and_span)
    with scope.task("another") as another:
        assert bound()[1] is parent
        assert current_span() is another
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        assert pool.submit(bound).result(BOUND_S)[1] is parent
    assert bound.__name__ == "mark_and_span"
    check_idle(registry)


def test_timers_of_the_standard_library_run_a_wrapped_callable_with_the_span() -> None:
    _, scope = fresh_scope()
    seen: list[Span | None] = []

    def look() -> None:
        seen.append(current_span())

    with scope.task("parent") as parent:
        timer = threading.Timer(0, wrap(look))
    timer.start()
    timer.join(BOUND_S)
    assert seen == [parent]


def test_callback_of_a_future_runs_wrapped_with_the_span() -> None:
    _, scope = fresh_scope()
    seen: list[Span | None] = []

    def look(_: Future[None]) -> None:
        seen.append(current_span())

    future: Future[None] = Future()
    with scope.task("parent") as parent:
        future.add_done_callback(wrap(look))
        future.add_done_callback(look)
    future.set_result(None)
    assert seen == [parent, None]


@in_fresh_context
def test_overlapping_and_repeated_calls_of_a_wrapped_callable_do_not_collide() -> None:
    threads = 4
    together = threading.Barrier(threads)

    def work(number: int) -> list[str]:
        together.wait(BOUND_S)
        seen = [mark_and_span(f"of {number}")[0], MARK.get()]
        together.wait(BOUND_S)
        return seen

    MARK.set("outer")
    bound = wrap(work)
    with concurrent.futures.ThreadPoolExecutor(threads) as pool:
        for _ in range(2):
            assert list(pool.map(bound, range(threads))) == [["outer", f"of {number}"] for number in range(threads)]

    def countdown(left: int) -> list[str]:
        before, _ = mark_and_span(f"of {left}")
        return [before, *(bound_countdown(left - 1) if left else [])]

    bound_countdown = wrap(countdown)
    assert bound_countdown(2) == ["outer"] * 3


def test_wrapping_takes_any_plain_callable() -> None:
    assert wrap(functools.partial(int, base=16))("ff") == 255
    assert wrap("x".join)(["a", "b"]) == "axb"
    with pytest.raises(ZeroDivisionError):
        wrap(lambda: 1 // 0)()


def test_wrapping_what_only_runs_when_awaited_or_iterated_is_refused() -> None:
    async def coroutine() -> None: ...

    def generator() -> Iterator[int]:
        yield 1

    async def async_generator() -> AsyncIterator[int]:
        yield 1

    function: Callable[[], Any]
    for function in (coroutine, generator, async_generator, functools.partial(coroutine)):
        with pytest.raises(TypeError, match="does not run when called but when awaited or iterated"):
            wrap(function)


def test_carried_pool_submits_and_maps_with_the_span() -> None:
    registry, scope = fresh_scope()
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        carried = carry(pool)
        with scope.task("parent") as parent:
            assert carried.submit(current_span).result(BOUND_S) is parent
            assert list(carried.map(lambda _: current_span(), range(3))) == [parent] * 3
            assert carried.submit(int, "ff", base=16).result(BOUND_S) == 255
        assert carried.submit(current_span).result(BOUND_S) is None
    check_idle(registry)


def test_carried_pool_works_as_the_executor_of_a_loop() -> None:
    _, scope = fresh_scope()

    async def main() -> None:
        with carry(concurrent.futures.ThreadPoolExecutor(1)) as pool, scope.task("parent") as parent:
            assert await asyncio.get_running_loop().run_in_executor(pool, current_span) is parent

    asyncio.run(main())


def test_shutting_down_a_carried_pool_shuts_down_the_pool() -> None:
    pool = concurrent.futures.ThreadPoolExecutor(1)
    carry(pool).shutdown(wait=True, cancel_futures=True)
    with pytest.raises(RuntimeError, match="after shutdown"):
        pool.submit(int)


def test_pool_that_carries_already_is_not_carried_twice() -> None:
    with ThreadPoolExecutor(1) as ours, concurrent.futures.ThreadPoolExecutor(1) as standard:
        assert carry(ours) is ours
        carried = carry(standard)
        assert carry(carried) is carried


def test_process_pool_is_refused_with_the_way_that_works() -> None:
    async def main(pool: Executor) -> None:
        await run_in_executor(None, pool, int)

    with ProcessPoolExecutor(1) as pool:
        with pytest.raises(TypeError, match=r"of a ProcessPoolExecutor; inject .* headers.*monkit_core\.propagation"):
            carry(pool)
        with pytest.raises(TypeError, match=r"of a ProcessPoolExecutor; inject .* headers.*monkit_core\.propagation"):
            asyncio.run(main(pool))


# Generators.


@in_fresh_context
def test_generator_closed_elsewhere_leaves_the_span_of_who_closes_it_alone() -> None:
    registry, scope = fresh_scope()

    def generate() -> Iterator[Span]:
        with scope.task("block") as span:
            yield span

    generator = generate()
    block = copy_context().run(next, generator)
    with scope.task("closer") as closer:
        generator.close()  # type: ignore[attr-defined]
        assert block.finished
        assert current_span() is closer
    assert current_span() is None
    assert scope.func("block").success_times.count == 1
    check_idle(registry)


def test_generator_finalised_by_the_collector_leaves_the_current_span_alone() -> None:
    registry, scope = fresh_scope()

    def generate() -> Iterator[object]:
        this = yield None
        with scope.task("block"):
            yield this  # a cycle: only the collector finds it

    generator: Any = generate()
    next(generator)
    copy_context().run(generator.send, generator)
    with scope.task("bystander") as bystander:
        del generator
        gc.collect()
        assert current_span() is bystander
    check_idle(registry)


def test_async_generator_that_nobody_finishes_leaves_the_current_span_alone() -> None:
    registry, scope = fresh_scope()
    closed: list[Span] = []

    async def generate() -> AsyncIterator[Span]:
        try:
            with scope.task("block") as span:
                yield span
        finally:
            closed.append(span)

    async def look_once() -> None:
        async for _ in generate():
            return

    async def main() -> None:
        with scope.task("bystander") as bystander:
            await asyncio.create_task(look_once())
            gc.collect()
            while not closed:  # the loop closes it in a task of its own
                await asyncio.sleep(0)
            assert current_span() is bystander
        assert current_span() is None

    asyncio.run(asyncio.wait_for(main(), BOUND_S))
    assert scope.func("block").success_times.count == 1
    check_idle(registry)


# Log records.


def logger_to(stream: io.StringIO, *filters: logging.Filter) -> tuple[logging.Logger, logging.Handler]:
    """A logger of the test's own that writes ids and message."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter("%(trace_id)s %(span_id)s %(message)s"))
    for each in filters:
        handler.addFilter(each)
    logger = logging.Logger("tests.context", logging.INFO)
    logger.addHandler(handler)
    return logger, handler


def test_log_records_carry_the_ids_of_the_span_in_hex() -> None:
    _, scope = fresh_scope()
    stream = io.StringIO()
    logger, _ = logger_to(stream, LogFilter())
    with scope.task("parent") as span:
        logger.info("inside")
    logger.info("outside")
    assert stream.getvalue() == f"{span.trace.id:032x} {span.id:016x} inside\n- - outside\n"
    assert re.match(r"[0-9a-f]{32} [0-9a-f]{16} inside\n", stream.getvalue())


def test_log_records_of_a_thread_carry_its_span() -> None:
    _, scope = fresh_scope()
    stream = io.StringIO()
    logger, _ = logger_to(stream, LogFilter())
    with scope.task("parent") as span:
        threads: list[threading.Thread] = [Thread(target=logger.info, args=("carried",))]
        if not THREADS_INHERIT:
            threads.append(threading.Thread(target=logger.info, args=("bare",)))
        for thread in threads:
            thread.start()
            thread.join(BOUND_S)
    lines = stream.getvalue().splitlines()
    assert lines == [f"{span.trace.id:032x} {span.id:016x} carried", "- - bare"][: len(threads)]


def test_example_format_works_with_the_filter() -> None:
    _, scope = fresh_scope()
    stream = io.StringIO()
    logger, handler = logger_to(stream, LogFilter())
    handler.setFormatter(logging.Formatter(LOG_FORMAT))
    with scope.task("parent") as span:
        logger.warning("hot")
    assert stream.getvalue().endswith(f" WARNING tests.context [{span.trace.id:032x} {span.id:016x}] hot\n")


def test_record_from_the_other_side_of_a_queue_keeps_its_ids() -> None:
    _, scope = fresh_scope()
    stream = io.StringIO()
    _, behind = logger_to(stream, LogFilter())
    passed: queue.SimpleQueue[Any] = queue.SimpleQueue()
    in_front = logging.handlers.QueueHandler(passed)
    in_front.addFilter(LogFilter())
    logger = logging.Logger("tests.context.queue", logging.INFO)
    logger.addHandler(in_front)
    with scope.task("parent") as span:
        logger.info("queued")
    with scope.task("another"):
        behind.handle(passed.get(timeout=BOUND_S))
    assert stream.getvalue() == f"{span.trace.id:032x} {span.id:016x} queued\n"


def test_ids_given_by_the_program_are_kept() -> None:
    _, scope = fresh_scope()
    stream = io.StringIO()
    logger, _ = logger_to(stream, LogFilter())
    with scope.task("parent"):
        logger.info("own", extra={"trace_id": "t", "span_id": "s"})
    assert stream.getvalue() == "t s own\n"


def test_filter_passes_every_record_and_never_raises() -> None:
    class Stubborn(logging.LogRecord):
        def __setattr__(self, name: str, value: object) -> None:
            if name in ("trace_id", "span_id"):
                raise ZeroDivisionError
            super().__setattr__(name, value)

    record = Stubborn("n", logging.INFO, __file__, 1, "m", (), None)
    assert LogFilter().filter(record) is True
    assert logging.makeLogRecord({}).__dict__.keys() >= {"msg"}
    assert LogFilter().filter(logging.makeLogRecord({"name": "any.logger"})) is True


def test_filter_can_be_named_in_a_dictionary_of_logging_config() -> None:
    program = (
        "import logging.config, sys, monkit_core as monkit\n"
        "logging.config.dictConfig({'version': 1,\n"
        " 'filters': {'ids': {'()': 'monkit_core.context.LogFilter'}},\n"
        " 'formatters': {'f': {'format': '%(trace_id)s %(span_id)s %(message)s'}},\n"
        " 'handlers': {'h': {'class': 'logging.StreamHandler', 'stream': sys.stdout, 'filters': ['ids'],"
        " 'formatter': 'f'}},\n"
        " 'root': {'handlers': ['h'], 'level': 'INFO'}})\n"
        "logging.info('x')\n"
    )
    assert run_python("-c", program) == "- - x"


# The page.


def test_every_row_of_the_reference_names_a_test_that_exists() -> None:
    named = re.findall(r"`(test_\w+)`", PAGE)
    rows = [line for line in PAGE.splitlines() if line.startswith("| ") and not line.startswith("| where")]
    assert len(rows) >= 15
    assert [row for row in rows if "`test_" not in row] == []
    assert sorted(name for name in named if not callable(globals().get(name))) == []


def test_reference_names_everything_that_the_module_promises() -> None:
    module = sys.modules["monkit_core.context"]
    assert [name for name in module.__all__ if f"`{name}" not in PAGE] == []
    assert Path(module.__file__ or "").name == "context.py"
