"""Programs of monitored calls that are drawn as they run, and a log of all that can be seen of them.

The log holds no time and no random id: spans and traces are numbered in the
order in which they were first looked at. What runs next is drawn from a seed,
and no thread or task goes on unless it is its turn, so on every engine the
same seed gives the same log. ``python -m tests.engine_machine FIRST COUNT``
prints a line of JSON for each seed.
"""

from __future__ import annotations

import asyncio
import contextvars
import gc
import hashlib
import json
import logging
import random
import sys
from collections.abc import Awaitable, Callable
from typing import Any

from monkit_core import Func, Registry, Span, Trace, current_span, engine, without_span
from monkit_core.recent import RecentStore
from tests import engine_calls
from tests.helpers import BOUND_S
from tests.programs import Driver, Loop, Turns, at_once, pause

NAMES = ("a", "b", "c", "d")
PARENTS = (None, 0, 1, 2**63, 2**64 - 1)
TRACES = (None, 0, 1, 2**64, 2**127, 2**128 - 1)
MOST_DEPTH = 6


class LoggingStore(RecentStore):
    """Keeps a tree of every call that ends, whatever was kept before, and writes it down."""

    def __init__(self, machine: Machine) -> None:
        super().__init__(most_trees=1)
        self._machine = machine

    def bring(self, kind: int | str, trace: Trace, records: Any) -> None:
        self._refill_ns = 0
        super().bring(kind, trace, records)
        tree = self.traces()[-1]
        tree.func.postpone(kind, 0)
        self._machine.say(
            "kept", kind if isinstance(kind, str) else "latency", tree.dropped, *map(self._machine.record, tree.records)
        )


class Watcher:
    """An observer that writes down what it is told, and raises at the end of its patience."""

    def __init__(self, machine: Machine, name: str, patience: int) -> None:
        self._machine, self._name, self._patience = machine, name, patience

    def _tell(self, what: str, span: Span, *more: object) -> None:
        self._machine.say(self._name, what, self._machine.span(span), self._machine.current(), *more)
        self._patience -= 1
        if self._patience == 0:
            raise ValueError("out of patience")

    def span_started(self, span: Span) -> None:
        self._tell("+", span, span.args)

    def span_finished(self, span: Span, error: BaseException | None) -> None:
        ending = (span.error_name, span.panicked, span.orphaned, span.annotations)
        self._tell("-", span, type(error).__name__, *ending)


