"""The calls that `tests.engine_machine` makes: of every kind, ending in every way; generators stepped by anybody."""

from __future__ import annotations

import asyncio
import errno
import functools
import gc
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Generator
from typing import TYPE_CHECKING, Any

from monkit_core import Trace, engine
from tests.programs import PlannedError, PlannedPanic, at_once, pause

if TYPE_CHECKING:
    from tests.engine_machine import Machine

NAMES = ("a", "b", "c", "d")
ENDS: tuple[Callable[[], BaseException | None], ...] = (
    *[lambda: None] * 12,
    lambda: ValueError("x"),
    lambda: PlannedError(),
    lambda: PlannedPanic(),
    lambda: ConnectionRefusedError(errno.ECONNREFUSED, "x"),
    lambda: TimeoutError(),
    lambda: EOFError(),
    lambda: ExceptionGroup("x", [ValueError(1), ValueError(2)]),
    lambda: asyncio.CancelledError(),
    lambda: SystemExit(0),
    lambda: SystemExit(1),
    lambda: GeneratorExit("planned"),  # to be told from that of who closes
    lambda: KeyboardInterrupt(),
    lambda: StopIteration(1),
    lambda: RecursionError(),
)


class Calls:
    """Makes calls of a machine's monitored functions; each runs a body of the machine's operations."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.random = machine.random
        task = machine.scope.task
        calls = self

        class Methods:
            @task("a")
            def method(self, work: Callable[[], object]) -> object:
                return work()

            @task("b")
            @classmethod
            def of_class(cls, work: Callable[[], object]) -> object:
                return work()

            @staticmethod
            @task("c")
            def static(work: Callable[[], object]) -> object:
                return work()

        def function(work: Callable[[], object]) -> object:
            return work()

        def recorded(x: int, *rest: object, password: str = "p", **more: object) -> object:
            return calls.work_of_recorded.pop()()

        async def coroutine(work: Callable[[], Awaitable[object]]) -> object:
            return await work()

        async def recorded_coroutine(x: int, work: Callable[[], Awaitable[object]]) -> object:
            return await work()

        def again(depth: int, work: Callable[[], object]) -> object:
            return calls.again(depth - 1, work) if depth else work()

        self.work_of_recorded: list[Callable[[], object]] = []
        self.functions: list[Callable[..., object]] = [task(name)(function) for name in NAMES]
        self.functions += [Methods().method, Methods.of_class, Methods.static]
        self.coroutines = [task(name)(coroutine) for name in NAMES]
        self.again = task("d")(again)
        self.recorded = task("a", args=("x", "rest", "password", "more"))(recorded)
        self.recorded_coroutine = task("b", args=("x",))(recorded_coroutine)
        self.kinds = (
            self.function, self.function, self.coroutine, self.coroutine, self.recursion, self.arguments,
            self.recorded_await, self.block, self.new_trace, self.remote_trace, self.misfit, self.both,
        )  # fmt: skip

    async def caught(self, work: Awaitable[object]) -> None:
        """Await *work*; write down how it ended. Who is closed stays so."""
        try:
            outcome: object = await work
        except GeneratorExit as error:
            if not error.args:
                raise
            outcome = "GeneratorExit"
        except BaseException as error:
            outcome = f"{type(error).__name__} {error}"
        self.machine.say("ended", outcome)

    async def make(self, depth: int, sync: bool) -> None:
        """Make a call of some kind."""
        machine = self.machine
        machine.started += 1
        end = self.random.choice(ENDS)()

        async def work(sync: bool = sync) -> object:
            machine.say("inside", machine.current())
            await machine.body(depth, sync)
            if end is not None:
                raise end
            return machine.left

        kind = self.random.choice(self.kinds)
        machine.say("call", kind.__name__, type(end).__name__)
        await self.caught(kind(work, sync))
        if end is not None:
            end.__traceback__ = end.__context__ = None  # which would keep frames, until the collector comes

    async def function(self, work: Callable[..., Coroutine[Any, Any, Any]], sync: bool) -> object:
        return self.random.choice(self.functions)(lambda: run(work(True)))

    async def coroutine(self, work: Callable[..., Coroutine[Any, Any, Any]], sync: bool) -> object:
        return await self.random.choice(self.coroutines)(work)

    async def recursion(self, work: Callable[..., Coroutine[Any, Any, Any]], sync: bool) -> object:
        depth = self.random.randint(1, 5)
        self.machine.started += depth
        return self.again(depth, lambda: run(work(True)))

    async def arguments(self, work: Callable[..., Coroutine[Any, Any, Any]], sync: bool) -> object:
        self.work_of_recorded.append(lambda: run(work(True)))
        return self.recorded(self.random.randrange(9), *"yz"[: self.random.randrange(3)], password="q", key=None)

    async def recorded_await(self, work: Callable[..., Coroutine[Any, Any, Any]], sync: bool) -> object:
        return await self.recorded_coroutine(self.random.randrange(9), work=work)

    async def block(self, work: Callable[..., Coroutine[Any, Any, Any]], sync: bool) -> object:
        block = self.random.choice((*self.machine.blocks.values(), self.machine.scope.task("c", args={"x": 1})))
        if self.random.random() < 0.5:
            async with block:
                return await work()
        with block:
            return await work()

    async def new_trace(self, work: Callable[..., Coroutine[Any, Any, Any]], sync: bool) -> object:
        with self.machine.scope.func(self.random.choice(NAMES)).reset_trace() as span:
            self.machine.say("trace", self.machine.trace(span.trace))
            return await work()

    async def remote_trace(self, work: Callable[..., Coroutine[Any, Any, Any]], sync: bool) -> object:
        from tests.engine_machine import PARENTS, TRACES

        machine = self.machine
        key = self.random.choice(TRACES)
        trace: Trace | int | None = key
        if key is not None and self.random.random() < 0.5:
            trace = Trace(machine.registry.live, key)
            trace.set("wanted", self.random.random() < 0.5)
        elif machine.spans and self.random.random() < 0.5:
            trace = self.random.choice(machine.spans).trace
        with machine.scope.func(self.random.choice(NAMES)).remote_trace(self.random.choice(PARENTS), trace) as span:
            machine.say("trace", machine.trace(span.trace), machine.parent(span.parent_id))
            return await work()

    async def misfit(self, work: Callable[..., Coroutine[Any, Any, Any]], sync: bool) -> object:
        """Arguments that the function does not take."""
        return self.functions[0](work, 1, no_such=2)

    async def both(self, work: Callable[..., Coroutine[Any, Any, Any]], sync: bool) -> object:
        """Finish it by hand from inside."""

        def inside() -> object:
            span = self.machine.spans[-1] if self.machine.spans else None
            outcome = run(work(True))
            if span is not None:
                engine.finish(span, PlannedError())
                engine.finish(span)
            return outcome

        return self.functions[1](inside)

    # Generators, which anybody may step.

    def add_steps(self, depth: int, sync: bool) -> None:
        """Make a generator; its first step starts its span."""
        if len(self.machine.steps) >= 8:
            return
        make = self.random.choice((self.plain, self.plain, self.asynchronous))
        task = self.machine.scope.task(self.random.choice(NAMES))
        self.machine.steps.append(task(make)(depth + 1, self.random.randrange(4), self.random.choice(ENDS)()))

    def plain(self, depth: int, amount: int, end: BaseException | None) -> Generator[object, object, object]:
        for _ in range(amount):
            run(self.machine.body(depth, True))
            try:
                got = yield self.machine.current()
            except PlannedError:
                got = "caught"
            except GeneratorExit:
                if depth == 2:  # one that does not let itself be closed the first time
                    depth += 1
                    continue
                raise
            self.machine.say("got", got, self.machine.current())
        if end is not None:
            raise end
        return self.machine.left

    async def asynchronous(self, depth: int, amount: int, end: BaseException | None) -> AsyncGenerator[object, object]:
        for _ in range(amount):
            await self.machine.body(depth, True)
            try:
                got = yield self.machine.current()
            except PlannedError:
                got = "caught"
            self.machine.say("got", got, self.machine.current())
            if self.random.random() < 0.2 and not isinstance(end, GeneratorExit):
                await pause()
        if end is not None:
            raise end

    async def step(self, depth: int, sync: bool) -> None:
        """Step a generator in some way."""
        if self.machine.steps:
            steps = self.random.choice(self.machine.steps)
            asynchronous = hasattr(steps, "__anext__")
            if asynchronous and sync:
                return
            way = self.random.choice(("send", "send", "send", "send", "value", "throw", "throw", "wrong", "close"))
            if not asynchronous and steps.gi_running:
                way = "send"  # 3.11 may crash when a generator that runs is thrown into or closed
            self.machine.say(way)
            await self.caught(self._resume(steps, way, asynchronous))

    async def _resume(self, steps: Any, way: str, asynchronous: bool) -> object:
        names = ("asend", "athrow", "aclose") if asynchronous else ("send", "throw", "close")
        send, throw, close = (getattr(steps, name) for name in names)
        ways: dict[str, Callable[[], Any]] = {
            "send": functools.partial(send, None),
            "value": functools.partial(send, 1),
            "throw": lambda: throw(self.random.choice((PlannedError(), ValueError("thrown"), PlannedPanic()))),
            "wrong": lambda: None if asynchronous else throw(1),
            "close": close,
        }
        outcome = ways[way]()
        return await outcome if isinstance(outcome, Awaitable) else outcome

    async def close(self, steps: Any) -> None:
        """End it for good."""
        for _ in range(2):
            await self.caught(self._resume(steps, "close", hasattr(steps, "__anext__")))

    def forget(self) -> None:
        """Leave a generator to whoever finds it: the end of its last reference, or the collector."""
        plain = [steps for steps in self.machine.steps if not hasattr(steps, "__anext__")]
        if plain and self.machine.collects:
            steps = self.random.choice(plain)
            self.machine.steps.remove(steps)
            if self.random.random() < 0.5:
                cycle = [steps]
                cycle.append(cycle)
                del cycle
            del steps, plain
            gc.collect()


def run(work: Coroutine[Any, Any, Any]) -> Any:
    """What *work*, which must not pause, returns."""
    try:
        work.send(None)
    except StopIteration as stop:
        return stop.value
    work.close()
    return at_once(work)
