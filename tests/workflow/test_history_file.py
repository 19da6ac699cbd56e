"""Every recorded history is read, written in our form and read again; what is no history is told."""

from __future__ import annotations

import contextlib
import copy
import json
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monkit_workflow import history
from monkit_workflow.errors import HistoryFormatError
from monkit_workflow.history_file import RecordedHistory, read_history, write_history
from monkit_workflow.payload import Failure, Payload, RetryPolicy, json_payload

HISTORIES = Path(__file__).parent / "histories"
FILES = sorted(HISTORIES.glob("*/*.json"))
NAMES = [f"{path.parent.name}/{path.stem}" for path in FILES]
COUNTS = {
    "cadence/go_activity_cancel_partial": 14,
    "cadence/go_branch_parallel": 17,
    "cadence/go_greetings": 23,
    "cadence/go_parent_child_signal": 19,
    "cadence/go_version_three_activities_partial": 22,
    "cadence/java_timer_cancel_and_fire": 18,
    "temporal/go-bad-continue-as-new": 5,
    "temporal/go-bad-history-2": 25,
    "temporal/go-cancel-timer-after-activity": 13,
    "temporal/go-continue-as-new": 5,
    "temporal/go-mutable-side-effect": 21,
    "temporal/go-replay-tests-cancel-order": 17,
    "temporal/go-sampleHistory": 11,
    "temporal/go-side-effect": 12,
    "temporal/go-update_accept_and_complete_and_exit": 7,
    "temporal/go-workflow1": 25,
    "temporal/java-complexHistory1": 14,
    "temporal/py-complete_history": 11,
    "temporal/py-nondeterministic_history": 11,
}


def recorded(name: str) -> RecordedHistory:
    return read_history(HISTORIES / f"{name}.json")


def raw_events(path: Path) -> list[dict[str, Any]]:
    document = json.loads(path.read_bytes())
    events: list[dict[str, Any]] = document["events"] if isinstance(document, dict) else document
    return events


def kind_in_file(event: dict[str, Any]) -> str:
    name: str = event["eventType"].replace("DecisionTask", "WorkflowTask")
    if name.startswith("EVENT_TYPE_"):
        name = "".join(part.capitalize() for part in name.removeprefix("EVENT_TYPE_").split("_"))
    return name


def minimal(*more: dict[str, Any], **head: Any) -> dict[str, Any]:
    started = {"type": "WorkflowExecutionStarted", "id": 1, "time_ns": 5, "workflow_type": "order"}
    return {"format": "monkit-workflow-history", "version": 1, "events": [started, *more], **head}


def test_every_recorded_file_is_here() -> None:
    assert sorted(COUNTS) == NAMES


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_each_event_of_a_recorded_file_is_read_as_what_it_is(path: Path) -> None:
    events = read_history(path).events
    raw = raw_events(path)
    assert len(events) == COUNTS[f"{path.parent.name}/{path.stem}"]
    assert [event.id for event in events] == [int(event["eventId"]) for event in raw]
    assert [type(event).__name__ for event in events] == [kind_in_file(event) for event in raw]
    assert all(event.time_ns > 1_500_000_000_000_000_000 for event in events)


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_our_form_of_a_recorded_file_reads_back_equal_and_is_stable(path: Path) -> None:
    first = read_history(path)
    written = write_history(first)
    again = read_history(written)
    assert again == first
    assert write_history(again) == written
    assert len(written.splitlines()) == len(first.events) + 8  # an event a line


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_a_path_its_bytes_and_the_parsed_document_are_the_same(path: Path) -> None:
    from_path = read_history(path)
    assert read_history(str(path)) == from_path
    assert read_history(path.read_bytes()) == from_path
    assert read_history(b"\xef\xbb\xbf" + path.read_bytes()) == from_path
    assert read_history(json.loads(path.read_bytes())) == from_path
    assert read_history({"events": raw_events(path)}) == from_path
    assert read_history({"history": {"events": raw_events(path)}}) == from_path


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_foreign_events_name_no_behaviour_of_ours(path: Path) -> None:
    tasks = [event for event in read_history(path).events if isinstance(event, history.WorkflowTaskCompleted)]
    assert {task.behaviour for task in tasks} == {0}


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_ids_of_other_events_lead_to_events_of_the_right_kind(path: Path) -> None:
    events = read_history(path).events
    for event in events:
        task = getattr(event, "task_completed_id", 0)
        assert not task or isinstance(events[task - 1], history.WorkflowTaskCompleted)
        if isinstance(event, history.ActivityTaskCompleted):
            assert isinstance(events[event.scheduled_id - 1], history.ActivityTaskScheduled)
            assert isinstance(events[event.started_id - 1], history.ActivityTaskStarted)
        if isinstance(event, history.TimerFired | history.TimerCanceled):
            timer = events[event.started_id - 1]
            assert isinstance(timer, history.TimerStarted)
            assert timer.timer_id == event.timer_id


