"""Several monitored generators and blocks in any order, stepped from wherever, against what should be current."""

from __future__ import annotations

import contextvars
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monkit_core import Registry, Span, current_span
from tests.helpers import check_idle
from tests.programs import PlannedError

GENERATORS = 3
STEPS = 3
KINDS = ("plain", "block", "nest")
PLACES = ("here", "in a copy of the context", "in an empty context")
MOVES = st.one_of(
    st.tuples(st.just("step"), st.integers(0, GENERATORS - 1), st.sampled_from(PLACES)),
    st.tuples(st.just("step"), st.integers(0, GENERATORS - 1), st.just("here")),
    st.tuples(st.sampled_from(("close", "throw", "forget")), st.integers(0, GENERATORS - 1), st.sampled_from(PLACES)),
    st.tuples(st.sampled_from(("enter", "leave")), st.integers(0, GENERATORS - 1), st.just("here")),
)
Move = tuple[str, int, str]


def done_at_once(work: Awaitable[None]) -> None:
    """Run what never waits."""
    with suppress(StopIteration):
        next(work.__await__())
        raise AssertionError("it waits")


class Player:
    """Makes moves and knows what should be current after each.

    A generator may leave a block open while its caller goes on, or step the
    generator after it. One that has ended is made anew when it is next stepped.
    """

    def __init__(self, kinds: tuple[str, ...], asynchronous: bool) -> None:
        self.registry = Registry()
        self.scope = self.registry.scope("s")
        self.kinds = kinds
        self.make = self.make_async if asynchronous else self.make_plain
        self.begun: list[Any] = [None] * GENERATORS
        self.spans: dict[int, tuple[Span, Span | None]] = {}  # of generators that run, with the parent of each
        self.edges: Counter[tuple[str | None, str]] = Counter()
        self.blocks: list[tuple[Any, Span]] = []

    def started(self, number: int, caller: Span | None) -> Span:
        """Look at the span that a generator has just started, called from the span *caller*."""
        span = current_span()
        assert span is not None
        assert span.func is self.scope.func(f"g{number}")
        assert span.parent_id == (None if caller is None else caller.id)
        self.spans[number] = span, caller
        self.edges[None if caller is None else caller.func.short_name, f"g{number}"] += 1
        return span

    def make_plain(self, number: int, caller: Span | None) -> Generator[None, None, None]:
        @self.scope.task(f"g{number}")
        def steps() -> Generator[None, None, None]:
            own = self.started(number, caller)
            try:
                for _ in range(STEPS):
                    if self.kinds[number] == "block":
                        with self.block(own) as block:
                            yield
                            assert current_span() is block
                    else:
                        self.nest(number)
                        yield
                    assert current_span() is own
            finally:
                del self.spans[number]

        return steps()

    def make_async(self, number: int, caller: Span | None) -> AsyncGenerator[None, None]:
        @self.scope.task(f"g{number}")
        async def steps() -> AsyncGenerator[None, None]:
            own = self.started(number, caller)
            try:
                for _ in range(STEPS):
                    if self.kinds[number] == "block":
                        async with self.block(own) as block:
                            yield
                            assert current_span() is block
                    else:
                        self.nest(number)
                        yield
                    assert current_span() is own
            finally:
                del self.spans[number]

        return steps()

    def block(self, inside: Span) -> Any:
        self.edges[inside.func.short_name, "inside"] += 1
        return self.scope.task("inside")

    def nest(self, number: int) -> None:
        """Step the next generator from inside of this one."""
        if self.kinds[number] == "nest" and number + 1 < GENERATORS:
            before = current_span()
            self.drive(number + 1, "step")
            assert current_span() is before

    def drive(self, number: int, how: str) -> None:
        """Step a generator, or end it."""
        steps = self.begun[number]
        if steps is None:
            if how != "step":
                return
            steps = self.begun[number] = self.make(number, current_span())
        with suppress(StopIteration, StopAsyncIteration, PlannedError):
            if how == "step":
                self.resume(steps, "__next__", "__anext__")
            elif how == "close":
                self.resume(steps, "close", "aclose")
            elif how == "throw":
                self.resume(steps, "throw", "athrow", PlannedError())
        if how == "forget" or number not in self.spans:
            self.begun[number] = None
            del steps

    @staticmethod
    def resume(steps: Any, name: str, asynchronous_name: str, *arguments: object) -> None:
        if hasattr(steps, "__anext__"):
            done_at_once(getattr(steps, asynchronous_name)(*arguments))
        else:
            getattr(steps, name)(*arguments)

    def move(self, what: str, number: int, where: str) -> None:
        if what == "enter":
            block = self.scope.task(f"b{number}")
            caller = current_span()
            self.edges[None if caller is None else caller.func.short_name, f"b{number}"] += 1
            self.blocks.append((block, block.__enter__()))
        elif what == "leave":
            if self.blocks:
                self.blocks.pop(-1 - number % len(self.blocks))[0].__exit__(None, None, None)
        else:
            places: dict[str, Callable[..., None]] = {
                "here": lambda work, *arguments: work(*arguments),
                "in a copy of the context": contextvars.copy_context().run,
                "in an empty context": contextvars.Context().run,
            }
            places[where](self.drive, number, what)

    def check(self) -> None:
        """What should be current is, what runs is counted, and who outlived its caller is marked."""
        assert current_span() is (self.blocks[-1][1] if self.blocks else None)
        for number in range(GENERATORS):
            assert self.scope.func(f"g{number}").current == (number in self.spans)
        for span, caller in self.spans.values():
            assert not span.finished
            assert span.orphaned == (caller is not None and caller.finished)
        running = {span for _, span in self.registry.all_spans() if span.func.short_name != "inside"}
        assert running == {span for span, _ in self.spans.values()} | {span for _, span in self.blocks}

    def check_the_end(self) -> None:
        """End everything; then nothing runs, and every call has its caller."""
        for number in range(GENERATORS):
            self.drive(number, "close")
        while self.blocks:
            self.move("leave", 0, "here")
        assert current_span() is None
        assert not self.spans
        check_idle(self.registry)
        for func in self.scope.funcs():
            callers = {caller.short_name if caller else None: count for caller, count in func.callers.items()}
            name = func.short_name
            assert callers == {caller: count for (caller, callee), count in self.edges.items() if callee == name}


@pytest.mark.parametrize("asynchronous", [False, True], ids=["plain", "async"])
@given(kinds=st.tuples(*[st.sampled_from(KINDS)] * GENERATORS), moves=st.lists(MOVES, max_size=25))
@settings(max_examples=400, deadline=None, derandomize=True)
def test_generators_and_blocks_in_any_order_leave_the_current_span_right(
    asynchronous: bool, kinds: tuple[str, ...], moves: list[Move]
) -> None:
    def play() -> None:
        player = Player(kinds, asynchronous)
        for move in moves:
            player.move(*move)
            player.check()
        player.check_the_end()

    contextvars.Context().run(play)
