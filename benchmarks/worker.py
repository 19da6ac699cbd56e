"""A worker: one group of figures, in a process of its own, with the engine that its environment chose."""

from __future__ import annotations

import logging
import platform
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks import calls, creation, graphs, memory, pages, peers, pictures, primitives, threads
from benchmarks.effort import EFFORTS, Effort
from benchmarks.figures import Result, Row, write_results
from benchmarks.machine import describe
from monkit_core import engine

__all__ = ["GROUPS"]

GROUPS: dict[str, Callable[[Effort], Iterator[Row]]] = {
    "calls": calls.measure,
    "primitives": primitives.measure,
    "creation": creation.measure,
    "threads": threads.measure,
    "resident": memory.measure_resident,
    "traced": memory.measure_traced,
    "soak": memory.measure_soak,
    "pages": pages.measure,
    "pictures": pictures.measure,
    "graphs": graphs.measure,
}
"""What measures, in the order in which it is done."""


def _main(group: str, effort: str, output: str) -> None:
    """Measure and write the result to a file."""
    logging.getLogger("opentelemetry").setLevel(logging.ERROR)  # it warns of what its queue has no room for
    rows = tuple(GROUPS[group](EFFORTS[effort]))
    python = f"{platform.python_implementation()} {platform.python_version()}"
    write_results([Result(describe(), python, peers.versions(), engine.name, rows)], Path(output))


if __name__ == "__main__":
    _main(*sys.argv[1:])
