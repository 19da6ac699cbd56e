from __future__ import annotations

import asyncio
import concurrent.futures
import errno
import socket
import ssl
import sys
import traceback
from collections.abc import Callable

import pytest

from monkit_core import Func, Registry, SpanObserver, current_span, engine
from monkit_core.errors import error_name, error_text, is_panic
from tests.helpers import Recorder, check_idle, fresh_scope


class Broken(Exception):
    """An error of a class of its own."""


class Named(Exception):
    monkit_error_name = "Payment: declined"


class NameRaises(Exception):
    @property
    def monkit_error_name(self) -> str:
        raise ValueError("no name")


class NameIsNoText(Exception):
    monkit_error_name = 5


class NameIsEmpty(Exception):
    monkit_error_name = ""


class OwnCancelled(asyncio.CancelledError):
    pass


class OwnTimeout(TimeoutError):
    pass


class TrioCancelled(BaseException):
    """What trio raises, by its name: it is not imported for this."""


TrioCancelled.__module__, TrioCancelled.__qualname__ = "trio", "Cancelled"

WITH_ATTRIBUTE = Broken()
WITH_ATTRIBUTE.monkit_error_name = "Custom"  # type: ignore[attr-defined]

ERRORS: list[tuple[BaseException, str]] = [
    (Broken(), "Broken"),
    (KeyError("k"), "KeyError"),
    (RecursionError(), "RecursionError"),
    (Named(), "Payment: declined"),
    (WITH_ATTRIBUTE, "Custom"),
    (NameRaises(), "NameRaises"),
    (NameIsNoText(), "NameIsNoText"),
    (NameIsEmpty(), "NameIsEmpty"),
    (asyncio.CancelledError(), "Canceled"),
    (concurrent.futures.CancelledError(), "Canceled"),
    (OwnCancelled(), "Canceled"),
    (TrioCancelled(), "Canceled"),
    (TimeoutError(), "Timeout"),
    (OwnTimeout(), "Timeout"),
    (TimeoutError(errno.ETIMEDOUT, "timed out"), "Timeout"),
    (EOFError(), "EOF"),
    (asyncio.IncompleteReadError(b"", 4), "EOF"),
    (ConnectionRefusedError(errno.ECONNREFUSED, "refused"), "ConnectionRefusedError:ECONNREFUSED"),
    (OSError(errno.ENOSPC, "full"), "OSError:ENOSPC"),
    (FileNotFoundError(errno.ENOENT, "no file"), "FileNotFoundError:ENOENT"),
    (OSError("no number"), "OSError"),
    (OSError(999_999, "unknown number"), "OSError"),
    (ssl.SSLError(1, "handshake"), "SSLError"),
    (ssl.SSLEOFError(8, "eof"), "SSLEOFError"),
    (socket.gaierror(errno.EPERM, "no name"), "gaierror"),
    (socket.herror(errno.EPERM, "no host"), "herror"),
    (ExceptionGroup("g", [KeyError(), KeyError()]), "KeyError"),
    (ExceptionGroup("g", [EOFError(), ExceptionGroup("h", [EOFError()])]), "EOF"),
    (ExceptionGroup("g", [Named(), Named()]), "Payment: declined"),
    (ExceptionGroup("g", [KeyError(), ValueError()]), "ExceptionGroup"),
    (ExceptionGroup("g", [OSError(errno.ENOSPC, ""), OSError(errno.EIO, "")]), "ExceptionGroup"),
    (BaseExceptionGroup("g", [asyncio.CancelledError(), asyncio.CancelledError()]), "Canceled"),
    (BaseExceptionGroup("g", [asyncio.CancelledError(), KeyError()]), "BaseExceptionGroup"),
]


def _id(value: object) -> str:
    return value if isinstance(value, str) else type(value).__name__


