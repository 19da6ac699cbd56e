"""Cadence's files: what each field, blob, reason and marker becomes."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any, TypeVar

import pytest

from monkit_workflow import history
from monkit_workflow.cadence.values import failure_of, first_payload, split
from monkit_workflow.errors import HistoryFormatError
from monkit_workflow.history_file import RecordedHistory, read_history
from monkit_workflow.payload import Failure, Payload, RetryPolicy

CADENCE = Path(__file__).parent / "histories" / "cadence"
E = TypeVar("E", bound=history.Event)


def recorded(name: str) -> RecordedHistory:
    return read_history(CADENCE / f"{name}.json")


def b64(text: str | bytes) -> str:
    return base64.b64encode(text.encode() if isinstance(text, str) else text).decode()


def event(number: int, kind: str, attributes: Any) -> dict[str, Any]:
    key = f"{kind[0].lower()}{kind[1:]}EventAttributes"
    return {"eventId": number, "timestamp": 1_700_000_000_000_000_000, "eventType": kind, key: attributes}


def read(kind: type[E], attributes: dict[str, Any], name: str = "") -> E:
    if kind is history.WorkflowExecutionStarted:
        found = read_history([event(1, kind.__name__, attributes)]).events[0]
    else:
        started = event(1, "WorkflowExecutionStarted", {"workflowType": {"name": "order"}})
        found = read_history([started, event(2, name or kind.__name__, attributes)]).events[1]
    assert isinstance(found, kind)
    return found


def marker(name: str, details: str | bytes, header: dict[str, Any] | None = None) -> history.MarkerRecorded:
    fields = {key: b64(json.dumps(value)) for key, value in (header or {}).items()}
    attributes = {"markerName": name, "details": b64(details), "decisionTaskCompletedEventId": 4}
    return read(history.MarkerRecorded, {**attributes, "header": {"fields": fields} if header else None})


def texts(values: tuple[Payload, ...]) -> list[bytes]:
    return [bytes(value.data) for value in values]


def text(value: Payload | None) -> bytes | None:
    return None if value is None else bytes(value.data)


def test_recorded_activities_have_types_times_and_split_arguments() -> None:
    events = recorded("go_activity_cancel_partial").events
    delayed = events[5]
    assert isinstance(delayed, history.ActivityTaskScheduled)
    assert (delayed.activity_id, delayed.activity_type) == ("1", "Prefix_ToUpperWithDelay")
    assert texts(delayed.input) == [b'"hello"', b"5000000000"]
    assert (delayed.start_to_close_ns, delayed.heartbeat_ns) == (9 * 10**9, 0)
    assert (delayed.task_queue, delayed.task_completed_id) == ("tl-1", 4)
    completed = events[9]
    assert isinstance(completed, history.ActivityTaskCompleted)
    assert text(completed.result) == b'"HELLO"'
    failed = events[12]
    assert isinstance(failed, history.WorkflowTaskFailed)
    assert failed.failure.type == "WORKFLOW_WORKER_UNHANDLED_FAILURE"
    assert failed.failure.message.startswith("invalid state transition")


def test_recorded_attempts_count_from_one() -> None:
    events = recorded("go_greetings").events
    assert {found.attempt for found in events if isinstance(found, history.ActivityTaskStarted)} == {1}
    assert {found.attempt for found in events if isinstance(found, history.WorkflowTaskScheduled)} == {1}


def test_recorded_child_and_signal_are_read_in_full() -> None:
    events = recorded("go_parent_child_signal").events
    child, signal, ended = events[4], events[9], events[14]
    assert isinstance(child, history.StartChildWorkflowExecutionInitiated)
    assert child.workflow_id == "child_workflow:0ea65eda-a0db-4a59-bef3-dce48e8484f8"
    assert (child.namespace, child.id_reuse, child.parent_close) == ("samples-domain", "failed_only", "terminate")
    assert (child.timeout_ns, child.task_timeout_ns) == (60 * 10**9, 10 * 10**9)
    assert texts(child.input) == [b"0", b"5"]
    assert isinstance(signal, history.SignalExternalWorkflowExecutionInitiated)
    assert (signal.name, signal.child_only, texts(signal.input)) == ("test-signal", True, [b'"test-data"'])
    assert isinstance(ended, history.ChildWorkflowExecutionCompleted)
    assert (ended.initiated_id, ended.started_id) == (5, 6)
    assert text(ended.result) == b'"Child workflow execution completed after 5 runs"'


def test_recorded_version_marker_and_timers_are_read() -> None:
    version = recorded("go_version_three_activities_partial").events[4]
    assert isinstance(version, history.MarkerRecorded)
    assert (version.name, version.key, version.version) == ("Version", "test-change", 1)
    upsert = recorded("go_version_three_activities_partial").events[5]
    assert isinstance(upsert, history.UpsertWorkflowSearchAttributes)
    assert text(upsert.attributes["CadenceChangeVersion"]) == b'["test-change-1"]'
    timer = recorded("java_timer_cancel_and_fire").events[5]
    assert isinstance(timer, history.TimerStarted)
    assert (timer.timer_id, timer.duration_ns) == ("1", 30 * 10**9)


def test_start_of_a_retried_cron_child_has_what_went_before() -> None:
    found = read(
        history.WorkflowExecutionStarted,
        {
            "workflowType": {"name": "w"},
            "parentWorkflowExecution": {"workflowId": "p", "runId": "r"},
            "parentInitiatedEventId": 9,
            "continuedFailureReason": "broken",
            "continuedFailureDetails": b64("7\n"),
            "lastCompletionResult": b64("[1]\n"),
            "cronSchedule": "* * * * *",
            "firstDecisionTaskBackoffSeconds": 3,
            "attempt": 2,
            "expirationTimestamp": 1_700_000_000_000_000_001,
            "retryPolicy": {
                "initialIntervalInSeconds": 1,
                "backoffCoefficient": 1.5,
                "maximumIntervalInSeconds": 10,
                "maximumAttempts": 5,
                "expirationIntervalInSeconds": 60,
                "nonRetriableErrorReasons": ["bad"],
            },
        },
    )
    assert (found.parent_workflow_id, found.parent_run_id, found.parent_initiated_id) == ("p", "r", 9)
    assert found.last_failure is not None
    assert (found.last_failure.type, texts(found.last_failure.details)) == ("broken", [b"7"])
    assert text(found.last_result) == b"[1]"
    assert (found.attempt, found.first_task_delay_ns) == (3, 3 * 10**9)
    assert found.retry_expires_ns == 1_700_000_000_000_000_001
    assert found.retry == RetryPolicy(
        initial_ns=10**9,
        coefficient=1.5,
        maximum_interval_ns=10**10,
        attempts=5,
        expiration_ns=60 * 10**9,
        non_retryable=("bad",),
    )


@pytest.mark.parametrize(
    ("blob", "values"),
    [
        (b"", []),
        (b"1\n2\n", [b"1", b"2"]),
        (b'"a\\n"\n{"b": [1]}\n', [b'"a\\n"', b'{"b": [1]}']),
        (b"[1, 2]\n", [b"[1, 2]"]),
        (b'[1, {"a": 2}]', [b"1", b'{"a": 2}']),
        (b"[1]", [b"[1]"]),
        (b"[]", [b"[]"]),
        (b'{\n "a": 1\n}', [b'{\n "a": 1\n}']),
        (b"\x00raw", [b"\x00raw"]),
        (b"1\nraw\n", [b"1\nraw\n"]),
        (b"\n", [b"\n"]),
    ],
)
def test_a_blob_is_split_into_its_values(blob: bytes, values: list[bytes]) -> None:
    assert texts(split(blob)) == values


def test_a_result_that_is_a_list_stays_one() -> None:
    assert text(first_payload(b"[1, 2]")) == b"[1, 2]"
    assert first_payload(b"") is None
    assert first_payload(b"\xff") == Payload(binary=b"\xff", encoding="binary/plain")


@pytest.mark.parametrize(
    ("reason", "details", "failure"),
    [
        ("cadenceInternal:Generic", b'"no luck"\n', Failure(type="cadenceInternal:Generic", message="no luck")),
        ("cadenceInternal:Generic", b"no luck", Failure(type="cadenceInternal:Generic", message="no luck")),
        ("cadenceInternal:Panic", b'"p"\n"s"\n', Failure(type="cadenceInternal:Panic", message="p", stack="s")),
        ("cadenceInternal:Timeout START_TO_CLOSE", b"", Failure(kind="timeout", timeout="start_to_close")),
        ("cadenceInternal:Timeout", b"", Failure(kind="timeout")),
        ("cadenceInternal:Canceled", b"7\n", Failure(kind="canceled", details=split(b"7\n"))),
        ("mine", b'7\n"x"\n', Failure(type="mine", details=split(b'7\n"x"\n'))),
        (
            "java.lang.Oops",
            b'{"detailMessage": "m"}',
            Failure(type="java.lang.Oops", message="m", details=split(b'{"detailMessage": "m"}')),
        ),
    ],
)
def test_reason_and_details_become_a_failure(reason: str, details: bytes, failure: Failure) -> None:
    assert failure_of(reason, details) == failure
    attributes = {"scheduledEventId": 5, "reason": reason, "details": b64(details)}
    assert read(history.ActivityTaskFailed, attributes).failure == failure


def test_timed_out_activity_has_kind_heartbeat_and_the_failure_before() -> None:
    found = read(
        history.ActivityTaskTimedOut,
        {"scheduledEventId": 5, "timeoutType": "HEARTBEAT", "details": b64("3\n"), "lastFailureReason": "r"},
    )
    assert (found.timeout, texts(found.details), found.failure) == ("heartbeat", [b"3"], Failure(type="r"))


def test_cancel_request_leads_to_the_event_that_scheduled_the_activity() -> None:
    raw = [
        event(1, "WorkflowExecutionStarted", {}),
        event(2, "ActivityTaskScheduled", {"activityId": "a"}),
        event(3, "ActivityTaskCancelRequested", {"activityId": "a", "decisionTaskCompletedEventId": 9}),
        event(4, "RequestCancelActivityTaskFailed", {"activityId": "b", "cause": "ACTIVITY_ID_UNKNOWN"}),
        event(5, "CancelTimerFailed", {"timerId": "t", "cause": "TIMER_ID_UNKNOWN"}),
    ]
    request = read_history(raw).events[2]
    assert isinstance(request, history.ActivityTaskCancelRequested)
    assert (request.scheduled_id, request.activity_id, request.task_completed_id) == (2, "a", 9)
    raw[2] = event(3, "ActivityTaskCancelRequested", {"activityId": "other"})
    with pytest.raises(HistoryFormatError, match="activityId: found 'other', expected the id of an activity"):
        read_history(raw)


def test_causes_and_policies_have_our_words() -> None:
    refused = read(history.SignalExternalWorkflowExecutionFailed, {"cause": "UNKNOWN_EXTERNAL_WORKFLOW_EXECUTION"})
    assert refused.cause == "not_found"
    taken = read(history.StartChildWorkflowExecutionFailed, {"cause": "WORKFLOW_ALREADY_RUNNING"})
    assert taken.cause == "already_started"
    policies = {"parentClosePolicy": "REQUEST_CANCEL", "workflowIdReusePolicy": "TerminateIfRunning"}
    child = read(history.StartChildWorkflowExecutionInitiated, policies)
    assert (child.parent_close, child.id_reuse) == ("cancel", "terminate")


def test_a_side_effect_of_go_is_a_number_and_base64() -> None:
    found = marker("SideEffect", f'3\n"{b64("81" + chr(10))}"\n')
    assert (found.key, text(found.value), found.task_completed_id) == ("3", b"81", 4)


def test_a_side_effect_of_java_is_the_value_alone() -> None:
    assert text(marker("SideEffect", "[1, 2]").value) == b"[1, 2]"


@pytest.mark.parametrize("value", ["81\\n", b64("81\n")])
def test_a_mutable_side_effect_of_go_is_an_id_and_the_value_as_text(value: str) -> None:
    found = marker("MutableSideEffect", f'"id"\n"{value}"\n')
    assert (found.key, found.count, text(found.value)) == ("id", None, b"81")


def test_mutable_side_effects_of_java_count_from_the_last_marker() -> None:
    def changed(number: int, count: int) -> dict[str, Any]:
        header = {"fields": {"MutableMarkerHeader": b64(json.dumps({"id": "a", "eventId": 5, "accessCount": count}))}}
        attributes = {"markerName": "MutableSideEffect", "details": b64(str(number)), "header": header}
        return event(number, "MarkerRecorded", attributes)

    raw = [event(1, "WorkflowExecutionStarted", {}), changed(2, 0), changed(3, 3), changed(4, 1)]
    found = [item for item in read_history(raw).events if isinstance(item, history.MarkerRecorded)]
    assert [(item.key, item.count, text(item.value)) for item in found] == [
        ("a", 1, b"2"),
        ("a", 4, b"3"),
        ("a", 5, b"4"),
    ]


def test_version_markers_of_go_and_of_both_layouts_of_java_are_one() -> None:
    go = marker("Version", '"c"\n2\n')
    assert (go.key, go.version) == ("c", 2)
    assert marker("Version", "2", {"MutableMarkerHeader": {"id": "c", "eventId": 5, "accessCount": 0}}) == go
    assert marker("Version", json.dumps({"id": "c", "data": b64("2")})) == go
    assert marker("Version", json.dumps({"id": "c", "data": [ord("2")]})) == go


@pytest.mark.parametrize("upper", [True, False])
def test_a_local_activity_of_go_is_one_object(upper: bool) -> None:
    names = {"ActivityID": "4", "ActivityType": "act", "Attempt": 1, "ResultJSON": '"done"\n'}
    lower = {"activityId": "4", "activityType": "act", "attempt": 1, "resultJson": '"done"\n'}
    found = marker("LocalActivity", json.dumps(names if upper else lower) + "\n")
    assert (found.key, found.activity_type, found.attempt) == ("4", "act", 2)
    assert (text(found.value), found.failure) == (b'"done"', None)
    failed = marker("LocalActivity", json.dumps({"activityId": "4", "errReason": "r", "errJson": "7\n"}))
    assert failed.failure == Failure(type="r", details=split(b"7\n"))
    assert failed.value is None


def test_a_local_activity_of_java_has_a_header() -> None:
    header = {"activityId": "4", "activityType": "ActivityType(name:act)", "attempt": 0}
    done = marker("LocalActivity", '"done"', {"LocalActivityHeader": header})
    assert (done.key, done.activity_type, done.attempt, text(done.value)) == ("4", "act", 1, b'"done"')
    canceled = marker("LocalActivity", "7", {"LocalActivityHeader": {**header, "isCancelled": True}})
    assert canceled.failure == Failure(kind="canceled", details=split(b"7"))
    failed = marker("LocalActivity", "7", {"LocalActivityHeader": {**header, "errReason": "r"}})
    assert (failed.failure, failed.value) == (Failure(type="r", details=split(b"7")), None)


def test_a_marker_of_the_program_keeps_its_details() -> None:
    assert {name: texts(values) for name, values in marker("mine", "1\n2\n").details.items()} == {
        "details": [b"1", b"2"]
    }
    assert marker("mine", "").details == {}


@pytest.mark.parametrize(
    ("name", "details", "words"),
    [
        ("Version", '"c"\n', "found '\"c\"\\n', expected the id of a change and its version"),
        ("Version", "1\n2\n", "expected the id of a change and its version"),
        ("Version", '{"id": "c", "data": ["x"]}', "details.data: found an array, expected an array of bytes"),
        ("MutableSideEffect", "1\n", "expected the id of a side effect and its value"),
        ("LocalActivity", "1\n", "expected the JSON object of a local activity"),
    ],
)
def test_a_marker_that_cannot_be_read_is_told(name: str, details: str, words: str) -> None:
    with pytest.raises(HistoryFormatError) as caught:
        marker(name, details)
    assert str(caught.value).startswith("event at index 1 (id 2), field markerRecordedEventAttributes.details")
    assert words in str(caught.value)


def test_an_unknown_kind_stays_in_its_place_and_none_is_refused() -> None:
    assert read(history.OtherEvent, {}, "Something").name == "Something"
    with pytest.raises(HistoryFormatError, match="eventType: found null"):
        read_history([{"eventId": 1, "timestamp": 3}])
