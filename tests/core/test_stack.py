"""Stack: deep recursions of monitored functions end by `RecursionError`, not by a crash of the process."""

from __future__ import annotations

import pytest

from tests.helpers import run_python

PROGRAM = """
import sys, threading
from monkit_core import Registry, current_span

registry = Registry()
mon = registry.scope("s")

@mon.task
def function(): function()

@mon.task
async def coroutine(): await coroutine()

@mon.task
def generator(): yield from generator()

class Deep:
    @mon.task
    def method(self): self.method()

    def block(self):
        with mon.task("block"):
            self.block()

CALLS = {
    "function": function, "coroutine": lambda: coroutine().send(None), "generator": lambda: next(generator()),
    "Deep.method": Deep().method, "block": Deep().block,
}

def use(limit):
    sys.setrecursionlimit(limit)
    for name, call in CALLS.items():
        try:
            call()
        except RecursionError:
            pass
        else:
            raise AssertionError(name)
        func = mon.func(name)
        assert func.current == 0 and func.highwater > limit // 4, (name, func.current, func.highwater)
        assert set(func.errors) == {"RecursionError"} and not func.panics, func.errors
        assert current_span() is None
    assert list(registry.all_spans()) == []
"""


@pytest.mark.parametrize(("limit", "stack_kib"), [(100, 256), (1_000, 1_024), (3_000, 4_096), (10_000, 8_192)])
def test_runaway_recursion_of_every_kind_ends_at_the_limit_also_in_threads_of_small_stack(
    limit: int, stack_kib: int
) -> None:
    """A level takes the stack that one of `functools.partial` takes, about 600 bytes."""
    program = f"""
use({limit})
threading.stack_size({stack_kib} * 1024)
problems = []
threading.excepthook = problems.append
threads = [threading.Thread(target=use, args=({limit},)) for _ in range(2)]
for thread in threads:
    thread.start()
    thread.join()
assert not problems, problems
"""
    assert run_python("-X", "faulthandler", "-c", PROGRAM + program) == ""
