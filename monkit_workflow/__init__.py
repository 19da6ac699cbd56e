"""Durable workflows: logical flow written as code, replayed from its history after any crash.

```python
from datetime import timedelta
from monkit_workflow import Worker, activity, connect, workflow

@activity.define
async def greet(name: str) -> str:
    return f"Hello, {name}"

@workflow.define
class Greeting:
    @workflow.run
    async def run(self, name: str) -> str:
        await workflow.sleep(timedelta(hours=1))
        return await workflow.execute_activity(greet, name, start_to_close=timedelta(seconds=10))

async def main() -> None:
    async with (
        connect("sqlite:///greetings.db") as client,
        Worker(client, "greetings", workflows=[Greeting], activities=[greet]),
    ):
        handle = await client.start(
            Greeting.run, "Ada", id="greet-ada", task_queue="greetings", timeout=timedelta(days=1)
        )
        print(await handle.result())
```
"""

try:
    from monkit_workflow import activity, errors, workflow
    from monkit_workflow.activity_handle import ActivityHandle
    from monkit_workflow.client import Client
    from monkit_workflow.codecs import Codec, Compression, Encryption
    from monkit_workflow.connecting import connect
    from monkit_workflow.converter import Converter, JsonConverter
    from monkit_workflow.handles import UpdateHandle, WorkflowHandle
    from monkit_workflow.history_file import RecordedHistory, read_history, write_history
    from monkit_workflow.interceptors import Call
    from monkit_workflow.options import Retry
    from monkit_workflow.payload import Payload
    from monkit_workflow.propagators import ContextVarPropagator, Propagator
    from monkit_workflow.replay import Replay, replay
    from monkit_workflow.runs import RunDescription, RunSummary
    from monkit_workflow.worker import Worker
except ModuleNotFoundError as problem:
    if problem.name not in ("apsw", "cronsim", "msgspec"):
        raise
    raise ModuleNotFoundError(
        f"monkit_workflow needs {problem.name}; install it with: pip install 'monkit-py[workflow]'", name=problem.name
    ) from None

__all__ = [
    "ActivityHandle",
    "Call",
    "Client",
    "Codec",
    "Compression",
    "ContextVarPropagator",
    "Converter",
    "Encryption",
    "JsonConverter",
    "Payload",
    "Propagator",
    "RecordedHistory",
    "Replay",
    "Retry",
    "RunDescription",
    "RunSummary",
    "UpdateHandle",
    "Worker",
    "WorkflowHandle",
    "activity",
    "connect",
    "errors",
    "read_history",
    "replay",
    "workflow",
    "write_history",
]
