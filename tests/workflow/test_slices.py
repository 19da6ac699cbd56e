"""Slices on threads: results, interruptions, and threads that do not come back."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any

import pytest

from monkit_workflow.errors import Deadlock, GuardError, WorkerError
from monkit_workflow.guard import installed
from monkit_workflow.slices import SliceRunner, Stuck
from tests.helpers import BOUND_S
from tests.workflow.running import run

SHORT = timedelta(milliseconds=40)


def sliced(test: Callable[[SliceRunner], Coroutine[Any, Any, None]], **options: Any) -> None:
    """Run a test with a runner of two threads."""

    async def body() -> None:
        runner = SliceRunner(options.pop("threads", 2), options.pop("guard", "off"), options.pop("budget", SHORT))
        try:
            await test(runner)
        finally:
            runner.close()

    run(body())


def test_results_and_errors_come_back_to_those_who_asked() -> None:
    async def test(runner: SliceRunner) -> None:
        found = await asyncio.gather(*(runner.run("n", lambda n=n: n * n) for n in range(200)))  # type: ignore[misc]
        assert found == [n * n for n in range(200)]
        with pytest.raises(ZeroDivisionError):
            await runner.run("division", lambda: 1 / 0)
        with pytest.raises(WorkerError, match="raised SystemExit: 3"):
            await runner.run("exit", lambda: exit_with(3))

    sliced(test)


def exit_with(code: int) -> None:
    raise SystemExit(code)


def test_blocked_slice_is_given_up_with_its_stack_and_the_other_thread_goes_on() -> None:
    release = threading.Event()

    async def test(runner: SliceRunner) -> None:
        with pytest.raises(Stuck, match=r"waiter has been blocked for 0\.01 s") as caught:
            await runner.run("waiter", lambda: release.wait(BOUND_S), timeout_ns=10_000_000)
        assert "release.wait(BOUND_S)" in str(caught.value)
        assert await runner.run("other", lambda: "fine") == "fine"
        release.set()

    sliced(test)


def test_spinning_slice_is_interrupted_and_its_thread_works_again() -> None:
    def spin() -> None:
        while True:
            pass

    async def test(runner: SliceRunner) -> None:
        for _ in range(3):
            with pytest.raises(Deadlock, match=r"spinner ran for 0\.04 s of processor time"):
                await runner.run("spinner", spin)
            assert await runner.run("next", lambda: 7) == 7

    sliced(test, threads=1)


def test_refusal_of_the_guard_counts_even_if_the_code_swallowed_it() -> None:
    import time

    def swallow() -> str:
        try:
            time.time()
        except Exception:
            return "swallowed"
        return "read"

    async def test(runner: SliceRunner) -> None:
        with pytest.raises(GuardError, match=r"time\.time\(\)"):
            await runner.run("reader", swallow)

    with installed():
        sliced(test, guard="refuse")


def test_slice_that_nobody_waits_for_any_more_disturbs_nobody() -> None:
    begun, release = threading.Event(), threading.Event()

    def wait() -> None:
        begun.set()
        release.wait(BOUND_S)
        raise ValueError("for nobody")

    async def test(runner: SliceRunner) -> None:
        asked = asyncio.create_task(runner.run("given up", wait))
        while not begun.is_set():
            await asyncio.sleep(0)
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
        release.set()
        assert await runner.run("next", lambda: 7) == 7

    sliced(test)


def test_thread_that_waits_for_work_keeps_nothing_of_the_last() -> None:
    class Held:
        def call(self) -> None:
            pass

    async def test(runner: SliceRunner) -> None:
        held = Held()
        gone = weakref.ref(held)
        await runner.run("held", held.call)
        del held
        await runner.run("next", lambda: None)
        gc.collect()
        assert gone() is None

    sliced(test, threads=1)
