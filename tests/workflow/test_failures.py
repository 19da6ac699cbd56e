"""Exceptions become records of history and come back as what they were."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from monkit_workflow.converter import JsonConverter
from monkit_workflow.errors import (
    ActivityFailure,
    ApplicationFailure,
    CancelledFailure,
    ChildFailure,
    FailureError,
    TerminatedFailure,
    TimeoutFailure,
)
from monkit_workflow.failures import to_error, to_failure
from monkit_workflow.payload import Failure, Payload

CONVERTER = JsonConverter()


def raised(error: BaseException, cause: BaseException | None = None) -> BaseException:
    try:
        raise error from cause
    except BaseException as caught:
        return caught


ERRORS: list[tuple[FailureError, dict[str, Any]]] = [
    (ApplicationFailure("no", 1, {"a": 2}, type="Mine", non_retryable=True), {"type": "Mine", "non_retryable": True}),
    (CancelledFailure("stopped", "half done"), {}),
    (TimeoutFailure("too late", "heartbeat", 7), {"kind": "heartbeat"}),
    (ActivityFailure("activity", "charge", "5"), {"activity_type": "charge", "activity_id": "5"}),
    (ChildFailure("child", "Order", "o-1", "r"), {"workflow_type": "Order", "workflow_id": "o-1", "run_id": "r"}),
]


@pytest.mark.parametrize(("error", "fields"), ERRORS, ids=lambda item: type(item).__name__)
def test_failure_comes_back_as_it_was(error: FailureError, fields: dict[str, Any]) -> None:
    failure = to_failure(raised(error, ValueError("because")), CONVERTER)
    back = to_error(failure, CONVERTER)
    assert type(back) is type(error)
    assert str(back) == str(error)
    assert getattr(back, "details", None) == getattr(error, "details", None)
    assert {name: getattr(back, name) for name in fields} == fields
    assert isinstance(back.__cause__, ApplicationFailure)
    assert back.__cause__.type == "ValueError"
    assert "raise error" in failure.stack


@pytest.mark.parametrize("error", [item for item, _ in ERRORS], ids=lambda item: type(item).__name__)
def test_failure_that_came_from_history_goes_back_as_it_came(error: FailureError) -> None:
    failure = to_failure(raised(error), CONVERTER)
    assert to_failure(raised(to_error(failure, CONVERTER)), CONVERTER) is failure


@pytest.mark.parametrize(
    ("error", "kind", "type_"),
    [
        (KeyError("x"), "application", "KeyError"),
        (TimeoutError("late"), "application", "TimeoutError"),
        (asyncio.CancelledError(), "canceled", ""),
    ],
)
def test_errors_of_python_are_recorded_by_their_class(error: BaseException, kind: str, type_: str) -> None:
    failure = to_failure(raised(error), CONVERTER)
    assert (failure.kind, failure.type) == (kind, type_)


@pytest.mark.parametrize(
    ("failure", "kind", "text"),
    [
        (Failure(kind="terminated"), TerminatedFailure, "terminated"),
        (Failure(kind="canceled"), CancelledFailure, "cancelled"),
        (Failure(kind="timeout"), TimeoutFailure, "timed out"),
        (Failure(kind="activity", type="charge"), ActivityFailure, "activity charge failed"),
        (Failure(kind="child", type="Order"), ChildFailure, "child Order failed"),
        (Failure(kind="server", message="lost", type="Server"), ApplicationFailure, "lost"),
    ],
    ids=lambda item: item.kind if isinstance(item, Failure) else "",
)
def test_records_of_others_without_words_get_some(failure: Failure, kind: type[FailureError], text: str) -> None:
    error = to_error(failure, CONVERTER)
    assert type(error) is kind
    assert str(error) == text


def test_detail_without_an_encoding_does_not_hide_the_failure() -> None:
    failure = to_failure(raised(ApplicationFailure("no", object)), CONVERTER)
    assert to_error(failure, CONVERTER).details == ("<class 'object'>",)  # type: ignore[attr-defined]


def test_detail_of_an_unknown_encoding_is_kept_as_it_came() -> None:
    strange = Payload(binary=b"\x01", encoding="binary/strange")
    assert to_error(Failure(details=(strange,)), CONVERTER).details == (strange,)  # type: ignore[attr-defined]


def test_long_texts_and_chains_are_cut() -> None:
    error: BaseException = ValueError("x" * 100_000)
    for _ in range(50):
        error = raised(ValueError("outer"), error)
    failure: Failure | None = to_failure(error, CONVERTER)
    depth = 0
    while failure is not None:
        assert len(failure.message) <= 4_000
        assert len(failure.stack) <= 8_000
        failure, depth = failure.cause, depth + 1
    assert depth == 21


def test_suppressed_context_is_no_cause() -> None:
    def fail() -> None:
        try:
            raise KeyError("inner")
        except KeyError:
            raise ValueError("outer") from None

    with pytest.raises(ValueError, match="outer") as caught:
        fail()
    assert to_failure(caught.value, CONVERTER).cause is None
