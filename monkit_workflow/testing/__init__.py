"""What workflows and activities are tested with.

```python
from datetime import timedelta
from monkit_workflow import testing

async def test_greeting() -> None:
    async with testing.Environment() as env, env.worker(workflows=[Greeting]):
        greet = env.mock("greet", returns="Hello, Ada")
        handle = await env.client.start(
            Greeting.run, "Ada", id="g", task_queue=env.task_queue, timeout=timedelta(days=60)
        )
        assert await handle.result() == "Hello, Ada"  # a month later, in milliseconds
        assert greet.calls == [("Ada",)]
```
"""

from monkit_workflow.testing.activities import ActivityRun
from monkit_workflow.testing.conductor import WorkflowTaskFailed
from monkit_workflow.testing.environment import Environment
from monkit_workflow.testing.mocks import Mock

__all__ = ["ActivityRun", "Environment", "Mock", "WorkflowTaskFailed"]
