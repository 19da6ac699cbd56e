"""The latency histogram of a function, as the geometry of its picture. Numbers in, numbers out.

Lengths across are per cent, so that the picture fills whatever width it gets.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from monkit_present.render import figures
from monkit_present.render.curves import log_columns

__all__ = ["Bar", "Latency", "Mark", "Tick", "latency"]

_A_DECADE = 14
_MOST_DECADES = 5
_TOP, _BASE = 34.0, 220.0
_NS_DECADES = 12  # a thousand seconds
_MARKS = ("p50", "p90", "p99")
_MARK_PX = 14


@dataclass(frozen=True, slots=True)
class Bar:
    """A column: where it stands, and how high its two parts are.

    Attributes:
        x: per cent from the left.
        ok_y: top of the part of successes; *ok_height* below it is the base.
        bad_y: top of the part of failures, which ends where that of successes begins.
        title: the same in words.
    """

    x: float
    ok_y: float
    ok_height: float
    bad_y: float
    bad_height: float
    title: str


@dataclass(frozen=True, slots=True)
class Tick:
    """A place on an axis, in per cent from the left or in pixels from the top, and its words."""

    place: float
    words: str


@dataclass(frozen=True, slots=True)
class Mark:
    """A quantile: per cent from the left, pixels from the top of its words, the words."""

    x: float
    y: int
    words: str


@dataclass(frozen=True, slots=True)
class Latency:
    """The picture.

    Attributes:
        bars: those that are not empty.
        width: of a bar, per cent.
        times: powers of ten below it.
        counts: lines across.
        marks: quantiles.
    """

    bars: tuple[Bar, ...]
    width: float
    times: tuple[Tick, ...]
    counts: tuple[Tick, ...]
    marks: tuple[Mark, ...]


def latency(
    ok_bins: Sequence[tuple[float, int]], bad_bins: Sequence[tuple[float, int]], quantiles_ns: Sequence[float]
) -> Latency | None:
    """The picture of durations on a logarithmic axis; ``None`` if there are none.

    The height of a column is the square root of its count, so that a few failures stay visible. Where values
    spread over more than five powers of ten, what is shorter than those falls into the first column.

    Args:
        ok_bins: nanoseconds of successes, rising, each with its count.
        bad_bins: the same of failures.
        quantiles_ns: half, nine in ten and 99 of 100 calls took less.
    """
    values = [value for bins in (ok_bins, bad_bins) for value, _ in bins]
    if not values:
        return None
    last = min(_decade(max(values)) + 1, _NS_DECADES)
    first = max(min(_decade(min(values)), last - 1), last - _MOST_DECADES)
    columns = (last - first) * _A_DECADE
    ok = log_columns(ok_bins, 10.0**first, columns, _A_DECADE)
    bad = log_columns(bad_bins, 10.0**first, columns, _A_DECADE)
    most = max(a + b for a, b in zip(ok, bad, strict=True))
    width = 100 / columns
    bars = (
        _bar(place, a, b, most, width, _words(first, place, a, b))
        for place, (a, b) in enumerate(zip(ok, bad, strict=True))
        if a + b
    )
    return Latency(
        tuple(bars),
        width * 0.9,
        tuple(Tick(_across(10.0**power, first, last), _round(10**power)) for power in range(first, last)),
        tuple(Tick(_height_of(count, most), figures.count(count)) for count in _count_ticks(most)),
        tuple(
            Mark(_across(value, first, last), index * _MARK_PX, f"{name} {figures.duration(value)}")
            for index, (name, value) in enumerate(zip(_MARKS, quantiles_ns, strict=True))
        ),
    )


def _round(value_ns: int) -> str:
    """A round duration, without the digits that say how exact it is."""
    return figures.duration(value_ns).replace(".00", "").replace(".0", "")


def _decade(value_ns: float) -> int:
    return math.floor(math.log10(value_ns)) if value_ns >= 1 else 0


def _across(value_ns: float, first: int, last: int) -> float:
    return min(max((math.log10(max(value_ns, 1)) - first) / (last - first) * 100, 0.0), 100.0)


def _height_of(count: int, most: int) -> float:
    """Pixels from the top of a column of so many."""
    return _BASE - (_BASE - _TOP) * math.sqrt(count / most)


def _bar(place: int, ok: int, bad: int, most: int, width: float, title: str) -> Bar:
    top, middle = _height_of(ok + bad, most), _height_of(ok, most)
    if bad and middle - top < 1.5:  # a failure is never too small to be seen
        middle = min(top + 1.5, _BASE)
    return Bar(place * width + width * 0.05, middle, _BASE - middle, top, middle - top, title)


def _words(first: int, place: int, ok: int, bad: int) -> str:
    low, high = (10.0**first * 10 ** ((place + step) / _A_DECADE) for step in (0, 1))
    return f"{figures.duration(low)} to {figures.duration(high)}: {ok:,} ok, {bad:,} failed"


def _count_ticks(most: int) -> list[int]:
    """Two or three round counts below *most*, far enough apart on an axis of square roots."""
    power = 10 ** (len(str(most)) - 1)
    top = next(digit * power for digit in (5, 3, 2, 1) if digit * power <= most)
    return [count for count in (top, top // 4, top // 20) if count >= 1]
