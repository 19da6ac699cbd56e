"""Handlers that name errors: who is asked, in which order, and what a bad one does."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import pytest

from monkit_core import add_error_name_handler, current_span, faults
from monkit_core.errors import error_name, error_text, is_panic
from tests.helpers import BOUND_S, check_idle, fresh_scope

Handler = Callable[[BaseException], str | None]
Add = Callable[[Handler], Callable[[], None]]


@pytest.fixture
def add() -> Iterator[Add]:
    """`add_error_name_handler`, whose handlers are gone after the test."""
    added: list[Callable[[], None]] = []

    def add(handler: Handler) -> Callable[[], None]:
        added.append(add_error_name_handler(handler))
        return added[-1]

    yield add
    for remove in added:
        remove()
    assert error_name(KeyError()) == "KeyError"


def always(name: str) -> Handler:
    return lambda error: name


def named(kind: type[BaseException], name: str) -> Handler:
    return lambda error: name if isinstance(error, kind) else None


def chained(*errors: BaseException) -> Any:
    """The first of *errors*, each caused by the next."""
    for error, cause in pairwise(errors):
        error.__cause__ = cause
    return errors[0]


def test_error_is_counted_under_the_name_that_a_handler_gives(add: Add) -> None:
    registry, scope = fresh_scope()
    add(lambda error: f"HTTP {error.args[0]}" if isinstance(error, LookupError) else None)
    for error in (LookupError(404), LookupError(404), KeyError(500), ValueError(1)):
        with pytest.raises(type(error)), scope.task("work") as span:
            raise error
    assert scope.func("work").errors == {"HTTP 404": 2, "HTTP 500": 1, "ValueError": 1}
    assert span.error_name == "ValueError"
    check_idle(registry)


def test_handler_added_last_is_asked_first(add: Add) -> None:
    add(always("old"))
    add(named(LookupError, "new"))
    assert (error_name(KeyError()), error_name(ValueError())) == ("new", "old")


def test_handler_comes_before_every_other_rule(add: Add) -> None:
    class Named(Exception):
        monkit_error_name = "own"

    add(always("given"))
    for error in (Named(), asyncio.CancelledError(), TimeoutError(), EOFError(), OSError(2, "")):
        assert error_name(error) == "given"


def test_handler_that_was_added_twice_stays_until_both_are_taken_away(add: Add) -> None:
    twice = always("twice")
    removals = [add(twice), add(always("between")), add(twice)]
    for remove, name in zip(reversed(removals), ("between", "twice", "KeyError"), strict=True):
        remove()
        remove()  # its own only, however often
        assert error_name(KeyError()) == name


@pytest.mark.parametrize("silent", [None, ""], ids=repr)
def test_handler_that_does_not_know_leaves_it_to_the_next(add: Add, silent: str | None) -> None:
    add(lambda error: silent)
    assert error_name(EOFError()) == "EOF"
    add(always("known"))
    add(lambda error: silent)
    assert error_name(EOFError()) == "known"


def test_exception_is_asked_for_before_its_causes_by_every_handler(add: Add) -> None:
    asked: list[tuple[str, str]] = []

    def asks(handler: str) -> Handler:
        return lambda error: asked.append((handler, str(error)))

    add(asks("older"))
    add(asks("newer"))
    assert error_name(chained(ValueError("1"), KeyError(2), EOFError("3"))) == "ValueError"
    assert asked == [(handler, str(level)) for level in (1, 2, 3) for handler in ("newer", "older")]


def test_name_of_the_exception_wins_over_that_of_its_cause(add: Add) -> None:
    add(named(EOFError, "cause"))
    assert error_name(chained(ValueError(), KeyError(), EOFError())) == "cause"
    add(named(ValueError, "exception"))
    add(named(KeyError, "nearer cause"))
    assert error_name(chained(ValueError(), KeyError(), EOFError())) == "exception"
    assert error_name(chained(TypeError(), KeyError(), EOFError())) == "nearer cause"


def test_context_is_no_cause(add: Add) -> None:
    add(named(KeyError, "context"))
    error = ValueError()
    error.__context__ = KeyError()
    assert error_name(error) == "ValueError"


def test_without_a_handler_causes_do_not_name_an_error() -> None:
    assert error_name(chained(ValueError(), EOFError())) == "ValueError"


def test_causes_in_a_circle_end(add: Add) -> None:
    asked: list[BaseException] = []
    add(lambda error: asked.append(error))
    error = chained(ValueError(), KeyError())
    error.__cause__.__cause__ = error
    assert error_name(error) == "ValueError"
    assert len(asked) == 32


def test_handler_that_raises_is_reported_once_and_counts_as_not_knowing(
    add: Add, caplog: pytest.LogCaptureFixture
) -> None:
    registry, scope = fresh_scope()
    add(always("known"))

    def broken(error: BaseException) -> str:
        raise ZeroDivisionError

    add(broken)
    before = faults.count()
    with caplog.at_level(logging.WARNING, "monkit"):
        for _ in range(3):
            with pytest.raises(KeyError) as caught, scope.task("work"):
                raise KeyError("k")
    assert scope.func("work").errors == {"known": 3}
    assert faults.count() == before + 3
    (record,) = caplog.records
    assert "error name handler" in record.getMessage()
    assert "ZeroDivisionError" in record.getMessage()
    assert (caught.value.__context__, caught.value.__cause__) == (None, None)
    check_idle(registry)


@pytest.mark.parametrize("given", [5, b"name", True, ["name"]], ids=repr)
def test_what_is_no_text_counts_as_not_knowing(add: Add, given: object) -> None:
    add(lambda error: given)  # type: ignore[arg-type, return-value]
    assert error_name(EOFError()) == "EOF"


def test_handler_that_recurses_without_end_does_not_end_the_call(add: Add) -> None:
    registry, scope = fresh_scope()

    def endless(error: BaseException) -> str:
        return endless(error)

    add(endless)
    with pytest.raises(KeyError), scope.task("work"):
        raise KeyError
    assert scope.func("work").errors == {"KeyError": 1}
    check_idle(registry)


def test_name_is_clean_and_clipped_at_100_characters(add: Add) -> None:
    add(lambda error: str(error.args[0]))
    assert error_name(ValueError("a\x1b\ud800")) == "a\\x1b\\ud800"
    assert error_name(ValueError("x" * 101)) == "x" * 99 + "…"


def test_names_beyond_64_count_as_other(add: Add) -> None:
    registry, scope = fresh_scope()
    add(lambda error: str(error))
    for number in range(70):
        with pytest.raises(ValueError, match=str(number)), scope.task("work"):
            raise ValueError(f"{number:02}")
    errors = scope.func("work").errors
    assert len(errors) == 65
    assert errors["other"] == 6
    check_idle(registry)


def test_removed_handler_is_asked_no_more_and_others_stay(add: Add) -> None:
    add(always("first"))
    remove = add(always("second"))
    add(named(KeyError, "third"))
    remove()
    remove()
    assert (error_name(ValueError()), error_name(KeyError())) == ("first", "third")


def test_handler_that_takes_itself_away_is_asked_once(add: Add) -> None:
    def once(error: BaseException) -> str:
        remove()
        return "once"

    remove = add(once)
    assert [error_name(KeyError()), error_name(KeyError())] == ["once", "KeyError"]


def test_group_is_asked_for_first_then_each_of_its_leaves(add: Add) -> None:
    group = ExceptionGroup("g", [KeyError("a"), ExceptionGroup("h", [KeyError("b")])])
    assert error_name(group) == "KeyError"
    add(named(KeyError, "leaf"))
    assert error_name(group) == "leaf"
    add(named(ExceptionGroup, "group"))
    assert error_name(group) == "group"


def test_group_whose_leaves_a_handler_names_alike_has_their_name(add: Add) -> None:
    group = ExceptionGroup("g", [KeyError(), ValueError()])
    assert error_name(group) == "ExceptionGroup"
    add(named(LookupError, "same"))
    assert error_name(group) == "ExceptionGroup"
    add(named(ValueError, "same"))
    assert error_name(group) == "same"


def test_cause_of_a_leaf_names_the_leaf(add: Add) -> None:
    add(named(EOFError, "cause"))
    assert error_name(ExceptionGroup("g", [chained(ValueError(), EOFError())])) == "cause"


def test_handlers_name_errors_and_never_decide_what_is_one(add: Add) -> None:
    registry, scope = fresh_scope()
    add(always("given"))
    for error in (SystemExit(0), GeneratorExit(), KeyboardInterrupt(), asyncio.CancelledError()):
        with pytest.raises(type(error)), scope.task("work") as span:
            raise error
    func = scope.func("work")
    assert (func.success_times.count, func.panics, func.errors) == (2, 1, {"given": 1})
    assert is_panic(KeyboardInterrupt())
    assert span.error_name == "given"
    check_idle(registry)


def test_panic_is_named_on_its_span(add: Add) -> None:
    add(always("given"))
    _, scope = fresh_scope()
    with pytest.raises(KeyboardInterrupt), scope.task("work") as span:
        raise KeyboardInterrupt
    assert (span.error_name, span.panicked) == ("given", True)


def test_text_of_an_error_is_its_own_unless_it_has_none(add: Add) -> None:
    add(always("given"))
    assert (error_text(ValueError("text")), error_text(ValueError())) == ("text", "given")


def test_handler_may_use_the_engine(add: Add) -> None:
    registry, scope = fresh_scope()

    def counts(error: BaseException) -> None:
        with scope.task("handler") as span:
            assert current_span() is span
            scope.counter("asked").inc()

    add(counts)
    with scope.task("outer") as outer:
        with pytest.raises(KeyError), scope.task("work"):
            raise KeyError
        assert current_span() is outer
    assert scope.counter("asked").value == 1
    assert scope.func("work").errors == {"KeyError": 1}
    check_idle(registry)


def test_handlers_come_and_go_in_several_threads_and_none_is_lost(add: Add) -> None:
    threads, together = 4, threading.Barrier(4)

    def come_and_go() -> Callable[[], None]:
        together.wait(BOUND_S)
        for _ in range(200):
            remove = add_error_name_handler(always("gone"))
            assert error_name(KeyError()) in ("gone", "stays")
            remove()
        return add_error_name_handler(named(KeyError, "stays"))

    with ThreadPoolExecutor(threads) as pool:
        futures = [pool.submit(come_and_go) for _ in range(threads)]
        removes = [future.result(BOUND_S) for future in futures]
    for remove in removes:
        assert error_name(KeyError()) == "stays"
        remove()
    assert error_name(KeyError()) == "KeyError"
