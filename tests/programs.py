"""Random programs of monitored calls, and a model of what should run while they do.

A program is a tree of operations. `Interpreter.run` executes it as a coroutine
that can be stepped by an asyncio loop or by threads that take turns, and keeps
a model of its own: which spans run, below which parents, what is current, and
what was counted. `Interpreter.check` compares the model with the registry.
"""

from __future__ import annotations

import asyncio
import contextvars
import random
import threading
import types
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Generator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Protocol

from hypothesis import strategies as st

from monkit_core import Block, Registry, Span, current_span, without_span
from tests.helpers import BOUND_S

NAMES = "abc"
KINDS = ("function", "coroutine", "block", "async block", "new trace", "remote trace")
ENDS = ("return", "error", "panic", "canceled")
ENDS_OF_GENERATORS = (*ENDS, "close", "throw")


class PlannedError(Exception):
    """What a call of a program raises."""


class PlannedPanic(BaseException):
    """What a call of a program raises that is no `Exception`."""


@dataclass(frozen=True)
class Pause:
    """Let others run."""


@dataclass(frozen=True)
class Cancel:
    """Cancel one of the tasks started so far."""

    which: int


@dataclass(frozen=True)
class Call:
    """Make a monitored call that does *body* and ends as *end* says."""

    kind: str
    name: str
    body: tuple[Operation, ...]
    end: str


@dataclass(frozen=True)
class Spawn:
    """Start a task; wait for it, or leave it behind."""

    body: tuple[Operation, ...]
    join: bool


@dataclass(frozen=True)
class Interleave:
    """Enter two blocks and leave the first one first."""

    first: str
    second: str
    body: tuple[Operation, ...]


@dataclass(frozen=True)
class Generate:
    """Step a monitored generator, which ends as *end* says: by itself, or because its caller closes it or throws.

    Each of *steps* is what the generator does before it yields, and what its caller does then.
    """

    asynchronous: bool
    name: str
    steps: tuple[tuple[tuple[Operation, ...], tuple[Operation, ...]], ...]
    end: str


@dataclass(frozen=True)
class Hide:
    """Hide the current span."""

    body: tuple[Operation, ...]


@dataclass(frozen=True)
class Elsewhere:
    """Start a task that leaves its block in another context than it entered it in."""

    name: str
    body: tuple[Operation, ...]


Operation = Pause | Cancel | Call | Spawn | Interleave | Generate | Hide | Elsewhere
Program = tuple[Operation, ...]


def _extend(inner: st.SearchStrategy[Operation]) -> st.SearchStrategy[Operation]:
    body = st.lists(inner, max_size=4).map(tuple)
    name = st.sampled_from(NAMES)
    call = st.builds(Call, st.sampled_from(KINDS), name, body, st.sampled_from(ENDS))
    steps = st.lists(st.tuples(body, body), max_size=3).map(tuple)
    return st.one_of(
        call,
        call,
        st.builds(Generate, st.booleans(), name, steps, st.sampled_from(ENDS_OF_GENERATORS)),
        st.builds(Spawn, body, st.booleans()),
        st.builds(Interleave, name, name, body),
        st.builds(Hide, body),
        st.builds(Elsewhere, name, body),
    )


def programs() -> st.SearchStrategy[Program]:
    """Programs of a few dozen operations."""
    leaf: st.SearchStrategy[Operation] = st.one_of(
        st.builds(Pause),
        st.builds(Cancel, st.integers(0, 5)),
        st.builds(Call, st.sampled_from(KINDS), st.sampled_from(NAMES), st.just(()), st.sampled_from(ENDS)),
    )
    return st.lists(st.recursive(leaf, _extend, max_leaves=20), min_size=1, max_size=4).map(tuple)


@dataclass(eq=False)
class Node:
    """What the model knows of a span."""

    name: str
    parent: Node | None
    trace: object
    span: Span
    shared: bool
    ended: bool = False


@dataclass
class Stack:
    """The calls that a task is in; *base* is what was current where the task was started."""

    base: Node | None
    calls: list[Node | None] = field(default_factory=list)

    def current(self) -> Node | None:
        return self.calls[-1] if self.calls else self.base


@types.coroutine
def pause() -> Generator[None, None, None]:
    """Hand over to whoever steps the coroutine."""
    yield


def at_once(work: Coroutine[Any, Any, None]) -> None:
    """Run what must not pause."""
    try:
        work.send(None)
    except StopIteration:
        return
    raise AssertionError("paused inside a function")


def planned() -> dict[str, BaseException]:
    """What is raised at the ends that raise."""
    return {
        "error": PlannedError(), "panic": PlannedPanic(), "canceled": asyncio.CancelledError(), "throw": PlannedError()
    }  # fmt: skip


