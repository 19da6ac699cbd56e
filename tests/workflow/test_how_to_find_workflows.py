"""What the how-to "find workflows" says is what happens."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from monkit_workflow.errors import BadQuery
from monkit_workflow.filters import parse, resolve

ROOT = Path(__file__).parents[2]
DOCUMENT = (ROOT / "docs/how-to/find-workflows.md").read_text()
OUTPUT, REFUSAL = re.findall(r"```text\n(.*?)```", DOCUMENT, re.DOTALL)


def test_program_prints_what_is_shown(tmp_path: Path) -> None:
    (program,) = re.findall(r"```python\n(.*?)```", DOCUMENT, re.DOTALL)
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert (done.stdout, done.stderr) == (OUTPUT, "")


def test_wrong_filter_is_refused_as_shown() -> None:
    try:
        resolve(parse("ExecutionStatus = 'running'"), {})
    except BadQuery as problem:
        told = str(problem)
    assert told == REFUSAL.strip()
