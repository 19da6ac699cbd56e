"""Forks: in the child only the forking thread goes on, and what the engine shows there says so."""

from __future__ import annotations

import os

import pytest

from tests.helpers import run_python

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this system")

PROGRAM = """
import asyncio, gc, os, signal, sys, threading, traceback, warnings
import monkit_core as monkit
from monkit_core import Registry, current_span
from monkit_core.engine import finish

warnings.simplefilter("ignore")  # later interpreters warn of forking with threads, which is what this is about
registry = Registry()
mon = registry.scope("s")


def running():
    return [span.func.short_name for _, span in registry.all_spans()]


def counts(name):
    func = mon.func(name)
    return func.current, func.success_times.count


def check(found, expected):
    assert found == expected, f"{found!r} was found, {expected!r} expected"


def in_child(work):
    "Run *work* in a forked child, which has to come to its end; a child that hangs is killed."
    child = os.fork()
    if child == 0:
        code = 1
        try:
            signal.alarm(20)
            work()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    check(os.waitpid(child, 0)[1], 0)


class Held:
    "Threads that each stay inside of a block until they are let go."

    def __init__(self, names, block=None):
        self._go, self._inside = threading.Event(), threading.Barrier(len(names) + 1)
        self._threads = [threading.Thread(target=self._run, args=(name, block)) for name in names]
        for thread in self._threads:
            thread.start()
        self._inside.wait(20)

    def _run(self, name, block):
        with mon.task(name) if block is None else block, mon.task(name + ".inner"):
            self._inside.wait(20)
            self._go.wait(20)

    def end(self):
        self._go.set()
        for thread in self._threads:
            thread.join()
"""


def forks(program: str) -> None:
    """Run a program that forks; it and its children fail by themselves."""
    assert run_python("-c", PROGRAM + program) == ""


def test_spans_of_other_threads_are_gone_in_the_child_and_go_on_in_the_parent() -> None:
    forks("""
held = Held(["a", "b"])
check(sorted(running()), ["a", "a.inner", "b", "b.inner"])

def child():
    check(running(), [])
    for name in ("a", "a.inner", "b", "b.inner"):
        check(counts(name), (0, 0))
    with mon.task("a"):
        check(counts("a"), (1, 0))
    check(counts("a"), (0, 1))

in_child(child)
check(len(running()), 4)
held.end()
check(running(), [])
check(counts("a.inner"), (0, 1))
""")


def test_spans_of_other_tasks_are_gone_in_the_child() -> None:
    forks("""
async def other(inside, go):
    with mon.task("other"):
        inside.set()
        await go.wait()

async def main():
    inside, go = asyncio.Event(), asyncio.Event()
    task = asyncio.create_task(other(inside, go))
    await inside.wait()
    async with mon.task("forking"):
        in_child(lambda: (check(running(), ["forking"]), check(counts("other"), (0, 0))))
        check(sorted(running()), ["forking", "other"])
    go.set()
    await task

asyncio.run(main())
check(counts("other"), (0, 1))
""")


def test_spans_around_the_fork_stay_and_finish_at_zero() -> None:
    forks("""
held = Held(["other"])
outer, inner = mon.task("outer"), mon.task("inner")

def child():
    check(running(), ["outer", "inner"])
    check(current_span().func.short_name, "inner")
    check(current_span().trace.span_count, 2)
    inner.__exit__(None, None, None)
    outer.__exit__(None, None, None)
    check((running(), current_span()), ([], None))
    check((counts("outer"), counts("inner")), ((0, 1), (0, 1)))

with outer, inner:
    in_child(child)
held.end()
check((counts("outer"), counts("inner"), running()), ((0, 1), (0, 1), []))
""")


def test_span_that_another_thread_started_below_one_that_stays_is_gone() -> None:
    forks("""
with mon.task("request") as request:
    inside, go = threading.Event(), threading.Event()

    def below():
        with mon.task("below"):
            inside.set()
            go.wait(20)

    thread = monkit.context.Thread(target=below)
    thread.start()
    inside.wait(20)
    check(running(), ["request", "below"])
    in_child(lambda: (
        check(running(), ["request"]), check(request.trace.span_count, 1), check(counts("below"), (0, 0)),
    ))
    check(request.trace.span_count, 2)
    go.set()
    thread.join()
""")


def test_orphan_that_forks_stays_and_orphans_of_others_are_gone() -> None:
    forks("""
parent = mon.task("parent")
parent.__enter__()
inside, go = threading.Event(), threading.Event()

def other():
    with mon.task("other"):
        inside.set()
        go.wait(20)

thread = monkit.context.Thread(target=other)
thread.start()
inside.wait(20)
with mon.task("own") as own:
    finish(own.parent)
    check(sorted(running()), ["other", "own"])
    assert own.orphaned
    in_child(lambda: (check(running(), ["own"]), check(counts("other"), (0, 0)), finish(own), check(running(), [])))
go.set()
thread.join()
check(running(), [])
""")