class Driver(Protocol):
    """What steps the tasks of a program."""

    def spawn(self, work: Coroutine[Any, Any, None]) -> Any: ...
    def cancel(self, task: Any) -> None: ...
    def done(self, task: Any) -> bool: ...


class Interpreter:
    """Runs programs and keeps the model.

    Args:
        registry: where the calls are monitored.
        driver: steps tasks.
        checking: compare at every operation; only where one task runs at a time.
    """

    def __init__(self, registry: Registry, driver: Driver, *, checking: bool = True) -> None:
        self.registry = registry
        self.driver = driver
        self.checking = checking
        self.tasks: list[Any] = []
        self.live: dict[Node, None] = {}
        self.ended: Counter[tuple[str, str]] = Counter()
        self.edges: Counter[tuple[str | None, str]] = Counter()
        self.started = 0
        self._counting = threading.Lock()
        scope = registry.scope("program")
        self.funcs = {name: scope.func(name) for name in NAMES}
        self.blocks: dict[str, Block] = {name: scope.task(name) for name in NAMES}

        def function(body: Callable[[], None]) -> None:
            body()

        async def coroutine(body: Callable[[], Awaitable[None]]) -> None:
            await body()

        self.functions = {name: scope.task(name)(function) for name in NAMES}
        self.coroutines = {name: scope.task(name)(coroutine) for name in NAMES}

    async def task(self, program: Program, base: Node | None) -> None:
        """Run *program* as a task of its own; being cancelled is a way to end."""
        with suppress(asyncio.CancelledError):
            await self.run(program, Stack(base), False)

    async def run(self, program: Program, stack: Stack, inside_function: bool) -> None:
        """Run operations; *inside_function* they must not pause."""
        for operation in program:
            self.check(stack)
            match operation:
                case Pause():
                    if not inside_function:
                        await pause()
                case Cancel(which):
                    if self.tasks:
                        self.driver.cancel(self.tasks[which % len(self.tasks)])
                case Call(kind, name, body, end):
                    await self.call(kind, name, body, end, stack, inside_function)
                case Spawn(body, join):
                    task = self.spawn(self.task(body, stack.current()))
                    while join and not inside_function and not self.driver.done(task):
                        await pause()
                case Interleave(first, second, body):
                    await self.interleave(first, second, body, stack, inside_function)
                case Generate(True):
                    await self.step_async_generator(operation, stack, inside_function)
                case Generate():
                    await self.step_generator(operation, stack, inside_function)
                case Hide(body):
                    with without_span():
                        stack.calls.append(None)
                        try:
                            await self.run(body, stack, inside_function)
                        finally:
                            stack.calls.pop()
                case Elsewhere(name, body):
                    self.spawn(self.elsewhere(name, body, stack.current()))
            self.check(stack)

    def spawn(self, work: Coroutine[Any, Any, None]) -> Any:
        task = self.driver.spawn(work)
        self.tasks.append(task)
        return task

    async def call(self, kind: str, name: str, body: Program, end: str, stack: Stack, inside_function: bool) -> None:
        raises = planned().get(end)

        async def work(sync: bool = inside_function) -> None:
            node = self.enter(name, stack, root=kind.endswith("trace"))
            try:
                await self.run(body, stack, sync)
                if raises is not None:
                    raise raises
            except BaseException as error:
                self.leave(node, stack, error)
                raise
            self.leave(node, stack, None)

        try:
            if kind == "function":
                self.functions[name](lambda: at_once(work(True)))
            elif kind == "coroutine":
                await self.coroutines[name](work)
            elif kind == "block":
                with self.blocks[name]:
                    await work()
            elif kind == "async block":
                async with self.blocks[name]:
                    await work()
            elif kind == "new trace":
                with self.funcs[name].reset_trace():
                    await work()
            else:
                with self.funcs[name].remote_trace(2**64 - 1, 7):
                    await work()
        except BaseException as error:
            if error is not raises:
                raise

    async def step_generator(self, plan: Generate, stack: Stack, inside_function: bool) -> None:
        """Step a generator, which must not pause inside; between the steps its caller may."""
        raises = planned().get(plan.end)

        def steps() -> Generator[None, None, None]:
            node = self.enter(plan.name, stack)
            try:
                for inside, _ in plan.steps:
                    at_once(self.run(inside, stack, True))
                    with self.suspended(node, stack):
                        yield
                if raises is not None:
                    raise raises
            except BaseException as error:
                self.leave(node, stack, error)
                raise
            self.leave(node, stack, None)

        generator = self.registry.scope("program").task(plan.name)(steps)()
        try:
            for _, between in plan.steps:
                next(generator)
                await self.run(between, stack, inside_function)
            if raises is not None and plan.end == "throw":
                generator.throw(raises)
            elif plan.end != "close":
                next(generator, None)
        except BaseException as error:
            if error is not raises:
                raise
        finally:
            generator.close()

    async def step_async_generator(self, plan: Generate, stack: Stack, inside_function: bool) -> None:
        """The same of an async generator, which may pause inside too."""
        raises = planned().get(plan.end)

        async def steps() -> AsyncGenerator[None, None]:
            node = self.enter(plan.name, stack)
            try:
                for inside, _ in plan.steps:
                    await self.run(inside, stack, inside_function)
                    with self.suspended(node, stack):
                        yield
                if raises is not None:
                    raise raises
            except BaseException as error:
                self.leave(node, stack, error)
                raise
            self.leave(node, stack, None)

        generator = self.registry.scope("program").task(plan.name)(steps)()
        try:
            for _, between in plan.steps:
                await anext(generator)
                await self.run(between, stack, inside_function)
            if raises is not None and plan.end == "throw":
                await generator.athrow(raises)
            elif plan.end != "close":
                await anext(generator, None)
        except BaseException as error:
            if error is not raises:
                raise
        finally:
            await generator.aclose()

    @contextmanager
    def suspended(self, node: Node, stack: Stack) -> Iterator[None]:
        """Write into the model that a generator lets its caller go on: it runs, but nothing is called from it."""
        stack.calls.remove(node)
        try:
            yield
        finally:
            stack.calls.append(node)
            self.check(stack)

    async def interleave(self, first: str, second: str, body: Program, stack: Stack, inside_function: bool) -> None:
        problem: BaseException | None = None
        for name in (first, second):
            self.blocks[name].__enter__()
            self.enter(name, stack, shared=True)
        try:
            await self.run(body, stack, inside_function)
        except BaseException as error:
            problem = error
        self.leave_block(first, stack, problem)
        self.check(stack)
        if problem is None and not inside_function:
            try:
                await pause()
            except BaseException as error:
                problem = error
        self.leave_block(second, stack, problem)
        if problem is not None:
            raise problem

    def leave_block(self, name: str, stack: Stack, problem: BaseException | None) -> None:
        self.blocks[name].__exit__(None, problem, None)
        node = next(node for node in reversed(stack.calls) if node and node.shared and node.name == name)
        self.leave(node, stack, problem)

    async def elsewhere(self, name: str, body: Program, base: Node | None) -> None:
        block, stack, problem = self.registry.scope("program").task(name), Stack(base), None
        block.__enter__()
        node = self.enter(name, stack)
        try:
            await self.run(body, stack, False)
        except asyncio.CancelledError as error:
            problem = error
        contextvars.copy_context().run(block.__exit__, None, problem, None)
        self.leave(node, stack, problem)

    def enter(self, name: str, stack: Stack, *, root: bool = False, shared: bool = False) -> Node:
        """Write into the model that a span of *name* has started."""
        span = current_span()
        assert span is not None
        caller = None if root else stack.current()
        trace = span.trace if caller is None else caller.trace
        node = Node(name, caller, trace, span, shared)
        stack.calls.append(node)
        with self._counting:
            self.started += 1
            self.live[node] = None
            self.edges[caller.name if caller else None, name] += 1
        assert span.func is self.funcs[name]
        assert span.parent_id == (caller.span.id if caller else 2**64 - 1 if span.trace.id == 7 else None)
        self.check(stack)
        return node

    def leave(self, node: Node, stack: Stack, error: BaseException | None) -> None:
        """Write into the model that a span ends now."""
        names = {
            PlannedError: "PlannedError", PlannedPanic: "panic", asyncio.CancelledError: "Canceled",
            GeneratorExit: "success",
        }  # fmt: skip
        node.ended = True
        stack.calls.remove(node)
        with self._counting:
            del self.live[node]
            self.ended[node.name, "success" if error is None else names.get(type(error), "")] += 1

    def check(self, stack: Stack) -> None:
        """The registry says what the model says."""
        if not self.checking:
            return
        current = stack.current()
        assert current_span() is (current.span if current else None)
        expected = {
            node.span: node.parent.span if node.parent is not None and not node.parent.ended else None
            for node in self.live
        }
        found: dict[Span, Span | None] = {}
        path: list[Span] = []
        for depth, span in self.registry.all_spans():
            del path[depth:]
            assert span not in found
            found[span] = path[-1] if depth else None
            path.append(span)
        assert found == expected
        for node in self.live:
            assert node.span.orphaned == (node.parent is not None and node.parent.ended)
            assert node.span.trace is node.trace
        running = Counter(node.name for node in self.live)
        assert {name: func.current for name, func in self.funcs.items()} == {name: running[name] for name in NAMES}
        for trace, count in Counter(node.trace for node in self.live).items():
            assert trace.span_count == count  # type: ignore[attr-defined]

    def check_the_end(self) -> None:
        """Nothing runs, and everything was counted."""
        assert not self.live
        assert list(self.registry.all_spans()) == []
        assert not self.registry.live.roots
        assert not self.registry.live.orphans
        for name, func in self.funcs.items():
            assert func.current == 0
            counted = {"success": func.success_times.count, "panic": func.panics, **func.errors}
            expected = {outcome: count for (of, outcome), count in self.ended.items() if of == name}
            assert {outcome: count for outcome, count in counted.items() if count} == expected
            callers = {caller.short_name if caller else None: count for caller, count in func.callers.items()}
            assert callers == {caller: count for (caller, callee), count in self.edges.items() if callee == name}
            ended = func.success_times.count + func.failure_times.count
            assert sum(func.callers.values()) == ended == sum(expected.values())
            assert func.failure_times.count == sum(func.errors.values()) + func.panics
        assert sum(self.ended.values()) == self.started