def test_run_id_is_the_one_that_the_run_was_started_with() -> None:
    assert recorded("temporal/go-workflow1").run_id == "32c62bbb-dfa3-4558-8bab-11cd5b4e17b7"
    assert recorded("cadence/go_parent_child_signal").run_id == "0ea65eda-a0db-4a59-bef3-dce48e8484f8"
    assert recorded("cadence/go_activity_cancel_partial").run_id == ""


def test_our_form_keeps_ids_and_every_kind_of_value() -> None:
    failure = Failure(kind="activity", message="no", cause=Failure(kind="timeout", timeout="heartbeat"))
    events = (
        history.WorkflowExecutionStarted(
            id=1,
            time_ns=2,
            workflow_type="order",
            input=(json_payload(b'{"a":  [1, 2]}'), Payload(binary=b"\x00\xff", encoding="binary/plain")),
            retry=RetryPolicy(initial_ns=1, attempts=3),
            last_failure=failure,
            memo={"ü": json_payload(b"null")},
        ),
        history.OtherEvent(id=2, time_ns=3, name="Nexus"),
    )
    whole = RecordedHistory(events, "order-17", "run-1")
    written = write_history(whole)
    assert read_history(written) == whole
    assert read_history(json.loads(written)).workflow_id == "order-17"
    assert b'{"a":  [1, 2]}' in written  # the payload's text is not touched


def test_every_kind_of_event_can_be_written_and_read() -> None:
    made: list[history.Event] = []
    for name in history.__all__:
        kind = getattr(history, name)
        if not (isinstance(kind, type) and issubclass(kind, history.Event)) or kind is history.Event:
            continue
        values: dict[str, Any] = {"id": len(made) + 1, "time_ns": 1}
        for field in msgspec.structs.fields(kind):
            if field.required and field.name not in values:
                number = field.name.endswith(("_id", "_ns")) and field.type is int
                values[field.name] = 7 if number else Failure() if field.name == "failure" else "heartbeat"
        made.append(kind(**values))
    whole = RecordedHistory(tuple(made))
    assert read_history(write_history(whole)) == whole
    assert len(made) == len(set(map(type, made))) >= 45


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (b"", "no JSON"),
        (b"{", "no JSON"),
        (b"\xff\xfe", "no JSON"),
        (b"null", "null without an array of events"),
        (b"7", "7 without an array"),
        (b"{}", "an object without an array"),
        (b'{"events": null}', "an object without an array"),
        (b"[]", "no events"),
        (b'{"events": []}', "no events"),
        (b"[3]", "event at index 0 (no id): found 3"),
        (b'[{"id": 1}]', "neither time nor known type"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"events":' * 50_000, "nested too deeply"),
    ],
)
def test_what_is_no_history_is_told(source: bytes, words: str) -> None:
    with pytest.raises(HistoryFormatError) as caught:
        read_history(source)
    assert words in str(caught.value)
    assert "expected" in str(caught.value)


@pytest.mark.parametrize(
    ("document", "words"),
    [
        (minimal(version=2), "version 2 of our form, expected 1; a later monkit_workflow"),
        (minimal(version=True), "version true"),
        (minimal(events=3), "without an array of events"),
        (minimal(events=[]), "no events"),
        (minimal(run_id=3), "a workflow_id or run_id that is no string"),
        (minimal({"type": "TimerFired", "id": 2}), "event at index 1 (id 2): Object missing required field `timer_id`"),
        (minimal({"type": "Nonsense", "id": 2}), "event at index 1 (id 2), field type: Invalid value 'Nonsense'"),
        (
            minimal({"type": "TimerFired", "id": 2, "time_ns": 1, "timer_id": 3, "started_id": 1}),
            "event at index 1 (id 2), field timer_id: Expected `str`, got `int`",
        ),
        (minimal({"type": "OtherEvent", "id": 4, "time_ns": 1, "name": "x"}), "event at index 1 (id 4), field id"),
    ],
)
def test_what_is_wrong_in_our_form_is_told(document: dict[str, Any], words: str) -> None:
    with pytest.raises(HistoryFormatError) as caught:
        read_history(document)
    assert words in str(caught.value)


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_a_gap_in_the_ids_is_refused_at_its_event(path: Path) -> None:
    raw = raw_events(path)
    with pytest.raises(HistoryFormatError, match="found id 4, expected 3") as caught:
        read_history(raw[:2] + raw[3:])
    assert (caught.value.index, caught.value.event_id, caught.value.field) == (2, 4, "id")
    with pytest.raises(HistoryFormatError, match="found id 2, expected 1"):
        read_history(raw[1:])