@pytest.mark.parametrize(("error", "name"), ERRORS, ids=_id)
def test_name_of_an_error_is_given_by_the_first_rule_that_matches(error: BaseException, name: str) -> None:
    assert error_name(error) == name


PANICS = [
    KeyboardInterrupt(),
    SystemExit(1),
    SystemExit("text"),
    BaseExceptionGroup("g", [KeyboardInterrupt()]),
    BaseExceptionGroup("g", [asyncio.CancelledError(), KeyboardInterrupt()]),
    type("Own", (BaseException,), {})(),
]
SUCCESSES = [SystemExit(0), SystemExit(None), SystemExit(), GeneratorExit()]


def raising(registry: Registry, error: BaseException) -> Func:
    """Raise *error* out of a monitored function, a coroutine and a block; the record of all three."""
    scope = registry.scope("shop")

    @scope.task("work")
    def function() -> None:
        raise error

    @scope.task("work")
    async def coroutine() -> None:
        raise error

    def block() -> None:
        with scope.task("work"):
            raise error

    def drive() -> None:
        coroutine().send(None)

    ways: list[Callable[[], None]] = [function, drive, block]
    for way in ways:
        with pytest.raises(type(error)) as caught:
            way()
        assert caught.value is error
    assert current_span() is None
    check_idle(registry)
    return scope.func("work")


@pytest.mark.parametrize(("error", "name"), ERRORS, ids=_id)
def test_error_is_counted_under_its_name(error: BaseException, name: str) -> None:
    func = raising(Registry(), error)
    panicked = is_panic(error)
    assert func.errors == ({} if panicked else {name: 3})
    assert func.panics == (3 if panicked else 0)
    assert (func.success_times.count, func.failure_times.count) == (0, 3)


@pytest.mark.parametrize("error", PANICS, ids=repr)
def test_other_base_exceptions_are_panics(error: BaseException) -> None:
    func = raising(Registry(), error)
    assert (func.errors, func.panics, func.success_times.count) == ({}, 3, 0)


@pytest.mark.parametrize("error", SUCCESSES, ids=repr)
def test_exit_with_code_zero_and_early_close_are_successes(error: BaseException) -> None:
    registry = Registry()
    observer = Recorder()
    registry.observe_spans(observer)
    func = raising(registry, error)
    assert (func.errors, func.panics, func.success_times.count) == ({}, 0, 3)
    assert observer.log == ["+work", "-work"] * 3


def test_span_and_observers_learn_the_error() -> None:
    registry = Registry()
    observer: SpanObserver = (recorder := Recorder())
    registry.observe_spans(observer)
    raising(registry, Named())
    raising(registry, KeyboardInterrupt())
    assert recorder.log[:2] == ["+work", "-work Payment: declined"]
    assert recorder.log[-1] == "-work KeyboardInterrupt panicked"
    assert recorder.spans[0].error_name == "Payment: declined"


def test_65th_name_and_later_ones_count_as_other() -> None:
    _, scope = fresh_scope()
    func = scope.func("f")
    kinds = [type(f"Error{number:02}", (Exception,), {}) for number in range(70)]
    for _ in range(2):
        for kind in kinds:
            with pytest.raises(kind), scope.task("f"):
                raise kind
    assert len(func.errors) == 65
    assert func.errors["other"] == 2 * 6
    assert all(func.errors[f"Error{number:02}"] == 2 for number in range(64))
    assert list(func.errors) == sorted(func.errors)
    assert sum(func.errors.values()) == 140


@pytest.mark.parametrize("asynchronous", [False, True])
def test_traceback_has_one_frame_of_the_pure_wrapper_and_none_of_the_compiled_one(asynchronous: bool) -> None:
    _, scope = fresh_scope()

    @scope.task
    def function() -> None:
        raise Broken

    @scope.task
    async def coroutine() -> None:
        raise Broken

    with pytest.raises(Broken) as caught:
        coroutine().send(None) if asynchronous else function()
    names = [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)]
    own = "coroutine" if asynchronous else "function"
    wrapper = ["monitored"] if engine.name == "pure" else []
    assert names[1:] == [*wrapper, own]
    assert caught.value.__context__ is None
    assert caught.value.__cause__ is None