class Machine:
    """One program.

    Args:
        seed: draws everything.
        driver: steps tasks.
        collects: abandons generators in cycles and collects them, for which the collector must be off.
    """

    def __init__(self, seed: int, driver: Driver, *, collects: bool = True) -> None:
        self.random = random.Random(seed)
        self.driver = driver
        self.collects = collects
        self.registry = Registry()
        self.scope = self.registry.scope("s")
        self.log: list[str] = []
        self.numbers: dict[tuple[str, int], int] = {}
        self.left = self.random.randint(10, 120)
        self.started = 0
        self.tasks: list[Any] = []
        self.spans: list[Span] = []  # seen, to be finished or annotated by hand
        self.blocks = {name: self.scope.task(name) for name in NAMES}
        self.open: list[tuple[Any, Span]] = []
        self.watching: list[Callable[[], None]] = []
        self.steps: list[Any] = []  # generators of both kinds that have begun, or not yet
        self.calls = engine_calls.Calls(self)
        live = self.registry.live
        chance = self.random.random()
        if chance < 0.5:
            live.recent = LoggingStore(self)
        elif chance < 0.6:
            live.recent = None

    # What is written down.

    def say(self, *words: object) -> None:
        """Write a line."""
        self.log.append(" ".join(map(str, words)))

    def number(self, kind: str, key: int) -> int:
        """The number of an id."""
        return self.numbers.setdefault((kind, key), len(self.numbers))

    def span(self, span: Span | None) -> str:
        """How a span is called."""
        return "none" if span is None else f"{span.func.short_name}{self.number('span', span.id)}"

    def parent(self, key: int | None) -> object:
        """The number of a parent, or the id of a remote one."""
        return f"remote {key}" if key in PARENTS or key is None else self.number("span", key)

    def trace(self, trace: Trace) -> str:
        """What can be seen of a trace."""
        name = trace.id if trace.id in TRACES else self.number("trace", trace.id)
        return f"t{name}:{trace.span_count}:{trace.announced}:{len(trace.observers)}:{trace.records_dropped}"

    def current(self) -> str:
        """The current span."""
        return self.span(current_span())

    def record(self, record: Any) -> str:
        """What a record tells."""
        func, key, parent, _, _, *rest = record if isinstance(record, tuple) else [
            getattr(record, name) for name in record.__slots__
        ]  # fmt: skip
        return f"{func.short_name}{self.number('span', key)}<{self.parent(parent)}{rest}"

    def look(self) -> None:
        """Write down the tree that runs, the counts and the records."""
        traces: dict[int, Trace] = {}
        for depth, span in self.registry.all_spans():
            self.say(
                "tree", depth, self.span(span), self.parent(span.parent_id), self.span(span.parent), span.orphaned,
                self.span(span.outer), span.annotations, span.annotations_dropped, span.progressed,
            )  # fmt: skip
            traces.setdefault(self.number("trace", span.trace.id), span.trace)
        for trace in traces.values():
            self.say("trace", self.trace(trace), *map(self.record, trace.records))
        live = self.registry.live
        self.say("live", len(live.roots), len(live.orphans), live.buffered, self.registry.watcher_count)
        for func in self.scope.funcs():
            self.say("func", *self.func(func))

    def func(self, func: Func) -> list[object]:
        """The figures of a function that are no times."""
        callers = [(caller.short_name if caller else None, count) for caller, count in func.callers.items()]
        return [
            func.short_name, func.current, func.highwater, func.panics, func.errors, callers,
            func.success_times.count, func.failure_times.count, len(func.observers),
        ]  # fmt: skip

    # What happens.

    async def task(self, depth: int) -> None:
        """A task, which goes on when it is cancelled."""
        await self.calls.caught(self.body(depth, False))

    async def body(self, depth: int, sync: bool) -> None:
        """Some operations; in *sync* ones nothing may pause."""
        span = current_span()
        if span is not None and len(self.spans) < 200:
            self.spans.append(span)
        for _ in range(self.random.randint(0, 4 if depth else 30)):
            if self.left <= 0:
                return
            self.left -= 1
            await self.operate(depth, sync)
            self.say("current", self.current())

    async def operate(self, depth: int, sync: bool) -> None:
        """One operation."""
        if depth < MOST_DEPTH and self.random.random() < 0.5:
            await self.calls.make(depth + 1, sync)
            return
        operation = self.random.choice(
            (self.look, self.note, self.watch, self.unwatch, self.enter, self.leave, self.by_hand, self.reset,
             self.calls.add_steps, self.pause, self.pause, self.spawn, self.cancel, self.elsewhere, self.hide,
             self.calls.step, self.calls.step, self.calls.step, self.calls.forget)
        )  # fmt: skip
        self.say(operation.__name__)
        outcome = operation(depth, sync) if operation in self._deep() else operation()  # type: ignore[call-arg]
        if isinstance(outcome, Awaitable):
            await outcome

    def _deep(self) -> tuple[object, ...]:
        return self.pause, self.spawn, self.elsewhere, self.hide, self.calls.step, self.calls.add_steps

    async def pause(self, _: int, sync: bool) -> None:
        if not sync:
            await pause()

    def spawn(self, depth: int, _: bool) -> None:
        if len(self.tasks) < 12:
            self.tasks.append(self.driver.spawn(self.task(depth + 1)))

    def cancel(self) -> None:
        if self.tasks:
            self.driver.cancel(self.random.choice(self.tasks))

    def elsewhere(self, depth: int, _: bool) -> None:
        """Do something in another context."""
        context = self.random.choice((contextvars.copy_context, contextvars.Context))()
        context.run(lambda: at_once(self.body(depth + 1, True)))

    async def hide(self, depth: int, sync: bool) -> None:
        with without_span():
            await self.body(depth + 1, sync)

    def note(self) -> None:
        """Annotate a span that runs, or say how far it is, or keep a value with its trace."""
        if not self.spans:
            return
        span = self.random.choice(self.spans)
        choice = self.random.randrange(4)
        if choice == 0:
            span.progress(self.random.randrange(10), 10)
        elif choice == 1:
            span.trace.set("wanted", self.random.random() < 0.5)
        elif not span.finished:  # what is noted later is in the records of the pure engine only
            span.annotate(f"key{choice}", self.left)

    def watch(self) -> None:
        """Let somebody watch: all, some functions, some traces, one trace, the starts of traces."""
        name = f"watcher{self.number('watcher', len(self.numbers))}"
        watcher = Watcher(self, name, self.random.choice((-1, -1, 20)))
        wanted = self.random.sample(NAMES, 2)
        live = self.registry
        ways: list[Callable[[], Callable[[], None]]] = [
            lambda: live.observe_spans(watcher),
            lambda: live.observe_spans(watcher, funcs=lambda func: func.short_name in wanted),
            lambda: live.observe_spans(watcher, traces=lambda trace: trace.id in TRACES or trace.get("wanted") is True),
            lambda: live.observe_traces(lambda trace: self.say(name, "new", self.trace(trace))),
        ]
        span = current_span()
        if span is not None:
            ways.append(lambda: span.trace.observe_spans(watcher))
        self.watching.append(self.random.choice(ways)())

    def unwatch(self) -> None:
        if self.watching:
            self.watching.pop(self.random.randrange(len(self.watching)))()

    def enter(self) -> None:
        block = self.blocks[self.random.choice(NAMES)]
        self.started += 1
        self.open.append((block, block.__enter__()))

    def leave(self) -> None:
        """Leave a block, not always the one that was entered last, maybe in another context."""
        if self.open:
            block, span = self.open.pop(-1 - min(self.random.randrange(3), len(self.open) - 1))
            error = self.random.choice((None, None, ValueError("left")))
            leave: Callable[..., None] = block.__exit__
            if self.random.random() < 0.2:
                contextvars.copy_context().run(leave, None, error, None)
            else:
                leave(None, error, None)
            self.say("left", self.span(span), span.finished)

    def by_hand(self) -> None:
        """Start a span by hand, or finish one that runs, or that has ended."""
        if self.random.random() < 0.3 or not self.spans:
            self.started += 1
            self.spans.append(engine.start(self.scope.func(self.random.choice(NAMES)), ("by=hand",)))
            return
        span = self.random.choice(self.spans)
        before = span.finish_ns
        engine.finish(span, self.random.choice((None, KeyError("by hand"))))
        self.say("finished", self.span(span), span.error_name, before in (0, span.finish_ns))

    def reset(self) -> None:
        if self.random.random() < 0.2:
            self.scope.func(self.random.choice(NAMES)).reset()

    async def wind_up(self) -> None:
        """End all that is still open."""
        self.left = 0
        for steps in self.steps:
            await self.calls.close(steps)
        self.steps.clear()
        while self.open:
            self.leave()
        for span in self.spans:
            engine.finish(span)
        self.spans.clear()
        self.look()
        while self.watching:
            self.watching.pop()()


