"""``python -m benchmarks.replay``: how fast a history is replayed, beside the official SDK of Temporal.

The history is that of a workflow that calls 250 activities one after another:
1,505 events, six an activity. Ours is replayed from events in memory (what a
worker has) and from the text of a history file; the peer replays the same
events as Temporal's JSON, with its sandbox (as it is shipped) and without. The
peer needs ``temporalio``, of the extra ``bench``; without it only ours is shown.
"""

from __future__ import annotations

import asyncio
import json
import time
from base64 import b64encode
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from monkit_workflow import history as h
from monkit_workflow import replay, workflow, write_history
from monkit_workflow.history_file import RecordedHistory
from monkit_workflow.payload import json_payload

ACTIVITIES = 250
ROUNDS = 9
_BEGAN_NS = 1_700_000_000_000_000_000
_STEP_NS = 1_000_000


@workflow.define(name="Sequence")
async def sequence(count: int) -> int:
    """Call an activity *count* times."""
    total = 0
    for place in range(count):
        total += await workflow.execute_activity("step", place, returns=int, start_to_close=timedelta(seconds=10))
    return total


class _Writer:
    def __init__(self) -> None:
        self.events: list[h.Event] = []

    def add(self, kind: Callable[..., h.Event], **fields: Any) -> int:
        number = len(self.events) + 1
        self.events.append(kind(id=number, time_ns=_BEGAN_NS + number * _STEP_NS, **fields))
        return number


def recorded() -> RecordedHistory:
    """The history, as our service writes it."""
    writer = _Writer()
    writer.add(
        h.WorkflowExecutionStarted,
        workflow_type="Sequence",
        task_queue="bench",
        run_id="run",
        input=(json_payload(str(ACTIVITIES).encode()),),
        timeout_ns=10**15,
    )
    for place in range(ACTIVITIES + 1):
        scheduled = writer.add(h.WorkflowTaskScheduled, task_queue="bench")
        started = writer.add(h.WorkflowTaskStarted, scheduled_id=scheduled)
        writer.add(h.WorkflowTaskCompleted, scheduled_id=scheduled, started_id=started, behaviour=1)
        if place == ACTIVITIES:
            break
        asked = writer.add(
            h.ActivityTaskScheduled, activity_id=str(place + 1), activity_type="step", start_to_close_ns=10**10
        )
        begun = writer.add(h.ActivityTaskStarted, scheduled_id=asked)
        writer.add(h.ActivityTaskCompleted, scheduled_id=asked, started_id=begun, result=json_payload(b"1"))
    writer.add(h.WorkflowExecutionCompleted, result=json_payload(str(ACTIVITIES).encode()))
    return RecordedHistory(events=tuple(writer.events), workflow_id="bench", run_id="run")


def _payload(text: str) -> dict[str, Any]:
    return {"metadata": {"encoding": b64encode(b"json/plain").decode()}, "data": b64encode(text.encode()).decode()}


def as_temporal(history: RecordedHistory) -> str:
    """The same events in Temporal's JSON."""
    events = []
    for event in history.events:
        name = type(event).__name__
        attributes: dict[str, Any] = {}
        match event:
            case h.WorkflowExecutionStarted():
                attributes = {
                    "workflowType": {"name": event.workflow_type},
                    "taskQueue": {"name": "bench"},
                    "input": {"payloads": [_payload(str(ACTIVITIES))]},
                    "originalExecutionRunId": "run",
                    "attempt": 1,
                    "workflowTaskTimeout": "10s",
                }
            case h.WorkflowTaskScheduled():
                attributes = {"taskQueue": {"name": "bench"}, "startToCloseTimeout": "10s", "attempt": 1}
            case h.WorkflowTaskStarted():
                attributes = {"scheduledEventId": str(event.scheduled_id)}
            case h.WorkflowTaskCompleted():
                attributes = {"scheduledEventId": str(event.scheduled_id), "startedEventId": str(event.started_id)}
            case h.ActivityTaskScheduled():
                attributes = {"activityId": event.activity_id, "activityType": {"name": "step"}}
            case h.ActivityTaskStarted():
                attributes = {"scheduledEventId": str(event.scheduled_id), "attempt": 1}
            case h.ActivityTaskCompleted():
                attributes = {
                    "scheduledEventId": str(event.scheduled_id),
                    "startedEventId": str(event.started_id),
                    "result": {"payloads": [_payload("1")]},
                }
            case h.WorkflowExecutionCompleted():
                attributes = {"result": {"payloads": [_payload(str(ACTIVITIES))]}}
        moment = datetime.fromtimestamp(event.time_ns / 1e9, UTC).isoformat().replace("+00:00", "Z")
        key = name[0].lower() + name[1:] + "EventAttributes"
        events.append({"eventId": str(event.id), "eventTime": moment, "eventType": name, key: attributes})
    return json.dumps({"events": events})


def best_s(call: Callable[[], object]) -> float:
    """Seconds of the fastest of some rounds."""
    found = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        call()
        found.append(time.perf_counter() - began)
    return min(found)


def peer_s(text: str, *, sandbox: bool) -> float | None:
    """Seconds that the official SDK takes, its replayer warm; ``None`` where it is not installed."""
    try:
        from benchmarks.replay_peer import replayer
    except ModuleNotFoundError:
        return None

    async def measure() -> float:
        found = []
        for _ in range(3):
            found.append(await replayer(text, ROUNDS, sandbox=sandbox))
        return min(found)

    return asyncio.run(measure())


def main() -> None:
    """Measure and print."""
    history = recorded()
    count = len(history.events)
    file = write_history(history)
    assert replay(history, sequence).result == ACTIVITIES
    rows: list[tuple[str, float | None]] = [
        ("ours, from events", best_s(lambda: replay(history, sequence))),
        ("ours, from the file", best_s(lambda: replay(file, sequence))),
        ("temporalio", peer_s(as_temporal(history), sandbox=True)),
        ("temporalio, no sandbox", peer_s(as_temporal(history), sandbox=False)),
    ]
    first = rows[0][1]
    assert first is not None
    print(f"replay of {count} events, best of {ROUNDS}")
    for name, seconds in rows:
        if seconds is None:
            print(f"  {name:24} not installed")
        else:
            print(f"  {name:24} {count / seconds:10,.0f} events/s   {seconds / first:5.1f} x")


if __name__ == "__main__":
    main()
