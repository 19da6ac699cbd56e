"""The cron example: reports follow each other, and a year of them passes in a moment."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

PROGRAM = Path(__file__).parents[2] / "examples" / "cron.py"


def run(what: str) -> list[str]:
    done = subprocess.run([sys.executable, str(PROGRAM), what], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_demo_writes_three_reports_that_begin_where_the_last_ended() -> None:
    first, second, third, end = run("demo")
    assert first.endswith(", the first")
    assert all(re.search(r", 0:00:\d\d after the last", line) for line in (second, third))
    assert end == "the schedule ended: cancelled"


def test_year_has_twelve_reports_on_the_first_of_each_month() -> None:
    *reports, end = run("year")
    moments = [line.split(" at ")[1].split(",")[0] for line in reports]
    months = [f"2026-{month:02}-01 00:00:00" for month in range(2, 13)] + ["2027-01-01 00:00:00"]
    assert moments == months
    assert re.fullmatch(r"a year took [\d.]+ s", end)
