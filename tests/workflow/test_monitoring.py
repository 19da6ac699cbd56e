"""The worker is monitored like any other code: what lives is counted once, what repeats is not."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

import monkit_core
from monkit_core import Func, Span, current_span, default_registry
from monkit_workflow import Client, ContextVarPropagator, Worker, activity, connect, replay, workflow
from monkit_workflow.errors import ApplicationFailure, WorkflowFailed
from monkit_workflow.history import ActivityTaskScheduled, WorkflowExecutionStarted
from tests.workflow.running import QUEUE, START, run, until, working

MINUTE = timedelta(minutes=1)
mon = monkit_core.package()


def func(kind: str, name: str) -> Func:
    return default_registry.scope(kind).func(name)


def counted(kind: str, name: str) -> tuple[int, dict[str, int]]:
    """Successes and errors."""
    found = func(kind, name)
    assert found.current == 0
    return found.success_times.count, found.errors


@pytest.fixture(autouse=True)
def fresh_figures() -> Iterator[None]:
    for kind in ("workflow", "activity", mon.name):
        for item in default_registry.scope(kind).funcs():
            item.reset()
    yield
    assert not [item for item in mon.funcs() if item.current]


class Seen:
    """All spans that ended, and the trace and parent of each."""

    def __init__(self) -> None:
        self.spans: list[Span] = []

    def span_started(self, span: Span) -> None:
        pass

    def span_finished(self, span: Span, error: BaseException | None) -> None:
        self.spans.append(span)

    def of(self, name: str) -> list[Span]:
        return [span for span in self.spans if span.func.full_name == name]


@pytest.fixture
def seen() -> Iterator[Seen]:
    found = Seen()
    stop = default_registry.observe_spans(found)
    yield found
    stop()


@mon.task
def price(word: str) -> int:
    return len(word)


@mon.task
async def wait_a_little() -> None:
    await workflow.sleep(timedelta(milliseconds=1))
    price("x")


@activity.define
async def look_up(word: str) -> int:
    return price(word)


@activity.define
def look_up_in_thread(word: str) -> int:
    return price(word)


@activity.define
async def break_down() -> None:
    raise ApplicationFailure("no", type="OutOfStock")


@activity.define
async def leave() -> None:
    activity.complete_later()


@workflow.define
class Buying:
    def __init__(self) -> None:
        self.go = False

    @workflow.run
    async def run(self, word: str) -> int:
        price(word)
        found = await workflow.execute_activity(look_up, word, start_to_close=MINUTE)
        await workflow.wait_condition(lambda: self.go)
        price(word)
        return found

    @workflow.signal
    def proceed(self) -> None:
        self.go = True

    @workflow.query
    def cost(self) -> int:
        return price("query")


def test_each_live_slice_and_each_attempt_is_a_span_and_replays_and_queries_are_none() -> None:
    async def scene() -> None:
        client = connect("sqlite://")
        async with client:
            async with Worker(client, QUEUE, workflows=[Buying], activities=[look_up]):
                handle = await client.start(Buying.run, "ab", id="w", **START)

                async def has_looked() -> bool:
                    return any(event.id > 9 for event in (await handle.history()).events)

                await until(has_looked)
                assert await handle.query(Buying.cost) == 5
            assert counted("workflow", "Buying") == (2, {})
            assert counted("activity", "look_up") == (1, {})
            assert counted(mon.name, "price") == (2, {})  # in the workflow and in the activity
            async with Worker(client, QUEUE, workflows=[Buying], activities=[look_up]):
                assert await handle.query(Buying.cost) == 5  # replays
                assert counted(mon.name, "price") == (2, {})
                await handle.signal(Buying.proceed)
                assert await handle.result() == 2
            assert counted("workflow", "Buying") == (3, {})
            assert counted(mon.name, "price") == (3, {})
            replay(await handle.history(), Buying)
            assert counted("workflow", "Buying") == (3, {})
            assert counted(mon.name, "price") == (3, {})

    run(scene())


def test_failures_are_counted_by_their_type() -> None:
    @workflow.define
    class Failing:
        @workflow.run
        async def run(self) -> None:
            await workflow.execute_activity(break_down, start_to_close=MINUTE)

    @workflow.define
    class Broken:
        @workflow.run
        async def run(self) -> None:
            raise KeyError("a fault of the code")

    async def scene() -> None:
        async with working([Failing, Broken], [break_down]) as client:
            handle = await client.start(Failing.run, id="w", **START)
            with pytest.raises(WorkflowFailed):
                await handle.result()
            broken = await client.start(Broken.run, id="b", **START)

            async def has_failed() -> bool:
                return (await broken.describe()).task_failure is not None

            await until(has_failed)

    run(scene())
    assert counted("activity", "break_down") == (0, {"OutOfStock": 1})
    assert counted("workflow", "Failing") == (1, {"ActivityFailure": 1})
    assert counted("workflow", "Broken")[1]["KeyError"] >= 1


def test_attempt_that_is_left_open_is_no_failure() -> None:
    @workflow.define
    class Leaving:
        @workflow.run
        async def run(self) -> None:
            await workflow.execute_activity(leave, id="a", start_to_close=MINUTE)

    async def scene() -> None:
        async with working([Leaving], [leave]) as client:
            handle = await client.start(Leaving.run, id="w", **START)

            async def is_left() -> bool:
                return func("activity", "leave").success_times.count == 1

            await until(is_left)
            await handle.terminate()

    run(scene())
    assert counted("activity", "leave") == (1, {})


@workflow.define
class Parent:
    @workflow.run
    async def run(self, word: str) -> int:
        first = await workflow.execute_activity(look_up_in_thread, word, start_to_close=MINUTE)
        local = await workflow.execute_local_activity(look_up, word, start_to_close=MINUTE)
        return first + local + await workflow.execute_child(Grandchild.run, word, timeout=MINUTE)


@workflow.define
class Grandchild:
    @workflow.run
    async def run(self, word: str) -> int:
        return await workflow.execute_activity(look_up, word, start_to_close=MINUTE)


def test_everything_that_a_call_causes_is_of_its_trace(seen: Seen) -> None:
    async def scene() -> None:
        async with working([Parent, Grandchild], [look_up, look_up_in_thread]) as client:
            with mon.task("order") as order:
                handle = await client.start(Parent.run, "abc", id="w", **START)
                assert await handle.result() == 9
            assert {span.trace for span in seen.spans} == {order.trace}
            slices = {span.id for span in (*seen.of("workflow.Parent"), *seen.of("workflow.Grandchild"))}
            assert {span.parent_id for span in seen.of("workflow.Parent")} == {order.id}
            assert {span.parent_id for span in seen.of("workflow.Grandchild")} <= slices
            attempts = seen.of("activity.look_up") + seen.of("activity.look_up_in_thread")
            assert len(attempts) == 3
            assert {span.parent_id for span in attempts} <= slices
            prices = seen.of(f"{mon.name}.price")
            assert {span.parent_id for span in prices} == {span.id for span in attempts}

    run(scene())


def test_what_a_worker_of_another_process_gets_is_the_same_trace(seen: Seen) -> None:
    async def scene() -> None:
        async with connect("sqlite://") as client:
            with mon.task("order") as order:
                handle = await client.start(Grandchild.run, "abc", id="w", **START)
            monkit_workflow_traces().clear()  # as if it were another process
            async with Worker(client, QUEUE, workflows=[Grandchild], activities=[look_up]):
                await handle.result()
            history = (await handle.history()).events
            started = next(event for event in history if isinstance(event, WorkflowExecutionStarted))
            scheduled = next(event for event in history if isinstance(event, ActivityTaskScheduled))
            for header in (started.header, scheduled.header):
                assert f"{order.trace.id:032x}".encode() in bytes(header["traceparent"].data)
            assert {span.trace.id for span in seen.of("activity.look_up")} == {order.trace.id}

    run(scene())


def monkit_workflow_traces() -> Any:
    from monkit_workflow import monitoring

    return monitoring._traces


def test_run_without_a_trace_hands_none_on(seen: Seen) -> None:
    async def scene() -> None:
        async with working([Grandchild], [look_up]) as client:
            handle = await client.start(Grandchild.run, "abc", id="w", **START)
            await handle.result()
            history = (await handle.history()).events
            assert next(event for event in history if isinstance(event, ActivityTaskScheduled)).header == {}

    run(scene())
    spans = [*seen.of("workflow.Grandchild"), *seen.of("activity.look_up")]
    assert len({span.trace.id for span in spans}) == len(spans) == 3


def test_without_a_span_a_client_sends_no_trace_and_headers_are_not_trusted() -> None:
    @workflow.define
    class Odd:
        @workflow.run
        async def run(self) -> None: ...

    async def scene() -> None:
        async with working([Odd]) as client:
            handle = await client.start(Odd.run, id="w", **START)
            await handle.result()
            assert (await handle.history()).events[0].header == {}  # type: ignore[attr-defined]
            for number, value in enumerate([7, "nonsense", ["x"], "00-" + "f" * 5000]):
                odd = Client(client.service, interceptors=[Heading({"traceparent": value})])
                await (await odd.start(Odd.run, id=f"odd-{number}", **START)).result()

    run(scene())
    assert counted("workflow", "Odd") == (5, {})


class Heading:
    def __init__(self, header: dict[str, Any]) -> None:
        self.header = header

    async def start(self, call: Any, next: Any) -> Any:
        return await next(call.replace(header=self.header))


@workflow.define
class Waiting:
    def __init__(self) -> None:
        self.go = False

    @workflow.run
    async def run(self) -> None:
        await asyncio.gather(wait_a_little(), self.monitored())

    @mon.task
    async def monitored(self) -> None:
        with mon.task("block") as span:
            span.annotate("key", "value")
            await workflow.wait_condition(lambda: self.go)

    @workflow.signal
    def proceed(self) -> None:
        self.go = True


def test_monitored_calls_that_wait_are_counted_when_they_end_in_the_process_that_began_them(seen: Seen) -> None:
    async def scene() -> None:
        async with working([Waiting]) as client:
            handle = await client.start(Waiting.run, id="w", **START)
            await handle.signal(Waiting.proceed)
            await handle.result()

    run(scene())
    assert counted(mon.name, "wait_a_little") == (1, {})
    assert counted(mon.name, "Waiting.monitored") == (1, {})
    assert counted(mon.name, "block") == (1, {})
    assert counted(mon.name, "price") == (1, {})


def test_run_that_leaves_memory_leaves_no_span_open_and_no_error() -> None:
    async def scene() -> None:
        async with connect("sqlite://") as client:
            handle = await client.start(Waiting.run, id="w", **START)
            for _ in range(2):  # the second one replays, and waits too
                async with Worker(client, QUEUE, workflows=[Waiting]):
                    await handle.stack()
                assert not [span for _, span in default_registry.all_spans()]
            assert counted(mon.name, "Waiting.monitored") == (0, {})
            assert counted(mon.name, "block") == (0, {})
            await handle.signal(Waiting.proceed)
            async with Worker(client, QUEUE, workflows=[Waiting]):
                await handle.result()
            assert counted(mon.name, "Waiting.monitored") == (0, {})  # began in a replay

    run(scene())


def test_no_span_of_a_slice_is_open_between_tasks_and_code_sees_the_one_of_its_slice() -> None:
    current: list[str | None] = []

    def note() -> None:
        span = current_span()
        current.append(None if span is None else span.func.full_name)

    @workflow.define
    class Looking:
        def __init__(self) -> None:
            note()

        @workflow.run
        async def run(self) -> None:
            note()
            await workflow.sleep(timedelta(milliseconds=1))
            note()
            await asyncio.create_task(self.deeper())

        async def deeper(self) -> None:
            await workflow.sleep(timedelta(milliseconds=1))
            note()

    async def scene() -> None:
        async with working([Looking]) as client:
            await (await client.start(Looking.run, id="w", **START)).result()
            assert current == ["workflow.Looking"] * 4
            assert not [span for _, span in default_registry.all_spans() if span.func.scope_name == "workflow"]
            current.clear()
            replay(await client.handle("w").history(), Looking)
            assert current == [None] * 4

    run(scene())


def test_trace_and_propagators_travel_together() -> None:
    async def scene() -> None:
        async with connect("sqlite://", propagators=[ContextVarPropagator({})]) as client:
            with mon.task("order"):
                await client.start(Grandchild.run, "abc", id="w", **START)
            started = (await client.handle("w").history()).events[0]
            assert list(started.header) == ["traceparent"]  # type: ignore[attr-defined]

    run(scene())
