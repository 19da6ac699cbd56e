"""The decorators that make a class or a function a workflow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, overload

from monkit_workflow.definitions import define_workflow, note_handler, note_validator

__all__ = ["define", "query", "run", "signal", "update", "validator"]

W = TypeVar("W", bound=Callable[..., Any])  # classes are callable too
F = TypeVar("F", bound=Callable[..., Any])


@overload
def define(subject: W, /) -> W: ...
@overload
def define(*, name: str | None = None, failures: tuple[type[BaseException], ...] = ()) -> Callable[[W], W]: ...
def define(subject: Any = None, /, *, name: str | None = None, failures: tuple[type[BaseException], ...] = ()) -> Any:
    """Make a class with one ``@workflow.run`` method, or an async function, a workflow.

    Args:
        subject: the class or function; it is returned unchanged.
        name: under which it is registered, by default its ``__name__``.
        failures: exceptions of the program's own that fail the run. Any other
            exception is taken for a fault of the code: the run waits for a
            mended worker. Failures of the framework and time-outs always fail the run.

    Raises:
        TypeError: it cannot be a workflow.
    """

    def decorate(subject: W) -> W:
        define_workflow(subject, name, failures)
        return subject

    return decorate if subject is None else decorate(subject)


def run(function: F, /) -> F:
    """Mark the async method that is the workflow. When it returns, the run is over.

    Raises:
        TypeError: it is no async function.
    """
    note_handler(function, "run", None)
    return function


@overload
def signal(function: F, /) -> F: ...
@overload
def signal(*, name: str) -> Callable[[F], F]: ...
def signal(function: Any = None, /, *, name: str | None = None) -> Any:
    """Mark a method, plain or async, that takes a signal. Its result is not used."""
    return _handler("signal", function, name)


@overload
def query(function: F, /) -> F: ...
@overload
def query(*, name: str) -> Callable[[F], F]: ...
def query(function: Any = None, /, *, name: str | None = None) -> Any:
    """Mark a plain method that tells of the run's state. It must change nothing, and can wait for nothing.

    Raises:
        TypeError: it is an async function.
    """
    return _handler("query", function, name)


@overload
def update(function: F, /) -> F: ...
@overload
def update(*, name: str) -> Callable[[F], F]: ...
def update(function: Any = None, /, *, name: str | None = None) -> Any:
    """Mark a method, plain or async, that changes the run's state and returns a result to its caller."""
    return _handler("update", function, name)


def validator(handler: Callable[..., Any], /) -> Callable[[F], F]:
    """Mark the plain method that refuses calls of the update *handler* by raising.

    It has the arguments of the update and never runs in a replay.

    Raises:
        TypeError: *handler* is no update.
    """

    def decorate(function: F) -> F:
        note_validator(handler, function)
        return function

    return decorate


def _handler(kind: Any, function: Any, name: str | None) -> Any:
    def decorate(function: F) -> F:
        note_handler(function, kind, name)
        return function

    return decorate if function is None else decorate(function)
