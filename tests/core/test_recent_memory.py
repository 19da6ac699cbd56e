"""Recent traces over many traces and over forks: nothing grows, and the child goes on."""

from __future__ import annotations

import gc
import os
import sys
from contextlib import suppress
from weakref import WeakSet

import pytest

from monkit_core import Registry
from tests.helpers import run_python


def test_memory_is_flat_over_a_hundred_thousand_traces() -> None:
    registry = Registry()
    scope = registry.scope("shop")

    @scope.task("request")
    def request(number: int) -> None:
        with suppress(ValueError):
            below(number)

    @scope.task("below", args=("number",))
    def below(number: int) -> None:
        if number % 3 == 0:
            raise ValueError

    def work(rounds: int) -> None:
        for number in range(rounds):
            request(number)
        gc.collect()

    work(5_000)
    before = sys.getallocatedblocks(), len(gc.get_objects())
    work(100_000)
    assert sys.getallocatedblocks() - before[0] < 5_000, "a twentieth of a block a trace would stay behind"
    assert len(gc.get_objects()) - before[1] < 1_000
    assert registry.live.buffered == 0


def test_errors_of_ever_new_names_do_not_fill_the_memory() -> None:
    registry = Registry()
    func = registry.scope("shop").func("load")
    made: WeakSet[BaseException] = WeakSet()
    for number in range(500):
        error = type(f"Error{number}", (Exception,), {})()
        made.add(error)
        with pytest.raises(type(error)), func.reset_trace():
            raise error
        del error
    gc.collect()
    assert len(func.errors) == 65
    assert len(registry.recent_traces(func)) == 500
    assert not made


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this system")
def test_child_of_a_fork_keeps_recent_traces_and_forgets_records_of_other_threads() -> None:
    assert (
        run_python(
            "-W",
            "ignore",
            "-c",
            """
import gc, os, signal, threading, traceback
from monkit_core import Registry

registry = Registry()
mon = registry.scope("s")
inside, go = threading.Barrier(2), threading.Event()

def other():
    with mon.task("other"):
        for _ in range(5):
            with mon.task("below"):
                pass
        inside.wait(20)
        go.wait(20)

thread = threading.Thread(target=other)
thread.start()
inside.wait(20)
with mon.task("forking") as span:
    with mon.task("before"):
        pass
    assert registry.live.buffered == 6
    child = os.fork()
    if child == 0:
        code = 1
        try:
            signal.alarm(20)
            gc.collect()
            assert [len(span.trace.records), registry.live.buffered] == [1, 1]
            for number in range(20):
                with mon.task("after"):
                    pass
            assert [len(span.trace.records), registry.live.buffered] == [21, 21]
            assert "after" in [trace.func.short_name for trace in registry.recent_traces()]
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
go.set()
thread.join(20)
assert registry.live.buffered == 0
assert {trace.func.short_name for trace in registry.recent_traces()} == {"other", "below", "forking", "before"}
""",
        )
        == ""
    )