def test_parsed_documents_may_hold_what_json_cannot() -> None:
    circle: list[Any] = []
    circle.append(circle)
    for source in ([object()], {"events": [{"eventType": "\ud800"}]}, circle, {(1, 2): 3}):
        with pytest.raises(HistoryFormatError):
            read_history(source)  # type: ignore[arg-type]


def test_a_missing_file_is_the_systems_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_history(tmp_path / "none.json")


def places(document: Any) -> list[tuple[Any, Any]]:
    """Every container with each of its keys, outermost first."""
    found: list[tuple[Any, Any]] = []
    waiting = [document]
    while waiting:
        holder = waiting.pop()
        keys = list(holder) if isinstance(holder, dict) else range(len(holder))
        found.extend((holder, key) for key in keys)
        waiting.extend(holder[key] for key in keys if isinstance(holder[key], dict | list))
    return found


JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(),
    st.sampled_from(["", "-1s", "9" * 30, "bnVsbA==", "W1s=", "EVENT_TYPE_", "MarkerRecorded", "2020-13-01T00:00:00Z"]),
    st.sampled_from(
        ["Version", "SideEffect", "MutableSideEffect", "LocalActivity", "core_patch", "core_local_activity"]
    ),
    st.sampled_from([[], {}, [None], [[]], {"payloads": None}, {"payloads": [None, 3]}, {"seconds": 1 << 70}]),
    st.recursive(st.none() | st.text(max_size=5), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)),
)
OURS = [json.loads(write_history(read_history(path))) for path in FILES]


@settings(max_examples=600, deadline=None)
@given(st.data())
def test_a_garbled_file_reads_or_is_refused_and_what_reads_can_be_written(data: st.DataObject) -> None:
    chosen = data.draw(st.integers(0, 2 * len(FILES) - 1))
    document = json.loads(json.dumps(OURS[chosen // 2])) if chosen % 2 else json.loads(FILES[chosen // 2].read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        found = places(document)
        if not found:
            break
        holder, key = found[data.draw(st.integers(0, len(found) - 1))]
        if data.draw(st.booleans()) and isinstance(holder, dict):
            del holder[key]
        else:
            holder[key] = copy.deepcopy(data.draw(JUNK))  # a later change must not reach the strategy
    try:
        first = read_history(json.dumps(document).encode())
    except HistoryFormatError:
        return
    assert read_history(write_history(first)) == first


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_cut_or_scratched_file_reads_or_is_refused(data: st.DataObject) -> None:
    text = bytearray(data.draw(st.sampled_from(FILES)).read_bytes())
    if data.draw(st.booleans()):
        del text[data.draw(st.integers(0, len(text))) :]
    for _ in range(data.draw(st.integers(0, 4)) if text else 0):
        text[data.draw(st.integers(0, len(text) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(HistoryFormatError):
        assert read_history(bytes(text)).events


def test_the_kinds_in_the_recorded_files_are_those_that_the_index_tells() -> None:
    def kinds(name: str) -> Counter[str]:
        return Counter(type(event).__name__ for event in recorded(name).events)

    assert kinds("temporal/go-workflow1")["ActivityTaskScheduled"] == 3
    assert kinds("temporal/go-mutable-side-effect")["MarkerRecorded"] == 6
    assert kinds("temporal/go-cancel-timer-after-activity")["TimerCanceled"] == 1
    assert kinds("cadence/go_branch_parallel")["ActivityTaskCompleted"] == 3
    assert kinds("cadence/java_timer_cancel_and_fire")["TimerStarted"] == 2
