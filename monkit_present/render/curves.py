"""Curves: the small pictures in tables, as data of paths. Numbers in, text out."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

__all__ = ["COLUMNS", "Columns", "Curve", "columns", "curve", "log_columns"]

_WIDTH, _HEIGHT, _TOP = 62.0, 16.0, 3.0
COLUMNS = 29
"""Columns of the small histogram, four a power of ten from 1 µs on."""
_A_DECADE = 4
_FIRST_NS = 1_000
_COLUMN_PX = 3


@dataclass(frozen=True, slots=True)
class Curve:
    """A curve in a box of 64 by 18.

    Attributes:
        line: data of its path.
        area: of the area below.
        x: of its last point.
        y: likewise.
    """

    line: str
    area: str
    x: str
    y: str


def curve(points: Sequence[float]) -> Curve | None:
    """The curve through *points*, which are never negative, from left to right; ``None`` of fewer than two."""
    if len(points) < 2:
        return None
    step = _WIDTH / (len(points) - 1)
    most = max(points) or 1.0
    heights = (_HEIGHT - point / most * (_HEIGHT - _TOP) for point in points)
    places = [(f"{index * step:.4g}", f"{y:.4g}") for index, y in enumerate(heights)]
    line = "M" + "L".join(f"{x} {y}" for x, y in places)
    return Curve(line, f"{line}L{_WIDTH:g} 18L0 18z", *places[-1])


@dataclass(frozen=True, slots=True)
class Columns:
    """A small histogram in a box of 88 by 18.

    Attributes:
        columns: data of the path of its columns.
        marks: of the strokes at quantiles.
    """

    columns: str
    marks: str


def log_columns(bins: Iterable[tuple[float, int]], first: float, columns: int, a_decade: int) -> list[int]:
    """Count in columns of a logarithmic axis; what lies outside goes to the first or the last.

    Args:
        bins: values, each with its count.
        first: where the axis begins.
        columns: how many there are.
        a_decade: columns for each power of ten.
    """
    counts = [0] * columns
    for value, count in bins:
        place = int(math.log10(value / first) * a_decade) if value > first else 0
        counts[min(place, columns - 1)] += count
    return counts


def columns(bins: Iterable[tuple[float, int]], quantiles_ns: Iterable[float]) -> Columns | None:
    """The histogram of durations, 1 µs to 10 s; heights are square roots, so that few stay visible.

    Args:
        bins: nanoseconds, each with its count.
        quantiles_ns: where strokes go.
    """
    counts = log_columns(bins, _FIRST_NS, COLUMNS, _A_DECADE)
    most = max(counts)
    if not most:
        return None
    drawn = []
    for place, count in enumerate(counts):
        if count:
            height = max(14 * math.sqrt(count / most), 1)
            drawn.append(f"M{place * _COLUMN_PX} {16 - height:.3g}h2.4V16h-2.4z")
    marks = "".join(f"M{_place(value) * _COLUMN_PX:.4g} 14v4" for value in quantiles_ns)
    return Columns("".join(drawn), marks)


def _place(value_ns: float) -> float:
    """How many columns from the left."""
    return min(max(math.log10(max(value_ns, 1) / _FIRST_NS) * _A_DECADE, 0), COLUMNS)
