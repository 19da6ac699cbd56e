"""The programs of the how-to about tests do what it says, and the reference leaves nothing of the package out."""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from monkit_workflow import testing

ROOT = Path(__file__).parents[2]
SHOP, *PROGRAMS = re.findall(r"```python\n(.*?)```", (ROOT / "docs/how-to/test-workflows.md").read_text(), re.DOTALL)
RECORD = PROGRAMS[-1]
REFERENCE = (ROOT / "docs/reference/workflows.md").read_text()


def python(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{folder}"},
    )


def test_programs_of_the_how_to_pass(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(SHOP)
    for number, program in enumerate(PROGRAMS):
        (tmp_path / f"test_{number}.py").write_text(program)
    recorded = python(tmp_path, f"test_{len(PROGRAMS) - 1}.py")
    assert recorded.returncode == 0, recorded.stderr
    tests = python(tmp_path, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:asyncio", "-W", "error")
    assert "8 passed" in tests.stdout, tests.stdout

    (tmp_path / "shop.py").write_text(
        SHOP.replace(
            "await workflow.wait_condition", "await workflow.sleep(MINUTE)\n            await workflow.wait_condition"
        )
    )
    changed = python(tmp_path, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:asyncio", "-k", "new_code")
    assert "Nondeterminism" in changed.stdout


@pytest.mark.parametrize("kind", [testing.Environment, testing.Mock, testing.ActivityRun])
def test_every_member_of_the_package_is_in_the_reference(kind: type) -> None:
    assert f"testing.{kind.__name__}" in REFERENCE
    public = [name for name in vars(kind) if not name.startswith("_")]
    assert [name for name in public if f".{name}" not in REFERENCE and name != "answer"] == []


@pytest.mark.parametrize("callable_", [testing.Environment, testing.Environment.mock, testing.ActivityRun])
def test_every_option_of_the_package_is_in_the_reference(callable_: Any) -> None:
    names = [
        name for name, found in inspect.signature(callable_).parameters.items() if found.kind is found.KEYWORD_ONLY
    ]
    assert names
    assert [name for name in names if f"`{name}`" not in REFERENCE] == []