class Loop:
    """Steps tasks by an asyncio loop."""

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        return asyncio.get_running_loop().create_task(work)

    def cancel(self, task: asyncio.Task[None]) -> None:
        if task is not asyncio.current_task():
            task.cancel()

    def done(self, task: asyncio.Task[None]) -> bool:
        return task.done()


def run_in_loop(registry: Registry, several: list[Program]) -> None:
    """Run programs as tasks of one loop, and check."""
    interpreter = Interpreter(registry, Loop())

    async def main() -> None:
        for program in several:
            interpreter.spawn(interpreter.task(program, None))
        while pending := [task for task in interpreter.tasks if not task.done()]:
            interpreter.check(Stack(None))
            await asyncio.wait_for(asyncio.wait(pending), BOUND_S)
        for task in interpreter.tasks:
            assert task.cancelled() or task.exception() is None, task

    asyncio.run(main())
    interpreter.check_the_end()


class Runner:
    """A thread that steps one coroutine, in its own context, each time it is told to."""

    def __init__(self, work: Coroutine[Any, Any, None], context: contextvars.Context) -> None:
        self._work = work
        self._go, self._back = threading.Semaphore(0), threading.Semaphore(0)
        self.cancelled = self.done = False
        self.problem: BaseException | None = None
        self.thread = threading.Thread(target=context.run, args=(self._steps,))

    def step(self) -> None:
        """Let it run to its next pause."""
        self._go.release()
        assert self._back.acquire(timeout=BOUND_S)

    def _steps(self) -> None:
        while not self.done and self._go.acquire(timeout=BOUND_S):
            self.one_step()
            self._back.release()

    def one_step(self) -> None:
        try:
            if self.cancelled:
                self.cancelled = False
                self._work.throw(asyncio.CancelledError())
            else:
                self._work.send(None)
        except (StopIteration, asyncio.CancelledError):
            self.done = True
        except BaseException as problem:
            self.problem, self.done = problem, True

    def run_free(self) -> None:
        """All steps at once."""
        while not self.done:
            self.one_step()


