"""Temporal's files: what each field and each SDK's marker becomes, whatever the spelling."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any, TypeVar

import pytest

from monkit_workflow import history
from monkit_workflow.errors import HistoryFormatError
from monkit_workflow.history_file import RecordedHistory, read_history
from monkit_workflow.payload import Failure, Payload, RetryPolicy, json_payload

TEMPORAL = Path(__file__).parent / "histories" / "temporal"
STARTED = {"workflowType": {"name": "order"}}
E = TypeVar("E", bound=history.Event)


def recorded(name: str) -> RecordedHistory:
    return read_history(TEMPORAL / f"{name}.json")


def b64(text: str | bytes) -> str:
    return base64.b64encode(text.encode() if isinstance(text, str) else text).decode()


def payload(value: Any, encoding: str = "json/plain") -> dict[str, Any]:
    return {"metadata": {"encoding": b64(encoding)}, "data": b64(json.dumps(value))}


def payloads(*values: Any) -> dict[str, Any]:
    return {"payloads": [payload(value) for value in values]}


def event(number: int, kind: str, attributes: Any) -> dict[str, Any]:
    key = f"{kind[0].lower()}{kind[1:]}EventAttributes"
    return {"eventId": str(number), "eventTime": "2024-01-01T00:00:00Z", "eventType": kind, key: attributes}


def read(kind: type[E], attributes: dict[str, Any]) -> E:
    if kind is history.WorkflowExecutionStarted:
        found = read_history([event(1, kind.__name__, attributes)]).events[0]
    else:
        started = event(1, "WorkflowExecutionStarted", STARTED)
        found = read_history([started, event(2, kind.__name__, attributes)]).events[1]
    assert isinstance(found, kind)
    return found


def marker(name: str, **attributes: Any) -> history.MarkerRecorded:
    return read(history.MarkerRecorded, {"markerName": name, "workflowTaskCompletedEventId": "4", **attributes})


def texts(values: tuple[Payload, ...]) -> list[bytes]:
    return [bytes(value.data) for value in values]


def text(value: Payload | None) -> bytes | None:
    return None if value is None else bytes(value.data)


def test_start_of_a_recorded_run_is_read_in_full() -> None:
    started = recorded("java-complexHistory1").events[0]
    assert isinstance(started, history.WorkflowExecutionStarted)
    assert (started.workflow_type, started.attempt, started.identity) == ("TestWorkflow1", 1, "worker")
    assert (started.timeout_ns, started.task_timeout_ns) == (20_000_000_000, 2_000_000_000)
    assert started.time_ns == 1_594_739_135_000_000_000
    assert len(started.input) == 1
    timer = recorded("go-cancel-timer-after-activity").events[0]
    assert isinstance(timer, history.WorkflowExecutionStarted)
    assert timer.retry_expires_ns == 1_607_638_736_248_000_000
    assert timer.time_ns == 1_607_638_721_248_154_805


def test_activity_of_a_recorded_run_is_read_in_full() -> None:
    activity = recorded("go-workflow1").events[6]
    assert isinstance(activity, history.ActivityTaskScheduled)
    assert activity.activity_type == "helloworldActivity"
    assert activity.schedule_to_start_ns == activity.start_to_close_ns == 60_000_000_000
    assert (activity.heartbeat_ns, activity.task_completed_id) == (20_000_000_000, 4)
    scheduled = recorded("go-bad-history-2").events[18]
    assert isinstance(scheduled, history.ActivityTaskScheduled)
    assert scheduled.activity_type == "BAD ACTIVITY"
    assert scheduled.retry == RetryPolicy(initial_ns=10**9, coefficient=2.0, maximum_interval_ns=100 * 10**9)
    assert texts(scheduled.input) == [b'"Workflow1"']


def test_update_of_a_recorded_run_has_its_request_and_outcome() -> None:
    accepted, completed = recorded("go-update_accept_and_complete_and_exit").events[4:6]
    assert isinstance(accepted, history.WorkflowExecutionUpdateAccepted)
    assert (accepted.name, texts(accepted.input)) == ("update", [b"0"])
    assert accepted.update_id == "cb7d7c1f-c3d9-4525-b803-e2d2dcec2679"
    assert isinstance(completed, history.WorkflowExecutionUpdateCompleted)
    assert (completed.update_id, completed.result, completed.failure) == (accepted.update_id, None, None)


def test_child_failure_of_a_recorded_run_is_a_chain() -> None:
    child, whole = recorded("java-complexHistory1").events[9], recorded("java-complexHistory1").events[13]
    assert isinstance(child, history.ChildWorkflowExecutionFailed)
    assert (child.failure.kind, child.failure.message) == ("application", "simulated failure")
    assert child.failure.type == "java.lang.UnsupportedOperationException"
    assert child.failure.stack.startswith("io.temporal.workflow")
    assert isinstance(whole, history.WorkflowExecutionFailed)
    assert (whole.failure.kind, whole.failure.type) == ("child", "ITestChild")
    assert whole.failure.run_id == child.run_id
    assert whole.failure.cause is not None
    assert whole.failure.cause.type == child.failure.type


def test_mutable_side_effects_of_a_recorded_run_say_at_which_call_they_changed() -> None:
    markers = [
        found for found in recorded("go-mutable-side-effect").events if isinstance(found, history.MarkerRecorded)
    ]
    assert [found.count for found in markers] == [1, 4, 6, 7, 9, 11]
    assert [text(found.value) for found in markers] == [b"0", b"1", b"2", b"3", b"4", b"5"]
    assert {found.key for found in markers} == {"side-effect-1"}


def test_upsert_of_a_change_version_stays_an_event() -> None:
    upsert = recorded("go-bad-history-2").events[5]
    assert isinstance(upsert, history.UpsertWorkflowSearchAttributes)
    value = upsert.attributes["TemporalChangeVersion"]
    assert (bytes(value.data), value.metadata) == (b'["test-change-1"]', {"type": "Keyword"})


@pytest.mark.parametrize("path", sorted(TEMPORAL.glob("*.json")), ids=lambda path: path.stem)
def test_new_and_snake_case_spellings_read_the_same(path: Path) -> None:
    def snake(name: str) -> str:
        return re.sub("(?<!^)([A-Z])", r"_\1", name).lower()

    def respelled(value: Any) -> Any:
        if isinstance(value, list):
            return [respelled(item) for item in value]
        if not isinstance(value, dict):
            return value
        keep = {"messageType", "TemporalChangeVersion"}
        return {key if key in keep else snake(key): respelled(item) for key, item in value.items()}

    raw = json.loads(path.read_bytes())["events"]
    screaming = [{**item, "eventType": "EVENT_TYPE_" + snake(item["eventType"]).upper()} for item in raw]
    if not raw[0]["eventType"].startswith("EVENT_TYPE_"):
        assert read_history(screaming) == read_history(path)
        assert read_history(respelled(screaming)) == read_history(path)


@pytest.mark.parametrize(
    ("written", "nanoseconds"),
    [
        ("300s", 300 * 10**9),
        ("0.5s", 500_000_000),
        ("1.000000001s", 1_000_000_001),
        ("-1s", 0),
        ("315576000000s", 2**63 - 1),
        ({"seconds": "2", "nanos": 5}, 2_000_000_005),
        (None, 0),
    ],
)
def test_durations_are_nanoseconds(written: Any, nanoseconds: int) -> None:
    found = read(history.TimerStarted, {"timerId": "1", "startToFireTimeout": written})
    assert found.duration_ns == nanoseconds


@pytest.mark.parametrize(
    ("written", "nanoseconds"),
    [
        ("1970-01-01T00:00:01.5Z", 1_500_000_000),
        ("1970-01-01T02:00:01+02:00", 1_000_000_000),
        ("0001-01-01T00:00:00Z", 0),
        ({"seconds": 3}, 3_000_000_000),
        (None, 0),
    ],
)
def test_times_are_nanoseconds_since_the_epoch(written: Any, nanoseconds: int) -> None:
    found = read(history.WorkflowExecutionStarted, {**STARTED, "workflowExecutionExpirationTime": written})
    assert found.retry_expires_ns == nanoseconds


@pytest.mark.parametrize("spelling", ["START_TO_CLOSE", "TIMEOUT_TYPE_START_TO_CLOSE", "StartToClose"])
def test_enumerations_are_read_in_every_spelling(spelling: str) -> None:
    info = {"timeoutType": spelling, "lastHeartbeatDetails": payloads(7)}
    failure = {"message": "late", "timeoutFailureInfo": info, "cause": {"message": "before"}}
    found = read(history.ActivityTaskTimedOut, {"scheduledEventId": "5", "failure": failure})
    assert (found.timeout, texts(found.details)) == ("start_to_close", [b"7"])
    assert found.failure == Failure(message="before")
    policies = {"workflowIdReusePolicy": "AllowDuplicateFailedOnly", "parentClosePolicy": "PARENT_CLOSE_POLICY_ABANDON"}
    child = read(history.StartChildWorkflowExecutionInitiated, {"workflowId": "c", **policies})
    assert (child.id_reuse, child.parent_close) == ("failed_only", "abandon")


@pytest.mark.parametrize(
    "cause",
    [
        "SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_FAILED_CAUSE_EXTERNAL_WORKFLOW_EXECUTION_NOT_FOUND",
        "ExternalWorkflowExecutionNotFound",
        None,
    ],
)
def test_a_refusal_has_our_word_for_its_cause(cause: str | None) -> None:
    assert read(history.SignalExternalWorkflowExecutionFailed, {"cause": cause}).cause == "not_found"
    other = read(history.SignalExternalWorkflowExecutionFailed, {"cause": "SignalCountLimitExceeded"})
    assert other.cause == "signal_count_limit_exceeded"
    child = read(history.StartChildWorkflowExecutionFailed, {"cause": "WorkflowAlreadyExists"})
    assert child.cause == "already_started"


def test_payloads_keep_null_among_arguments_and_drop_it_as_a_result() -> None:
    null = {"metadata": {"encoding": b64("binary/null")}}
    values = {"payloads": [payload([1, 2]), null, {"metadata": {"encoding": b64("binary/plain")}, "data": b64(b"\0")}]}
    signal = read(history.WorkflowExecutionSignaled, {"signalName": "s", "input": values})
    assert texts(signal.input) == [b"[1, 2]", b"null", b"\0"]
    assert read(history.ActivityTaskCompleted, {"result": {"payloads": [null]}}).result is None
    assert read(history.ActivityTaskCompleted, {"result": None}).result is None
    assert text(read(history.ActivityTaskCompleted, {"result": payloads(None)}).result) == b"null"


def test_payloads_of_other_encodings_keep_bytes_and_metadata() -> None:
    message = {"metadata": {"encoding": b64("json/protobuf"), "messageType": b64("a.B")}, "data": b64("{}")}
    broken = {"metadata": {"encoding": b64("json/plain")}, "data": b64("{")}
    found = read(history.WorkflowExecutionSignaled, {"signalName": "s", "input": {"payloads": [message, broken]}})
    assert found.input == (
        Payload(binary=b"{}", encoding="json/protobuf", metadata={"messageType": "a.B"}),
        Payload(binary=b"{", encoding="binary/plain"),
    )


def test_shorthand_payloads_are_plain_values() -> None:
    found = read(
        history.WorkflowExecutionStarted,
        {**STARTED, "input": [{"a": 1}, None, payload("x")], "memo": {"fields": {"note": "hi"}}},
    )
    assert texts(found.input) == [b'{"a":1}', b"null", b'"x"']
    assert found.memo == {"note": json_payload(b'"hi"')}


def test_each_kind_of_failure_is_told() -> None:
    def failure(**info: Any) -> Failure:
        return read(history.WorkflowExecutionFailed, {"failure": {"message": "m", **info}}).failure

    application = failure(applicationFailureInfo={"type": "T", "nonRetryable": True, "details": payloads(1)})
    assert (application.kind, application.type, application.non_retryable) == ("application", "T", True)
    assert texts(application.details) == [b"1"]
    assert failure(canceledFailureInfo={"details": payloads(2)}).kind == "canceled"
    assert failure(terminatedFailureInfo={}).kind == "terminated"
    assert failure(serverFailureInfo={"nonRetryable": True}).non_retryable
    activity = failure(activityFailureInfo={"activityType": {"name": "a"}, "activityId": "5"}, cause={"message": "c"})
    assert (activity.kind, activity.type, activity.id) == ("activity", "a", "5")
    assert activity.cause == Failure(message="c")
    task = read(history.WorkflowTaskFailed, {"scheduledEventId": "2", "cause": "RESET_WORKFLOW"})
    assert task.failure.type == "RESET_WORKFLOW"


def test_version_markers_of_go_java_and_the_core_are_one() -> None:
    go = marker("Version", details={"change-id": payloads("c"), "version": payloads(3)})
    java = marker("Version", details={"changeId": payloads("c"), "version": payloads(3), "upsertSA": payloads(True)})
    assert (go.name, go.key, go.version, go.task_completed_id) == ("Version", "c", 3, 4)
    assert java == go
    core = marker("core_patch", details={"patch-data": payloads({"id": "p", "deprecated": False})})
    old = marker("core_patch", details={"patch_id": {"payloads": [{"data": b64("p")}]}})
    assert (core.name, core.key, core.version) == ("Version", "p", 1)
    assert old == core


def test_side_effect_markers_of_go_and_java_hold_the_value() -> None:
    go = marker("SideEffect", details={"side-effect-id": payloads(1), "data": payloads(81)})
    assert (go.key, text(go.value)) == ("1", b"81")
    assert text(marker("SideEffect", details={"data": payloads([1])}).value) == b"[1]"


def test_skip_counts_of_java_become_numbers_of_calls() -> None:
    def changed(number: int, key: str, skipped: int) -> dict[str, Any]:
        details = {"id": payloads(key), "data": payloads(number), "skipCount": payloads(skipped)}
        return event(number, "MarkerRecorded", {"markerName": "MutableSideEffect", "details": details})

    raw = [
        event(1, "WorkflowExecutionStarted", STARTED),
        changed(2, "a", 0),
        changed(3, "a", 2),
        changed(4, "b", 0),
        changed(5, "a", 0),
    ]
    markers = [found for found in read_history(raw).events if isinstance(found, history.MarkerRecorded)]
    assert [(found.key, found.count) for found in markers] == [("a", 1), ("a", 4), ("b", 1), ("a", 5)]
    assert text(markers[1].value) == b"3"


def test_local_activity_markers_of_every_sdk_are_one() -> None:
    result = payloads("done")
    go = marker(
        "LocalActivity",
        details={"data": payloads({"ActivityID": "1", "ActivityType": "act", "Attempt": 2}), "result": result},
    )
    core = marker(
        "core_local_activity",
        details={"data": payloads({"activity_id": "1", "activity_type": "act", "attempt": 2}), "result": result},
    )
    java = marker(
        "LocalActivity",
        details={
            "activityId": payloads("1"),
            "type": payloads("act"),
            "meta": payloads({"atpt": 2}),
            "result": result,
        },
    )
    assert (go.name, go.key, go.activity_type, go.attempt) == ("LocalActivity", "1", "act", 2)
    assert text(go.value) == b'"done"'
    assert go == core == java
    failed = marker("core_local_activity", details={"data": payloads({})}, failure={"message": "no"})
    assert (failed.value, failed.failure) == (None, Failure(message="no"))


def test_a_marker_of_the_program_keeps_its_details() -> None:
    found = marker("mine", details={"a-b": payloads(1, 2), "none": None})
    assert found.name == "mine"
    assert {name: texts(values) for name, values in found.details.items()} == {"a-b": [b"1", b"2"], "none": []}


def test_an_event_of_an_unknown_kind_stays_in_its_place() -> None:
    raw = [event(1, "WorkflowExecutionStarted", {**STARTED, "workflowId": "w-1"}), {"eventId": 2}]
    raw[1]["eventType"] = "EVENT_TYPE_NEXUS_OPERATION_SCHEDULED"
    whole = read_history(raw)
    assert whole.events[1] == history.OtherEvent(id=2, time_ns=0, name="NexusOperationScheduled")
    assert whole.workflow_id == "w-1"


@pytest.mark.parametrize(
    ("kind", "attributes", "words"),
    [
        ("TimerStarted", None, "field timerStartedEventAttributes: found null, expected the attributes"),
        ("TimerStarted", {"timerId": 3}, "field timerStartedEventAttributes.timerId: found 3, expected a string"),
        ("TimerStarted", {"startToFireTimeout": "soon"}, "startToFireTimeout: found 'soon', expected a duration"),
        ("TimerFired", {"startedEventId": "x"}, "startedEventId: found 'x', expected an integer of 64 bits"),
        ("TimerFired", {"startedEventId": True}, "startedEventId: found true, expected an integer"),
        ("ActivityTaskScheduled", {"activityType": "a"}, "activityType.name: found 'a', expected an object"),
        ("ActivityTaskScheduled", {"retryPolicy": {"backoffCoefficient": "2"}}, "backoffCoefficient: found '2'"),
        ("ActivityTaskScheduled", {"retryPolicy": {"nonRetryableErrorTypes": [1]}}, "expected strings only"),
        ("WorkflowExecutionSignaled", {"input": {"payloads": 3}}, "input.payloads: found 3, expected an array"),
        (
            "WorkflowExecutionSignaled",
            {"input": {"payloads": [{"metadata": {}, "data": "?"}]}},
            "input.payloads[0].data: found '?', expected base64",
        ),
        (
            "StartChildWorkflowExecutionInitiated",
            {"parentClosePolicy": "MAYBE"},
            "parentClosePolicy: found 'MAYBE', expected one of terminate",
        ),
        ("MarkerRecorded", None, "markerRecordedEventAttributes: found null"),
        ("MarkerRecorded", {"markerName": "Version"}, "details.version: found null, expected the id of a change"),
        ("MarkerRecorded", {"markerName": "core_patch"}, "details.patch-data: found null, expected the id of a patch"),
    ],
)
def test_what_is_wrong_is_told_with_event_and_field(kind: str, attributes: Any, words: str) -> None:
    raw = [event(1, "WorkflowExecutionStarted", STARTED), event(2, kind, attributes)]
    with pytest.raises(HistoryFormatError) as caught:
        read_history(raw)
    assert str(caught.value).startswith("event at index 1 (id 2), field ")
    assert words in str(caught.value)


def test_an_event_without_a_time_that_can_be_read_or_a_type_is_refused() -> None:
    for change, words in (({"eventTime": "2020-13-01T00:00:00Z"}, "a time such as"), ({"eventType": ""}, "type")):
        with pytest.raises(HistoryFormatError, match=words):
            read_history([{**event(1, "WorkflowExecutionStarted", STARTED), **change}])