async def _in_loop(machine: Machine) -> None:
    asyncio.get_running_loop().set_exception_handler(lambda _, about: machine.say("loop", about["message"]))
    machine.tasks.append(machine.driver.spawn(machine.task(0)))
    machine.tasks.append(machine.driver.spawn(machine.task(0)))
    while pending := [task for task in machine.tasks if not task.done()]:
        await asyncio.wait_for(asyncio.wait(pending), BOUND_S)
    for _ in range(20):  # generators that were forgotten are closed by tasks of the loop
        await asyncio.sleep(0)
    await machine.wind_up()


def play(seed: int, *, collects: bool = True) -> Machine:
    """Run the program of *seed*: odd ones in threads, even ones in an asyncio loop."""
    driver = Turns(seed) if seed % 2 else Loop()
    machine = Machine(seed, driver, collects=collects)
    before = sys.unraisablehook
    sys.unraisablehook = lambda about: machine.say("ignored", type(about.exc_value).__name__, about.exc_value)

    def run() -> None:
        if isinstance(driver, Turns):
            machine.tasks += [driver.spawn(machine.task(0)), driver.spawn(machine.task(0))]
            driver.run()
            at_once(machine.wind_up())
        else:
            asyncio.run(_in_loop(machine))

    try:
        contextvars.Context().run(run)
    finally:
        sys.unraisablehook = before
    machine.look()
    return machine


def main(first: int, count: int, *options: str) -> None:
    """Print what the programs of some seeds saw: its digest, or with ``--log`` all of it.

    With ``--torture`` the collector runs at every chance, so that nothing is the same twice.
    """
    logging.disable()  # watchers that raise
    if "--torture" in options:
        gc.set_threshold(1)
    else:
        gc.disable()
    for seed in range(first, first + count):
        machine = play(seed, collects="--torture" not in options)
        log = machine.log
        del machine.log
        seen: dict[str, Any] = {"seed": seed, "started": machine.started}
        seen["digest"] = hashlib.sha256("\n".join(log).encode()).hexdigest()
        if "--log" in options:
            seen["log"] = log
        print(json.dumps(seen))
        del machine, log
        gc.collect()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:])