def test_ids_of_parent_and_child_differ() -> None:
    forks("""
def ids():
    with mon.task("ids") as span:
        return f"{span.id:x} {span.trace.id:x}".split()

reading, writing = os.pipe()
for _ in range(2):
    in_child(lambda: os.write(writing, " ".join([*ids(), ""]).encode()))
os.close(writing)
with open(reading) as pipe:
    drawn = pipe.read().split() + ids()
check(len(set(drawn)), 6)
""")


def test_child_never_deadlocks_while_another_thread_uses_everything() -> None:
    forks("""
sys.setswitchinterval(1e-5)
over, warm = threading.Event(), threading.Barrier(3)

def use(number):
    registry.scope(f"scope {number % 50}")
    mon.counter("calls", number=number % 50).inc()
    mon.int_val("size").observe(number)
    mon.meter("marks").mark()
    with mon.task("work", number=number % 50) as span:
        span.annotate("number", number)
    list(registry.stats())

def hammer():
    number = 0
    use(number)
    warm.wait(20)
    while not over.is_set():
        number += 1
        use(number)

threads = [threading.Thread(target=hammer) for _ in range(2)]
for thread in threads:
    thread.start()
warm.wait(20)

def child():
    check(running(), [])
    check({func.current for func in mon.funcs()}, {0})
    before = mon.counter("own").value
    for number in range(100, 103):
        use(number)
    mon.counter("own").inc()
    check(mon.counter("own").value, before + 1)
    check({func.current for func in mon.funcs()}, {0})

for _ in range(30):
    in_child(child)
over.set()
for thread in threads:
    thread.join()
check(running(), [])
""")


def test_waiter_of_the_parent_does_not_watch_in_the_child_and_still_works_in_the_parent() -> None:
    forks("""
asked = []
waiter = monkit.watch_for_spans(registry, lambda span: asked.append(span) or span.func.short_name == "wanted")

def child():
    check(registry.watcher_count, 0)
    with mon.task("wanted"):
        pass
    check((asked, waiter.target), ([], None))

in_child(child)
check(registry.watcher_count, 1)
with mon.task("wanted"):
    pass
check(waiter.result(20).spans[0].span.func.short_name, "wanted")
check(registry.watcher_count, 0)
""")


def test_child_may_wait_for_spans_of_its_own() -> None:
    forks("""
def child():
    waiter = monkit.watch_for_spans(registry, lambda span: True)
    with mon.task("own"):
        pass
    check(waiter.result(20).spans[0].span.func.short_name, "own")

in_child(child)
""")


def test_observer_of_the_program_goes_on_in_the_child() -> None:
    forks("""
class Observer:
    started = 0
    def span_started(self, span):
        self.started += 1
    def span_finished(self, span, error):
        pass

observer = Observer()
registry.observe_spans(observer)

def child():
    with mon.task("own"):
        pass
    check(observer.started, 1)

in_child(child)
check(observer.started, 0)
""")


def test_generators_and_blocks_of_others_that_are_finalised_in_the_child_count_nothing() -> None:
    forks("""
@mon.task
def numbers():
    yield 1
    yield 2

@mon.task
async def later():
    await asyncio.sleep(0)

left = []

def begin():
    steps, coroutine, block = numbers(), later(), mon.task("block")
    next(steps)
    coroutine.send(None)
    block.__enter__()
    left.extend([steps, coroutine, block])

thread = threading.Thread(target=begin)
thread.start()
thread.join()
names = ["numbers", "later", "block"]
check([counts(name) for name in names], [(1, 0)] * 3)

def child():
    check([counts(name) for name in names], [(0, 0)] * 3)
    steps, coroutine, block = left
    block.__exit__(None, None, None)
    coroutine.close()
    left.clear()
    del steps, coroutine, block
    gc.collect()
    check([counts(name) for name in names], [(0, 0)] * 3)
    check((running(), current_span()), ([], None))

in_child(child)
check(sorted(running()), sorted(names))
left[0].close()
left[1].close()
left[2].__exit__(None, None, None)
check([mon.func(name).current for name in names], [0, 0, 0])
check(running(), [])
""")


def test_block_that_another_thread_had_open_is_free_in_the_child() -> None:
    forks("""
shared = mon.task("shared")
held = Held(["shared"], shared)

def child():
    check(counts("shared"), (0, 0))
    with shared as span:
        check((counts("shared"), current_span()), ((1, 0), span))
    check((counts("shared"), running(), current_span()), ((0, 1), [], None))

in_child(child)
held.end()
check(counts("shared"), (0, 1))
""")


def test_child_of_a_child_starts_from_its_own_parent() -> None:
    forks("""
held = Held(["other"])

def child():
    with mon.task("own"):
        in_child(lambda: (check(running(), ["own"]), check(counts("other"), (0, 0))))
    check(counts("own"), (0, 1))

in_child(child)
held.end()
""")
