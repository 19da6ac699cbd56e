"""Clean-up that must happen: coroutines that cancellation does not reach, and compensations."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from types import TracebackType
from typing import Any, TypeVar, TypeVarTuple

from monkit_workflow.errors import ContinueAsNew
from monkit_workflow.loop import Closed

__all__ = ["Saga", "shielded"]

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


async def shielded(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run *coroutine* to its end, also when the caller is cancelled meanwhile; the caller learns it after that.

    Raises:
        asyncio.CancelledError: the caller was cancelled.
    """
    task = asyncio.ensure_future(coroutine)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError as request:
            if not task.cancelled():  # else it is the task's own
                cancelled = request
        except BaseException:
            if not task.done():
                raise  # the run is closed
    if cancelled is not None:
        if not task.cancelled():
            task.exception()  # seen: the cancellation is what the caller has to know
        raise cancelled
    return task.result()


class Saga:
    """Steps that can be undone: when the block fails, what was added is run in reverse order.

    ```python
    async with workflow.Saga() as saga:
        await workflow.execute_activity(charge, ...)
        saga.add(workflow.execute_activity, refund, ...)
    ```

    Compensations run one after another and are not reached by cancellation.
    If some fail, the others run all the same, and the block ends with an
    `ExceptionGroup` of its own error and theirs.
    """

    def __init__(self) -> None:
        self._steps: list[Callable[[], Coroutine[Any, Any, Any]]] = []

    def add(self, function: Callable[..., Awaitable[Any]], /, *args: Any, **options: Any) -> None:
        """Have *function* called with these arguments, and awaited, if the block fails."""

        async def step() -> None:
            await function(*args, **options)

        self._steps.append(step)

    async def __aenter__(self) -> Saga:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None or isinstance(error, ContinueAsNew | GeneratorExit | Closed):
            return
        failed = await shielded(self._compensate())
        if failed:
            raise BaseExceptionGroup("a step failed, and not all could be undone", [error, *failed]) from None

    async def _compensate(self) -> list[BaseException]:
        failed: list[BaseException] = []
        while self._steps:
            try:
                await self._steps.pop()()
            except (Exception, asyncio.CancelledError) as problem:
                failed.append(problem)
        return failed
