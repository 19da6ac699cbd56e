"""``python -m benchmarks.workflows``: durable workflows of one step a second, beside DBOS on SQLite.

Both are run in turns, each time in a new process on a new file in the current
folder; with 100 in flight and one at a time, and each round is told. Shown too
is how long it takes from sending a signal until a query shows its effect, beside
what one write and fsync takes on the same disk. The peer needs ``dbos``, of the
extra ``bench``; without it only ours is shown.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

ROUNDS = 3


def measured(name: str, folder: Path) -> dict[str, float]:
    """The figures of one process."""
    command = [sys.executable, "-m", f"benchmarks.{name}", str(folder / f"{name}-{time.time_ns()}.db")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    if done.returncode:
        raise SystemExit(f"{name} failed:\n{done.stderr}")
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def fsync_ms(folder: Path) -> tuple[float, float]:
    """Median and 99th percentile of a write of 4 KiB with its fsync."""
    found = []
    with (folder / "fsync").open("wb", buffering=0) as file:
        for _ in range(300):
            began = time.perf_counter()
            file.write(bytes(4096))
            os.fsync(file.fileno())
            found.append((time.perf_counter() - began) * 1e3)
    found.sort()
    return median(found), found[int(len(found) * 0.99)]


def main() -> None:
    """Print the figures."""
    has_peer = importlib.util.find_spec("dbos") is not None
    with tempfile.TemporaryDirectory(dir=Path.cwd(), prefix=".bench-") as name:
        folder = Path(name)
        print("runs a second             one at a time   100 in flight")
        for _ in range(ROUNDS):
            ours = measured("workflows_ours", folder)
            print(f"monkit_workflow {ours['alone']:23,.0f} {ours['many']:15,.0f}")
            if has_peer:
                peer = measured("workflows_dbos", folder)
                print(f"DBOS            {peer['alone']:23,.0f} {peer['many']:15,.0f}")
                print(f"ratio           {ours['alone'] / peer['alone']:23.1f} {ours['many'] / peer['many']:15.1f}")
            middle, late = fsync_ms(folder)
            print(
                f"signal to query: p50 {ours['p50']:.1f} ms, p99 {ours['p99']:.1f} ms; "
                f"one fsync: median {middle:.1f} ms, p99 {late:.1f} ms"
            )


if __name__ == "__main__":
    main()
