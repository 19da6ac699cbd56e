"""Golden files: what a page looked like when somebody last looked at it.

They are compared byte for byte, and rewritten only under ``MONKIT_GOLDEN=1``,
which ``make golden`` sets; the difference is then read in the commit.
"""

from __future__ import annotations

import os
from pathlib import Path

_GOLDEN = Path(__file__).parent / "golden"


def golden(name: str, text: str) -> None:
    """Compare *text* with the golden file *name*, or rewrite the file.

    Raises:
        AssertionError: the text differs, or there is no such file yet.
    """
    path = _GOLDEN / name
    if os.environ.get("MONKIT_GOLDEN") == "1":
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())
        return
    assert path.is_file(), f"no golden file {name}; make it with MONKIT_GOLDEN=1"
    before = path.read_bytes().decode()
    if text == before:
        return
    pairs = zip(before.splitlines(), text.splitlines(), strict=False)
    changed = ((number, a, b) for number, (a, b) in enumerate(pairs, 1) if a != b)
    number, a, b = next(changed, (0, f"{len(before)} characters", f"{len(text)} characters"))
    raise AssertionError(f"{name} differs from line {number} on:\n- {a}\n+ {b}\nIf that is meant: MONKIT_GOLDEN=1")
