"""Interceptors: what stands around calls sees them, may change them, and costs nothing where it is not."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from monkit_workflow import Call, Worker, activity, connect, replay, workflow
from monkit_workflow.activity import ActivityInfo
from monkit_workflow.errors import (
    ApplicationFailure,
    GuardError,
    Nondeterminism,
    Unavailable,
    WorkflowFailed,
)
from monkit_workflow.interceptors import CALLS, Interceptors
from monkit_workflow.workflow import WorkflowInfo
from tests.workflow.running import QUEUE, START, run, until, working

ROOT = Path(__file__).parents[2]
MINUTE = timedelta(minutes=1)
Next = Callable[[Call], Any]


@activity.define
async def shout(word: str) -> str:
    return word.upper()


@activity.define
def shout_in_thread(word: str) -> str:
    return word.upper()


@workflow.define
class Child:
    def __init__(self) -> None:
        self.words: list[str] = []

    @workflow.run
    async def run(self, word: str) -> str:
        await workflow.wait_condition(lambda: bool(self.words))
        return word + self.words[0]

    @workflow.signal
    def say(self, word: str) -> None:
        self.words.append(word)


@workflow.define
class Everything:
    def __init__(self) -> None:
        self.words: list[str] = []

    @workflow.run
    async def run(self, word: str, again: bool = False) -> list[str]:
        if again:
            workflow.continue_as_new(word)
        self.words.append(await workflow.execute_activity(shout, word, start_to_close=MINUTE))
        self.words.append(await workflow.execute_local_activity(shout_in_thread, word, start_to_close=MINUTE))
        child = await workflow.start_child(Child.run, word, id="child", timeout=MINUTE)
        await child.signal(Child.say, "!")
        self.words.append(await child)
        await workflow.wait_condition(lambda: len(self.words) > 4)
        return self.words

    @workflow.signal
    async def hear(self, word: str) -> None:
        self.words.append(word)

    @workflow.update
    def note(self, word: str) -> int:
        self.words.append(word)
        return len(self.words)

    @workflow.query
    def heard(self, least: int) -> bool:
        return len(self.words) >= least


@workflow.define
class Reaching:
    @workflow.run
    async def run(self, other: str) -> None:
        await workflow.external(other).cancel("please")


class Seeing:
    """Has all methods, and notes what goes through them."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, Call]] = []

    def kinds(self) -> list[str]:
        return [kind for kind, _ in self.seen]

    def last(self, kind: str) -> Call:
        return [call for name, call in self.seen if name == kind][-1]


def _noting(kind: str, is_async: bool) -> Any:
    def plain(self: Seeing, call: Call, next: Next) -> Any:
        self.seen.append((kind, call))
        return next(call)

    async def awaited(self: Seeing, call: Call, next: Next) -> Any:
        self.seen.append((kind, call))
        return await next(call)

    return awaited if is_async else plain


for _kind, _is_async in CALLS.items():
    setattr(Seeing, _kind, _noting(_kind, _is_async))


EVERYTHING: dict[str, Any] = {
    "workflows": [Everything, Child, Reaching],
    "activities": [shout, shout_in_thread],
}


async def until_heard(handle: Any, least: int) -> None:
    async def heard() -> bool:
        return bool(await handle.query(Everything.heard, least))

    await until(heard)


def test_every_kind_of_call_goes_through() -> None:
    seeing = Seeing()

    async def scene() -> None:
        client = connect("sqlite://", interceptors=[seeing])
        async with client, Worker(client, QUEUE, **EVERYTHING):
            await client.start(Everything.run, "a", True, id="w", **START)
            handle = client.handle("w", workflow=Everything.run)
            await until_heard(handle, 3)
            assert await handle.update(Everything.note, "n") == 4
            assert await (await handle.start_update(Everything.note, "m")).result() == 5
            assert await handle.result() == ["A", "A", "a!", "n", "m"]
            handle = await client.signal_with_start(
                Everything.run, "b", id="x", signal=Everything.hear, signal_args=("s",), **START
            )
            await handle.signal(Everything.hear, "t")
            await handle.cancel("tired")
            await handle.terminate("enough")
            with pytest.raises(WorkflowFailed):
                await (await client.start(Reaching.run, "nobody", id="y", **START)).result()

    run(scene())
    assert set(seeing.kinds()) == set(CALLS)
    activity_ = next(call for kind, call in seeing.seen if kind == "start_activity")
    assert (activity_.name, activity_.args, activity_.options) == ("shout", ("a",), {"start_to_close": MINUTE})
    assert isinstance(activity_.info, WorkflowInfo)
    assert isinstance(seeing.last("run_activity").info, ActivityInfo)
    assert isinstance(seeing.last("handle_signal").info, WorkflowInfo)
    assert seeing.last("start").info is None
    assert (seeing.last("start_child").name, seeing.last("start_child").workflow_id) == ("Child", "child")
    assert (seeing.last("terminate").workflow_id, seeing.last("terminate").options) == ("x", {"reason": "enough"})
    cancel = seeing.last("cancel_external")
    assert (cancel.workflow_id, cancel.options) == ("nobody", {"reason": "please"})


