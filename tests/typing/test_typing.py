"""Wrong types in code that uses the framework are found by a type checker, right ones are not complained about."""

from __future__ import annotations

import re
from pathlib import Path

from mypy import api

ROOT = Path(__file__).parents[2]
CASES = Path(__file__).parent / "cases"
_EXPECTED = re.compile(r"\S  # error: (.+)$")
_FOUND = re.compile(r"^(?P<file>[^:]+):(?P<line>\d+): error: (?P<text>.*)$")


def test_mypy_finds_each_wrong_type_and_nothing_else() -> None:
    cases = sorted(CASES.glob("*.py"))
    expected = {
        (path.name, number): found.group(1)
        for path in cases
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if (found := _EXPECTED.search(line))
    }
    output, problems, _ = api.run(["--config-file", str(ROOT / "pyproject.toml"), *map(str, cases)])
    assert problems == ""
    complaints: dict[tuple[str, int], list[str]] = {}
    for line in output.splitlines():
        if found := _FOUND.match(line):
            place = Path(found["file"]).name, int(found["line"])
            complaints.setdefault(place, []).append(found["text"])
    assert complaints.keys() == expected.keys()
    missed = {place: text for place, text in expected.items() if not any(text in it for it in complaints[place])}
    assert missed == {}
