"""What nondeterminism is told in: every command and event has words that a newcomer understands."""

from __future__ import annotations

import pytest

from monkit_workflow import commands as c
from monkit_workflow import history as h
from monkit_workflow.errors import Nondeterminism
from monkit_workflow.matching import ADVICE, Pending, match, show_command, show_event
from monkit_workflow.payload import Failure, json_payload

WORDS: list[tuple[c.Command, str]] = [
    (c.ScheduleActivityTask(activity_id="1", activity_type="charge"), "asked for the activity 'charge'"),
    (c.RequestCancelActivityTask(activity_id="1"), "cancelled the activity with the id '1'"),
    (c.StartTimer(timer_id="2", duration_ns=1_500_000_000), "asked for a timer of 1.5 s"),
    (c.CancelTimer(timer_id="2"), "cancelled the timer with the id '2'"),
    (c.StartChildWorkflowExecution(workflow_id="w", workflow_type="Order"), "asked for the child workflow 'Order'"),
    (c.SignalExternalWorkflowExecution(workflow_id="w", name="go"), "sent the signal 'go' to 'w'"),
    (c.RequestCancelExternalWorkflowExecution(workflow_id="w"), "asked 'w' to cancel"),
    (c.RecordMarker(name="SideEffect"), "recorded a SideEffect ''"),
    (c.CompleteWorkflowExecution(result=json_payload(b"[1]")), "returned [1]"),
    (c.CompleteWorkflowExecution(), "returned None"),
    (c.FailWorkflowExecution(failure=Failure(message="no", type="Mine")), "failed with Mine: no"),
    (c.ContinueAsNewWorkflowExecution(workflow_type="Order"), "continued as new 'Order'"),
    (c.CancelWorkflowExecution(), "gave the command CancelWorkflowExecution"),
]


@pytest.mark.parametrize(("command", "words"), WORDS, ids=lambda item: type(item).__name__)
def test_command_is_told_in_words(command: c.Command, words: str) -> None:
    assert show_command(command) == words


@pytest.mark.parametrize(
    ("event", "words"),
    [
        (h.TimerStarted(id=1, time_ns=0, timer_id="1", duration_ns=2_000_000_000), "TimerStarted of 2 s"),
        (h.ActivityTaskScheduled(id=1, time_ns=0, activity_id="1", activity_type="a"), "ActivityTaskScheduled 'a'"),
        (h.WorkflowExecutionCompleted(id=1, time_ns=0), "WorkflowExecutionCompleted with None"),
        (h.WorkflowExecutionCanceled(id=1, time_ns=0), "WorkflowExecutionCanceled"),
    ],
    ids=lambda item: type(item).__name__,
)
def test_event_is_told_in_words(event: h.Event, words: str) -> None:
    assert show_event(event) == words


def test_command_beyond_the_history_is_told_at_the_end_of_its_task() -> None:
    with pytest.raises(Nondeterminism) as caught:
        match([Pending(c.StartTimer(timer_id="1", duration_ns=10**9))], [], 4)
    assert (caught.value.event_id, caught.value.history) == (4, "nothing more of this task")
    assert caught.value.code == "asked for a timer of 1 s"
    assert ADVICE in str(caught.value)


def test_result_is_compared_as_a_value_and_not_as_bytes() -> None:
    event = h.WorkflowExecutionCompleted(id=5, time_ns=0, result=json_payload(b'{"a": 1, "b": 2}'))
    command = c.CompleteWorkflowExecution(result=json_payload(b'{"b":2,"a":1}'))
    assert len(match([Pending(command)], [event], 4)) == 1
    other = c.CompleteWorkflowExecution(result=json_payload(b'{"a":1}'))
    with pytest.raises(Nondeterminism, match=r"the code returned \{'a': 1\}"):
        match([Pending(other)], [event], 4)
    null = h.WorkflowExecutionCompleted(id=5, time_ns=0, result=json_payload(b"null"))
    assert len(match([Pending(c.CompleteWorkflowExecution())], [null], 4)) == 1