class Louder:
    """Changes arguments, options and results on all sides."""

    async def start(self, call: Call, next: Next) -> Any:
        return await next(call.replace(args=(call.args[0] + "1",), options={**call.options, "timeout": MINUTE}))

    async def run_workflow(self, call: Call, next: Next) -> Any:
        return await next(call.replace(args=(call.args[0] + "2",))) + "6"

    def start_activity(self, call: Call, next: Next) -> Any:
        return next(call.replace(args=(call.args[0] + "3",), options={"start_to_close": MINUTE}))

    async def run_activity(self, call: Call, next: Next) -> Any:
        return await next(call.replace(args=(call.args[0] + "4",))) + "5"


@workflow.define
class Shouting:
    @workflow.run
    async def run(self, word: str) -> str:
        return await workflow.execute_activity(shout, word)


def test_arguments_options_and_results_can_be_changed() -> None:
    async def scene() -> None:
        client = connect("sqlite://", interceptors=[Louder()])
        async with client, Worker(client, QUEUE, workflows=[Shouting], activities=[shout]):
            handle = await client.start(Shouting.run, "a", id="w", task_queue=QUEUE, timeout=timedelta(days=9))
            assert await handle.result() == "A123456"
            first = (await handle.history()).events[0]
            assert first.timeout_ns == 60_000_000_000  # type: ignore[attr-defined]

    run(scene())


class Named:
    def __init__(self, name: str, log: list[str]) -> None:
        self.name = name
        self.log = log

    async def run_activity(self, call: Call, next: Next) -> Any:
        self.log.append(f"{self.name} in")
        try:
            return await next(call)
        finally:
            self.log.append(f"{self.name} out")


def test_first_one_is_outermost_and_those_of_the_worker_are_inside_of_those_of_the_client() -> None:
    log: list[str] = []

    async def scene() -> None:
        client = connect("sqlite://", interceptors=[Named("a", log), Named("b", log)])
        worker = Worker(client, QUEUE, workflows=[Echoing], activities=[shout], interceptors=[Named("c", log)])
        async with client, worker:
            await (await client.start(Echoing.run, "x", id="w", **START)).result()

    run(scene())
    assert log == ["a in", "b in", "c in", "c out", "b out", "a out"]


@workflow.define
class Echoing:
    @workflow.run
    async def run(self, word: str) -> str:
        return await workflow.execute_activity(shout, word, start_to_close=MINUTE)


class Retrying:
    """Tries a start again; the first answer is lost on its way."""

    def __init__(self) -> None:
        self.lost = 0

    async def start(self, call: Call, next: Next) -> Any:
        try:
            handle = await next(call)
            if not self.lost:
                self.lost = 1
                raise Unavailable("the answer was lost")
            return handle
        except Unavailable:
            return await next(call)


def test_start_that_is_tried_again_starts_once() -> None:
    async def scene() -> None:
        async with working([Echoing], [shout]) as plain:
            client = type(plain)(plain.service, interceptors=[Retrying()])
            handle = await client.start(Echoing.run, "x", id="w", **{**START, "id_reuse": "reject"})
            assert await handle.result() == "X"

    run(scene())


class Doorman:
    """Refuses calls without a word of his, which goes in the header."""

    async def start(self, call: Call, next: Next) -> Any:
        return await next(call.replace(header={"pass": "word"}))

    async def run_workflow(self, call: Call, next: Next) -> Any:
        if call.header.get("pass") != "word":
            raise ApplicationFailure("no entry", type="Forbidden")
        return await next(call)

    async def handle_update(self, call: Call, next: Next) -> Any:
        raise ApplicationFailure("no entry", type="Forbidden")

    def handle_query(self, call: Call, next: Next) -> Any:
        raise PermissionError("no entry")


def test_what_is_in_a_header_arrives_and_calls_can_be_refused() -> None:
    async def scene() -> None:
        async with working([Echoing, Everything], [shout], interceptors=[Doorman()]) as stranger:
            friend = type(stranger)(stranger.service, interceptors=[Doorman()])
            assert await (await friend.start(Echoing.run, "x", id="friend", **START)).result() == "X"
            handle = await stranger.start(Echoing.run, "x", id="stranger", **START)
            with pytest.raises(WorkflowFailed) as caught:
                await handle.result()
            assert str(caught.value.__cause__) == "no entry"

    run(scene())


class Delaying:
    """Waits on the workflow's own loop."""

    async def run_workflow(self, call: Call, next: Next) -> Any:
        await workflow.sleep(timedelta(milliseconds=1))
        return await next(call)


