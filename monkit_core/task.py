"""Tasks: ``scope.task``, the decorator and the block that make a call monitored."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from monkit_core.arguments import recorder, show_mapping
from monkit_core.block import Block
from monkit_core.engine import (
    monitor_async_generator,
    monitor_coroutine,
    monitor_function,
    monitor_generator,
    start,
)
from monkit_core.func import Func
from monkit_core.series import Tags
from monkit_core.span import Span

if TYPE_CHECKING:
    from monkit_core.scope import Scope

__all__ = ["Task", "monitor", "short_name"]

F = TypeVar("F", bound=Callable[..., Any])

_WRAPPERS: tuple[tuple[Callable[[object], bool], Callable[..., Any]], ...] = (
    (inspect.iscoroutinefunction, monitor_coroutine),
    (inspect.isgeneratorfunction, monitor_generator),
    (inspect.isasyncgenfunction, monitor_async_generator),
)


class Task(Block):
    """What ``scope.task(...)`` returns: a decorator, and with a name also a block."""

    def __init__(self, scope: Scope, name: str | None, args: Iterable[str] | Mapping[str, object], tags: Tags) -> None:
        super().__init__()
        self._scope = scope
        self._name = name
        self._args = args
        self._tags = tags
        self._func: Func | None = None

    def __call__(self, function: F) -> F:
        """Monitor *function*.

        Raises:
            TypeError: it is no function that can be monitored, or has no name of its own.
        """
        if isinstance(self._args, Mapping):
            raise TypeError("args= of a decorator takes names of parameters; a mapping is for a block")
        return monitor(self._scope, function, self._name, self._args, self._tags)

    @property
    def func(self) -> Func:
        """The record of the block's function.

        Raises:
            TypeError: the task has no name.
        """
        if self._func is None:
            if self._name is None:
                raise TypeError('a block needs a name: with mon.task("name"): ...')
            self._func = self._scope.func(self._name, tags=dict(self._tags))
        return self._func

    def _start(self) -> Span:
        if isinstance(self._args, Mapping):
            return start(self.func, show_mapping(self._args))
        if tuple(self._args):
            raise TypeError('args= of a block takes a mapping: mon.task("name", args={"user": user})')
        return start(self.func)


def short_name(function: object) -> str | None:
    """The qualified name of a function without the noise of nesting, ``None`` if it has none."""
    name = getattr(function, "__qualname__", None)
    return name.replace("<locals>.", "") if isinstance(name, str) else None


def monitor(scope: Scope, function: F, name: str | None, args: Iterable[str], tags: Tags) -> F:
    """Wrap *function*: what ``scope.task`` does to it."""
    if isinstance(function, classmethod | staticmethod):
        inner = monitor(scope, function.__func__, name, args, tags)
        return type(function)(inner)
    if not callable(function) or isinstance(function, type):
        raise TypeError(f"mon.task takes a function, found {type(function).__name__} {function!r}")
    name = name or short_name(function)
    if name is None:
        raise TypeError(f'{type(function).__name__} objects have no name; write mon.task("name")(…)')
    names = (args,) if isinstance(args, str) else tuple(args)
    record = recorder(function, args) if names else None
    func = scope.func(name, tags=dict(tags))
    wrap = next((wrapper for kind, wrapper in _WRAPPERS if _is(kind, function)), monitor_function)
    monitored: Any = wrap(func, function, record)
    monitored.func = func
    return monitored  # type: ignore[no-any-return]


def _is(kind: Callable[[object], bool], function: Callable[..., Any]) -> bool:
    """Whether *function*, or the ``__call__`` of a callable object, is of a kind."""
    return kind(function) or (not inspect.isroutine(function) and kind(getattr(function, "__call__", None)))  # noqa: B004
