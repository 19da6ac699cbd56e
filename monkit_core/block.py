"""Blocks: a ``with`` statement that runs in a span."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from types import TracebackType
from typing import TYPE_CHECKING

from monkit_core.engine import MUTED, finish, start
from monkit_core.span import CURRENT, Span, Trace

if TYPE_CHECKING:
    from monkit_core.func import Func

__all__ = ["Block", "RootBlock"]


class Block(AbstractContextManager[Span], AbstractAsyncContextManager[Span]):
    """A block that runs in a span: ``with block:`` or ``async with block:``.

    One object may be shared by nested, interleaved and concurrent blocks, and
    a block may be left in another context than it was entered in: leaving ends
    the innermost open span of this object seen from the current span, or else
    its last open one.
    """

    def __init__(self) -> None:
        self._open: dict[Span, None] = {}

    @abstractmethod
    def _start(self) -> Span:
        """Start the span of one entry."""

    def __enter__(self) -> Span:
        span = self._start()
        if not span.finish_ns:  # else nothing is counted here
            self._open[span] = None
        return span

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if CURRENT.get() is MUTED:
            return
        while (span := self._to_leave()) is not None:
            if self._open.pop(span, span) is None:  # or another thread has just taken this one
                finish(span, error)
                return

    def _to_leave(self) -> Span | None:
        span = CURRENT.get()
        while span is not None and span not in self._open:
            span = span.outer
        if span is None:
            span = next(reversed(self._open.copy()), None)  # a copy: other threads enter and leave
        return span

    async def __aenter__(self) -> Span:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, trace)


class RootBlock(Block):
    """A block whose span is the root of a trace, whatever is current."""

    def __init__(self, func: Func, trace: Callable[[], Trace], parent_id: int | None) -> None:
        super().__init__()
        self._func = func
        self._trace = trace
        self._parent_id = parent_id

    def _start(self) -> Span:
        return start(self._func, trace=self._trace(), parent_id=self._parent_id)
