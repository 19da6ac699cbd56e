"""What workflow code may use.

```python
from monkit_workflow import workflow

@workflow.define
class Greeting:
    @workflow.run
    async def run(self, name: str) -> str:
        await workflow.sleep(timedelta(days=1))
        return f"Hello, {name}"
```

Code of a workflow runs again and again, from its history: it must do the same
each time. Clocks, random numbers and everything that touches the world belong
into activities or have a function here. `asyncio` works as it is.
"""

from __future__ import annotations

from monkit_workflow.calls import (
    ActivityOptions,
    ChildHandle,
    ChildOptions,
    ExternalHandle,
    continue_as_new,
    execute_activity,
    execute_child,
    external,
    start_activity,
    start_child,
)
from monkit_workflow.channels import Channel
from monkit_workflow.declarations import define, query, run, signal, update, validator
from monkit_workflow.guard import unguarded
from monkit_workflow.info import WorkflowInfo
from monkit_workflow.local_calls import LocalActivityOptions, execute_local_activity, start_local_activity
from monkit_workflow.notes import memo, search_attributes, upsert_memo, upsert_search_attributes
from monkit_workflow.primitives import (
    as_completed,
    channel,
    info,
    last_failure,
    last_result,
    logger,
    mutable_side_effect,
    now,
    patched,
    random,
    replaying,
    set_query_handler,
    side_effect,
    sleep,
    uuid4,
    version,
    wait_condition,
)
from monkit_workflow.sagas import Saga, shielded

__all__ = [
    "ActivityOptions",
    "Channel",
    "ChildHandle",
    "ChildOptions",
    "ExternalHandle",
    "LocalActivityOptions",
    "Saga",
    "WorkflowInfo",
    "as_completed",
    "channel",
    "continue_as_new",
    "define",
    "execute_activity",
    "execute_child",
    "execute_local_activity",
    "external",
    "info",
    "last_failure",
    "last_result",
    "logger",
    "memo",
    "mutable_side_effect",
    "now",
    "patched",
    "query",
    "random",
    "replaying",
    "run",
    "search_attributes",
    "set_query_handler",
    "shielded",
    "side_effect",
    "signal",
    "sleep",
    "start_activity",
    "start_child",
    "start_local_activity",
    "unguarded",
    "update",
    "upsert_memo",
    "upsert_search_attributes",
    "uuid4",
    "validator",
    "version",
    "wait_condition",
]
