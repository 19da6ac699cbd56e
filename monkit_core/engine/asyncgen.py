"""The wrapper of async generator functions, which both engines share: it is an async generator itself.

Event loops keep track of async generators by hooks that the interpreter calls
for its own kind only, so a compiled one would not be closed at the end of a
loop as this one is.
"""

from __future__ import annotations

import functools
from collections.abc import AsyncGenerator, Callable
from contextvars import ContextVar
from typing import Any

from monkit_core.variables import set_variable

__all__ = ["async_generator_monitor"]

AsyncGeneratorFunction = Callable[..., AsyncGenerator[Any, Any]]


def async_generator_monitor(
    start: Callable[..., Any], finish: Callable[..., None], current: ContextVar[Any]
) -> Callable[..., AsyncGeneratorFunction]:
    """What wraps an async generator function with the *start* and *finish* of an engine."""

    def monitor_async_generator(func: Any, call: AsyncGeneratorFunction, record: Any) -> AsyncGeneratorFunction:
        """An async generator function that runs *call* in one span of *func*, from the first step to the end.

        Between two steps the caller's current span is current, inside a step the
        generator's, whatever it left there.
        """

        @functools.wraps(call)
        async def monitored(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
            caller = current.get()
            span = start(func) if record is None else start(func, record(args, kwargs))
            argument: Any = None
            try:
                steps = call(*args, **kwargs)
                value = await anext(steps)
                while True:
                    inside = current.get()
                    set_variable(current, caller)
                    resume: Callable[[Any], Any] = steps.asend
                    try:
                        argument = yield value
                    except BaseException as error:
                        resume, argument = steps.athrow, error
                    caller = current.get()
                    set_variable(current, inside)
                    value = await resume(argument)
            except StopAsyncIteration:
                finish(span)
            except BaseException as error:
                finish(span, error)
                raise
            finally:
                set_variable(current, caller)
                argument = None  # it may be the exception that holds this frame

        return monitored

    return monitor_async_generator
