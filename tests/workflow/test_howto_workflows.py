"""What the programs of the how-to pages about workflows print is what the pages say."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [
    "cancel-and-undo",
    "change-running-code",
    "find-workflows",
    "repeat-runs",
    "run-activities",
    "split-work",
    "talk-to-a-run",
    "wait-for-people",
]
"""Pages with one complete program, followed by its output."""


@pytest.mark.parametrize("page", PAGES)
def test_program_prints_what_its_page_shows(page: str, tmp_path: Path) -> None:
    document = (ROOT / f"docs/how-to/{page}.md").read_text()
    ((program, shown),) = re.findall(r"```python\n(.*?)```.*?```text\n(.*?)```", document, re.DOTALL)
    (tmp_path / "program.py").write_text(program)
    done = subprocess.run(
        [sys.executable, "program.py"],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert (done.stdout, done.stderr) == (shown, "")
