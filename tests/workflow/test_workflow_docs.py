"""The reference of workflows leaves nothing out."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import monkit_workflow
from monkit_workflow import (
    ActivityHandle,
    Client,
    UpdateHandle,
    Worker,
    WorkflowHandle,
    activity,
    calls,
    client,
    errors,
    local_calls,
    workflow,
)

ROOT = Path(__file__).parents[2]
REFERENCE = (ROOT / "docs/reference/workflows.md").read_text()
TYPES = {
    "ActivityInfo",
    "ActivityOptions",
    "Channel",
    "ChildHandle",
    "ChildOptions",
    "ExternalHandle",
    "LocalActivityOptions",
    "WorkflowInfo",
}
NOT_MET = {"ContinueAsNew", "WorkflowError"}
"""Names of `monkit_workflow.errors` that nobody has to handle."""


@pytest.mark.parametrize("name", [name for name in workflow.__all__ if name not in TYPES])
def test_every_call_of_workflow_code_is_in_the_reference(name: str) -> None:
    assert re.search(rf"`[^`]*\b{name}\b[^`]*`", REFERENCE)


@pytest.mark.parametrize("name", [name for name in activity.__all__ if name not in TYPES])
def test_every_call_of_activity_code_is_in_the_reference(name: str) -> None:
    assert f"activity.{name}" in REFERENCE


@pytest.mark.parametrize(
    "options", [calls.ActivityOptions, calls.ChildOptions, client.StartOptions, local_calls.LocalActivityOptions]
)
def test_every_option_is_in_the_reference(options: type) -> None:
    assert [name for name in options.__annotations__ if f"`{name}`" not in REFERENCE] == []


@pytest.mark.parametrize("callable_", [Worker, monkit_workflow.connect])
def test_every_argument_is_in_the_reference(callable_: Any) -> None:
    names = [
        name for name in inspect.signature(callable_).parameters if name not in ("client", "task_queue", "address")
    ]
    assert [name for name in names if f"`{name}`" not in REFERENCE] == []


@pytest.mark.parametrize("name", [name for name in errors.__all__ if name not in NOT_MET])
def test_every_error_is_in_the_reference(name: str) -> None:
    assert f"`{name}`" in REFERENCE


@pytest.mark.parametrize("kind", [Client, WorkflowHandle])
def test_every_method_of_the_client_is_in_the_reference(kind: type) -> None:
    public = [name for name in vars(kind) if not name.startswith("_") and name != "encode"]
    assert [name for name in public if f".{name}(" not in REFERENCE and not isinstance(vars(kind)[name], str)] == []


@pytest.mark.parametrize("kind", [ActivityHandle, UpdateHandle])
def test_every_method_of_the_other_handles_is_in_the_reference(kind: type) -> None:
    assert f"`{kind.__name__}`" in REFERENCE
    assert [name for name in vars(kind) if not name.startswith("_") and f"{name}(" not in REFERENCE] == []


def test_every_promised_name_is_documented() -> None:
    for module in (monkit_workflow, workflow, activity, errors):
        undocumented = [
            name
            for name in module.__all__
            if callable(item := getattr(module, name)) and not getattr(item, "__doc__", None)
        ]
        assert undocumented == []


@pytest.mark.parametrize("missing", ["apsw", "cronsim", "msgspec"])
def test_package_without_its_extra_says_what_to_install(missing: str) -> None:
    program = f"import sys; sys.modules[{missing!r}] = None; import monkit_workflow"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, cwd=ROOT)
    assert done.stderr.splitlines()[-1] == (
        f"ModuleNotFoundError: monkit_workflow needs {missing}; install it with: pip install 'monkit-py[workflow]'"
    )