def test_cause_and_notes_of_an_exception_stay() -> None:
    _, scope = fresh_scope()
    cause = KeyError("cause")

    @scope.task
    def function() -> None:
        problem = Broken("text")
        problem.add_note("a note")
        raise problem from cause

    with pytest.raises(Broken) as caught:
        function()
    assert caught.value.__cause__ is cause
    assert caught.value.__notes__ == ["a note"]


def test_finally_reraise_and_swallowing_leave_counters_at_zero() -> None:
    registry, scope = fresh_scope()

    @scope.task("swallows")
    def swallows() -> int:
        try:
            raise Broken
        finally:
            return 1  # noqa: B012

    class RaisesOnExit:
        def __enter__(self) -> None: ...
        def __exit__(self, *_: object) -> None:
            raise KeyError

    @scope.task("replaces")
    def replaces() -> None:
        with RaisesOnExit():
            raise Broken

    @scope.task("again")
    def again() -> None:
        try:
            replaces()
        except KeyError:
            raise

    assert swallows() == 1
    with pytest.raises(KeyError):
        again()
    assert scope.func("swallows").errors == {}
    assert scope.func("replaces").errors == scope.func("again").errors == {"KeyError": 1}
    check_idle(registry)


def test_handled_exception_is_not_counted_later() -> None:
    _, scope = fresh_scope()

    @scope.task("inner")
    def inner() -> None:
        raise Broken

    @scope.task("outer")
    def outer() -> None:
        with pytest.raises(Broken):
            inner()

    outer()
    assert scope.func("outer").errors == {}
    assert sys.exc_info() == (None, None, None)


def test_cancelled_task_is_an_error_named_canceled() -> None:
    registry, scope = fresh_scope()

    @scope.task("wait")
    async def wait(started: asyncio.Event) -> None:
        started.set()
        await asyncio.Event().wait()

    async def main() -> None:
        started = asyncio.Event()
        task = asyncio.create_task(wait(started))
        await started.wait()
        assert scope.func("wait").current == 1
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(wait(asyncio.Event()), 0.001)

    asyncio.run(main())
    func = scope.func("wait")
    assert func.errors == {"Canceled": 2}
    assert func.panics == 0
    check_idle(registry)


def test_text_of_an_error_is_clean_and_clipped_or_its_name() -> None:
    assert error_text(Broken("out of tea")) == "out of tea"
    assert error_text(Broken()) == "Broken"
    assert error_text(TimeoutError()) == "Timeout"
    assert error_text(Broken("\x1b[31m\ud800")) == "\\x1b[31m\\ud800"
    assert error_text(Broken("x" * 5_000)) == "x" * 999 + "…"

    class Unspeakable(Exception):
        def __str__(self) -> str:
            raise ValueError

    assert error_text(Unspeakable()) == "<Unspeakable whose __str__ raised ValueError>"


def test_hostile_and_long_class_names_become_clean_error_names() -> None:
    assert error_name(type("A\x1b" + "b" * 200, (Exception,), {})()) == "A\\x1b" + "b" * 97 + "…"


def test_group_of_very_many_leaves_is_named_by_the_first_thousand() -> None:
    leaves: list[Exception] = [KeyError() for _ in range(1_500)]
    assert error_name(ExceptionGroup("g", leaves)) == "KeyError"
    nested: Exception = ExceptionGroup("g", [KeyError()])
    for _ in range(3_000):
        nested = ExceptionGroup("g", [nested])
    assert error_name(nested) == "KeyError"
    while isinstance(nested, ExceptionGroup):  # freed step by step: the interpreter would recurse
        nested = nested.exceptions[0]
