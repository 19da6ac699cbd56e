"""Interceptors: plain objects whose methods stand around the calls of clients, workers and workflow code.

An interceptor has any of the methods in `CALLS`, each as
``method(self, call, next)``: it may look at the `Call`, change it, call
``next`` with it once, several times or not at all, and return something else.
Where nobody intercepts, a call goes straight through.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, Final

import msgspec
from msgspec import Struct

__all__ = ["CALLS", "Call", "Interceptors"]

CALLS: Final[Mapping[str, bool]] = {
    # Of a client, on the event loop of the program.
    "start": True,
    "signal_with_start": True,
    "signal": True,
    "query": True,
    "update": True,
    "start_update": True,
    "cancel": True,
    "terminate": True,
    # Into the code that a worker hosts.
    "run_workflow": True,
    "handle_signal": True,
    "handle_update": True,
    "handle_query": False,
    "run_activity": True,
    # Out of workflow code.
    "start_activity": False,
    "start_local_activity": False,
    "start_child": True,
    "signal_external": True,
    "cancel_external": True,
    "continue_as_new": False,
}
"""What can be intercepted, and whether by an async method."""


class Call(Struct, frozen=True, kw_only=True):
    """One call on its way. Interceptors hand on what `replace` makes of it."""

    name: str
    """Type of the workflow or activity, or name of the signal, update or query; empty for a cancellation."""
    args: tuple[Any, ...] = ()
    options: dict[str, Any] = {}
    """Keyword arguments that the caller gave, such as ``start_to_close``."""
    header: dict[str, Any] = {}
    """Plain values that travel with the call and are no arguments of it."""
    workflow_id: str = ""
    """Whom it is for; empty where `info` says it, or where a child has no id of its own."""
    run_id: str = ""
    info: Any = None
    """`WorkflowInfo` or `ActivityInfo` of the code that is called or calls; ``None`` in a client."""

    def replace(self, **changes: Any) -> Call:
        """The same call with other fields."""
        return msgspec.structs.replace(self, **changes)


class Interceptors:
    """Some interceptors, the first one outermost.

    Raises:
        TypeError: one intercepts nothing, or a method is of the wrong kind or misspelled.
    """

    def __init__(self, interceptors: Iterable[object] = ()) -> None:
        self.all = tuple(interceptors)
        for item in self.all:
            _check(item)
        self._methods = {kind: tuple(getattr(item, kind) for item in self.all if hasattr(item, kind)) for kind in CALLS}

    def stand_around(self, kind: str) -> bool:
        """Whether anybody intercepts calls of this kind."""
        return bool(self._methods[kind])

    def through(self, kind: str, call: Call, last: Callable[[Call], Any]) -> Any:
        """What comes of *call* when it goes through all who intercept its kind, and then to *last*."""
        for method in reversed(self._methods[kind]):
            last = partial(_step, method, last)
        return last(call)


def _step(method: Callable[..., Any], following: Callable[[Call], Any], call: Call) -> Any:
    return method(call, following)


def _check(item: object) -> None:
    shown = item.__qualname__ if isinstance(item, type) else type(item).__qualname__
    if isinstance(item, type):
        raise TypeError(f"the interceptor {shown} is a class; give an instance of it")
    found = [kind for kind in CALLS if callable(getattr(item, kind, None))]
    for kind in found:
        if inspect.iscoroutinefunction(getattr(item, kind)) is not CALLS[kind]:
            raise TypeError(f"{shown}.{kind} must be {'an async' if CALLS[kind] else 'a plain'} method")
    for name in dir(item):
        if not name.startswith("_") and name not in CALLS and _takes_call_and_next(getattr(item, name)):
            close = difflib.get_close_matches(name, CALLS, 1)
            raise TypeError(f"nothing calls {shown}.{name}" + (f"; is it meant to be {close[0]}?" if close else ""))
    if not found:
        raise TypeError(f"{shown} intercepts nothing; an interceptor has some of the methods {', '.join(CALLS)}")


def _takes_call_and_next(method: object) -> bool:
    if not inspect.isroutine(method):
        return False
    try:
        return list(inspect.signature(method).parameters)[1:2] == ["next"]
    except ValueError:  # of a builtin
        return False