def test_inside_of_a_workflow_an_interceptor_is_workflow_code() -> None:
    async def scene() -> None:
        async with working([Echoing], [shout], interceptors=[Delaying()]) as client:
            handle = await client.start(Echoing.run, "x", id="w", **START)
            assert await handle.result() == "X"
            history = await handle.history()
            assert "TimerFired" in [type(event).__name__ for event in history.events]
            assert replay(history, Echoing, interceptors=[Delaying()]).result == "X"
            with pytest.raises(Nondeterminism):
                replay(history, Echoing)

    run(scene())


class Reading:
    async def run_workflow(self, call: Call, next: Next) -> Any:
        time.time()
        return await next(call)


def test_interceptor_is_guarded_inside_of_a_workflow() -> None:
    async def scene() -> None:
        async with working([Echoing], [shout], interceptors=[Reading()]) as client:
            handle = await client.start(Echoing.run, "x", id="w", **START)

            async def has_failed() -> bool:
                failure = (await handle.describe()).task_failure
                return failure is not None and failure.type == GuardError.__name__

            await until(has_failed)

    run(scene())


def test_plain_handlers_keep_their_order_when_they_are_intercepted() -> None:
    class Passing:
        async def handle_signal(self, call: Call, next: Next) -> Any:
            return await next(call)

    async def words(**options: Any) -> list[str]:
        async with connect("sqlite://") as client:
            handle = await client.start(Collecting.run, id="w", **START)
            for word in ("a", "b", "c"):
                await handle.signal(Collecting.plain if word == "b" else Collecting.slow, word)
            async with Worker(client, QUEUE, workflows=[Collecting], **options):
                return await handle.result()

    async def scene() -> None:
        assert await words() == await words(interceptors=[Passing()]) == ["a", "b", "c"]

    run(scene())


@workflow.define
class Collecting:
    def __init__(self) -> None:
        self.words: list[str] = []

    @workflow.run
    async def run(self) -> list[str]:
        await workflow.wait_condition(lambda: len(self.words) == 3)
        return self.words

    @workflow.signal
    def plain(self, word: str) -> None:
        self.words.append(word)

    @workflow.signal
    async def slow(self, word: str) -> None:
        self.words.append(word)


class Misspelled:
    async def run_activty(self, call: Call, next: Next) -> Any: ...

    async def start(self, call: Call, next: Next) -> Any: ...


class NotAwaited:
    def start(self, call: Call, next: Next) -> Any: ...


class Awaited:
    async def handle_query(self, call: Call, next: Next) -> Any: ...


class Empty:
    def help(self) -> None: ...


@pytest.mark.parametrize(
    ("item", "words"),
    [
        (Misspelled(), r"nothing calls Misspelled\.run_activty; is it meant to be run_activity\?"),
        (NotAwaited(), r"NotAwaited\.start must be an async method"),
        (Awaited(), r"Awaited\.handle_query must be a plain method"),
        (Empty(), r"Empty intercepts nothing; an interceptor has some of the methods start, "),
        (Doorman, r"the interceptor Doorman is a class; give an instance"),
        (len, r"intercepts nothing"),
    ],
)
def test_what_is_no_interceptor_is_refused_at_once(item: Any, words: str) -> None:
    with pytest.raises(TypeError, match=words):
        connect("sqlite://", interceptors=[item])
    with pytest.raises(TypeError, match=words):
        Worker(connect("sqlite://"), QUEUE, activities=[shout], interceptors=[item])


def test_where_nobody_intercepts_a_call_goes_straight_to_its_end() -> None:
    def last(call: Call) -> Call:
        return call

    call = Call(name="x")
    assert Interceptors([Doorman()]).through("start_activity", call, last) is call


def test_interceptor_that_keeps_a_continuation_is_told() -> None:
    class Keeping:
        def continue_as_new(self, call: Call, next: Next) -> Any: ...

    async def scene() -> None:
        async with working([Everything], [shout], interceptors=[Keeping()]) as client:
            handle = await client.start(Everything.run, "x", True, id="w", **START)

            async def has_failed() -> bool:
                failure = (await handle.describe()).task_failure
                return failure is not None and "has to end by next(call)" in failure.message

            await until(has_failed)

    run(scene())


def test_how_to_intercept_and_propagate_does_what_it_says(tmp_path: Path) -> None:
    text = (ROOT / "docs/how-to/intercept-and-propagate.md").read_text()
    (program,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert (done.stdout, done.stderr) == ("greet('Bob',), attempt 1, for Ada\nHello, Bob\n", "")


def test_how_to_names_all_that_can_be_intercepted() -> None:
    text = (ROOT / "docs/how-to/intercept-and-propagate.md").read_text()
    assert [kind for kind in CALLS if f"`{kind}`" not in text] == []
