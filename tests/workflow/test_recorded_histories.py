"""The nineteen recorded histories replay as their INDEX wants, nondeterminism included."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from monkit_workflow import commands
from monkit_workflow.errors import Nondeterminism
from monkit_workflow.history_file import RecordedHistory, read_history
from monkit_workflow.replay import replay
from tests.workflow import recorded_workflows as code

HISTORIES = Path(__file__).parent / "histories"

FINE = {
    "temporal/go-sampleHistory": code.go_sample,
    "temporal/go-workflow1": code.go_workflow1,
    "temporal/go-side-effect": code.go_side_effect,
    "temporal/go-mutable-side-effect": code.go_mutable_side_effect,
    "temporal/go-continue-as-new": code.go_continue_as_new,
    "temporal/go-replay-tests-cancel-order": code.go_cancel_order,
    "temporal/go-cancel-timer-after-activity": code.go_cancel_timer_after_activity,
    "temporal/go-update_accept_and_complete_and_exit": code.GoUpdateAndExit,
    "temporal/py-complete_history": code.PySayHello,
    "temporal/java-complexHistory1": code.java_child,
    "cadence/go_greetings": code.cadence_greetings,
    "cadence/go_branch_parallel": code.cadence_branch,
    "cadence/go_version_three_activities_partial": code.cadence_version,
    "cadence/go_parent_child_signal": code.cadence_parent,
    "cadence/java_timer_cancel_and_fire": code.java_timer_cancel_and_fire,
}
STATUS = {
    "temporal/go-continue-as-new": "continued_as_new",
    "temporal/java-complexHistory1": "failed",
    "cadence/go_version_three_activities_partial": "running",
}
NOT_FINE: dict[tuple[str, Any], tuple[int, str, str]] = {
    ("temporal/go-bad-history-2", code.go_workflow1): (19, "'BAD ACTIVITY'", "'helloworldActivity'"),
    ("temporal/go-bad-continue-as-new", code.go_continue_as_new): (5, "'BadWorkflow'", "'ContinueAsNewWorkflow'"),
    ("temporal/py-nondeterministic_history", code.PySayHello): (5, "'say_hello'", "a timer of 0.1 s"),
    ("temporal/py-complete_history", code.PySayHelloWithSleep): (5, "'say_hello'", "a timer of 1 s"),
    ("cadence/go_greetings", code.cadence_greetings_renamed): (
        5,
        "'main.getGreetingActivity'",
        "'getGreetingActivitytest'",
    ),
    ("cadence/go_branch_parallel", code.cadence_branch_two): (7, "'main.sampleActivity'", "nothing more"),
    ("cadence/go_version_three_activities_partial", code.cadence_version_out_of_range): (5, "version 1", "2 to 3"),
}


def history(name: str) -> RecordedHistory:
    return read_history(HISTORIES / f"{name}.json")


@pytest.mark.parametrize("name", FINE)
def test_recorded_history_replays(name: str) -> None:
    assert replay(history(name), FINE[name]).status == STATUS.get(name, "completed")


@pytest.mark.parametrize(("name", "workflow"), NOT_FINE, ids=lambda item: getattr(item, "__name__", item))
def test_changed_code_is_told_apart_at_the_right_event(name: str, workflow: Any) -> None:
    event_id, recorded, coded = NOT_FINE[name, workflow]
    with pytest.raises(Nondeterminism) as caught:
        replay(history(name), workflow)
    assert caught.value.event_id == event_id
    assert recorded in caught.value.history
    assert coded in caught.value.code


def test_open_task_at_the_end_is_answered_as_a_worker_would() -> None:
    whole = history("cadence/go_activity_cancel_partial")
    cut = RecordedHistory(events=whole.events[:12])  # the next event records a fault of that client
    found = replay(cut, code.cadence_activity_cancel)
    assert Counter(map(type, found.commands[:-1])) == {
        commands.CancelTimer: 1,
        commands.RequestCancelActivityTask: 2,
    }
    assert isinstance(found.commands[-1], commands.CompleteWorkflowExecution)
    cancelled = [item.activity_id for item in found.commands if isinstance(item, commands.RequestCancelActivityTask)]
    assert cancelled == ["2", "3"]
    assert found.result == ["toUpperWithDelay"]


def test_every_recorded_file_is_replayed_by_a_test() -> None:
    files = {str(path.relative_to(HISTORIES).with_suffix("")) for path in HISTORIES.rglob("*.json")}
    tested = {*FINE, *(name for name, _ in NOT_FINE), "cadence/go_activity_cancel_partial"}
    assert files == tested
    assert len(files) == 19
