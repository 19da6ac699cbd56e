"""Figures: rows of results, and the arithmetic that makes them. Nothing here reads a clock.

A row says how far a figure went down and what it was in the middle, over all
repeats. The ratio of the minima is what machines can be compared by.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

__all__ = ["Result", "Row", "cost_row", "find_row", "plain_row", "read_results", "write_results"]


@dataclass(frozen=True, slots=True)
class Row:
    """One figure.

    Attributes:
        group: what was compared with each other: ``sync root``.
        name: what was measured: ``monkit``.
        unit: of minimum and median: ``ns``, ``µs``, ``ms``, ``bytes``, ``MB``, ``kB``, ``%``.
        minimum: over the repeats.
        median: over the repeats.
        ratio: to the yardstick of the group, from the minima; ``None`` where there is none.
        repeats: how many.
    """

    group: str
    name: str
    unit: str
    minimum: float
    median: float
    ratio: float | None
    repeats: int


@dataclass(frozen=True, slots=True)
class Result:
    """What was measured with one engine.

    Attributes:
        machine: processor, cores, system.
        python: implementation and version.
        versions: of the peers that were measured.
        engine: ``pure`` or ``native``.
        rows: the figures.
    """

    machine: str
    python: str
    versions: dict[str, str]
    engine: str
    rows: tuple[Row, ...]


def plain_row(group: str, name: str, unit: str, samples: Sequence[float], ratio: float | None = None) -> Row:
    """A row of figures that stand for themselves, such as the milliseconds of a page."""
    return Row(group, name, unit, min(samples), median(samples), ratio, len(samples))


def cost_row(
    group: str,
    name: str,
    samples: Sequence[float],
    plain: Sequence[float],
    yardstick: Sequence[float] | None = None,
    unit: str = "ns",
) -> Row:
    """A row of what something costs on top of *plain*.

    Args:
        group: see `Row`.
        name: see `Row`.
        samples: time of one call in each repeat.
        plain: the same of what is subtracted.
        yardstick: the same of the do-nothing wrapper. Where noise made it no dearer than
            *plain*, there is no ratio.
        unit: of all three.
    """
    minimum = min(samples) - min(plain)
    ratio = None
    if yardstick is not None:
        length = min(yardstick) - min(plain)
        ratio = minimum / length if length > 0 else None
    return Row(group, name, unit, minimum, median(samples) - median(plain), ratio, len(samples))


def find_row(rows: Iterable[Row], group: str, name: str) -> Row | None:
    """The row of this group and name, or ``None``."""
    return next((row for row in rows if (row.group, row.name) == (group, name)), None)


def write_results(results: Iterable[Result], path: Path) -> None:
    """Write *results* as JSON, a row a line, with no more digits than mean something."""
    texts = []
    for result in results:
        head = asdict(result)
        rows = ",\n  ".join(json.dumps(_rounded(row), ensure_ascii=False) for row in head.pop("rows"))
        texts.append(f'{json.dumps(head, ensure_ascii=False)[:-1]}, "rows": [\n  {rows}\n]}}')
    path.write_text("[" + ",\n".join(texts) + "]\n", "utf-8")


def _rounded(row: dict[str, Any]) -> dict[str, Any]:
    return {name: float(f"{value:.5g}") if isinstance(value, float) else value for name, value in row.items()}


def read_results(path: Path) -> list[Result]:
    """What `write_results` wrote."""
    return [
        Result(**{**found, "rows": tuple(Row(**row) for row in found["rows"])})
        for found in json.loads(path.read_text("utf-8"))
    ]