class Turns:
    """Steps tasks in threads that take turns, in an order drawn from *seed*."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self.runners: list[Runner] = []

    def spawn(self, work: Coroutine[Any, Any, None]) -> Runner:
        runner = Runner(work, contextvars.copy_context())
        self.runners.append(runner)
        runner.thread.start()
        return runner

    def cancel(self, task: Runner) -> None:
        if task.thread is not threading.current_thread():
            task.cancelled = True

    def done(self, task: Runner) -> bool:
        return task.done

    def run(self) -> None:
        while pending := [runner for runner in self.runners if not runner.done]:
            self._random.choice(pending).step()
        for runner in self.runners:
            runner.thread.join(BOUND_S)
            if runner.problem is not None:
                raise runner.problem


def run_in_turns(registry: Registry, several: list[Program], seed: int) -> None:
    """Run programs in threads of which one runs at a time, and check."""
    driver = Turns(seed)
    interpreter = Interpreter(registry, driver)
    for program in several:
        interpreter.spawn(interpreter.task(program, None))
    driver.run()
    interpreter.check_the_end()


class Free(Turns):
    """Lets every thread run as it likes."""

    def __init__(self) -> None:
        super().__init__(0)

    def spawn(self, work: Coroutine[Any, Any, None]) -> Runner:
        runner = Runner(work, contextvars.copy_context())
        runner.thread = threading.Thread(target=contextvars.copy_context().run, args=(runner.run_free,))
        self.runners.append(runner)
        runner.thread.start()
        return runner

    def run(self) -> None:
        for runner in self.runners:  # grows meanwhile
            runner.thread.join(BOUND_S)
            assert runner.done
            if runner.problem is not None:
                raise runner.problem


def run_freely(registry: Registry, several: list[Program], threads: int) -> None:
    """Run programs in threads all at once, and check the end."""
    driver = Free()
    interpreter = Interpreter(registry, driver, checking=False)
    for program in several * threads:
        interpreter.spawn(interpreter.task(program, None))
    driver.run()
    interpreter.check_the_end()
