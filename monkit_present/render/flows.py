"""Callers and callees of a function as bands: geometry of the picture. Plain values in and out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from monkit_core.text import clip
from monkit_present.render import figures

__all__ = ["Band", "Flows", "Side", "flows"]

_WIDTH, _BLOCK_LEFT, _BLOCK_RIGHT = 704, 296, 408
_NAMES_LEFT, _NAMES_RIGHT = 212, 492
_BLOCK_TOP, _BLOCK_HEIGHT = 40.0, 152.0
_LEAST_BAND, _LABEL_PX, _GAP = 1.5, 34.0, 10.0
_LETTERS = 26


@dataclass(frozen=True, slots=True)
class Side:
    """A function on one side: its name, where its page is (empty: it has none), calls between the two."""

    name: str
    path: str
    count: int


@dataclass(frozen=True, slots=True)
class Band:
    """A band.

    Attributes:
        path: data of its path.
        x: where its words are, and *y* where the first line of them is.
        anchor: ``start`` or ``end``.
        name: short enough for the picture.
        title: whole name and figures.
        words: the second line.
        to: address of the page, or empty.
    """

    path: str
    x: int
    y: float
    anchor: str
    name: str
    title: str
    words: str
    to: str


@dataclass(frozen=True, slots=True)
class Flows:
    """The picture.

    Attributes:
        bands: of both sides.
        name: of the function in the middle, short enough for its block.
        count: its calls.
        height: of the picture.
        left_out: what is not drawn, in words; empty if all is.
    """

    bands: tuple[Band, ...]
    name: str
    count: int
    height: float
    left_out: str


def flows(
    name: str,
    count: int,
    callers: Sequence[Side],
    callees: Sequence[Side],
    *,
    more_callers: int,
    more_callees: int,
) -> Flows:
    """Callers at the left, callees at the right; the bands of a side add up to the block in the middle.

    Args:
        name: of the function.
        count: its calls.
        callers: the most frequent first.
        callees: likewise.
        more_callers: how many there are beside those.
        more_callees: likewise.
    """
    left, left_height = _bands(callers, left=True)
    right, right_height = _bands(callees, left=False)
    missing = [
        figures.counted(more, noun) for more, noun in ((more_callers, "caller"), (more_callees, "callee")) if more
    ]
    left_out = f"{' and '.join(missing)} with fewer calls not drawn" if missing else ""
    height = max(_BLOCK_TOP + _BLOCK_HEIGHT + 8, left_height, right_height)
    return Flows((*left, *right), clip(name, 14), count, height, left_out)


def _bands(sides: Sequence[Side], *, left: bool) -> tuple[list[Band], float]:
    """The bands of one side, and how far down they reach."""
    total = sum(side.count for side in sides)
    bands = []
    at_block, at_name = _BLOCK_TOP, 8.0
    for side in sides:
        width = max(_BLOCK_HEIGHT * side.count / total, _LEAST_BAND)
        path = _path(at_name, at_block, width, left=left)
        share = f"{figures.percent(side.count / total)} %"
        bands.append(
            Band(
                path=path,
                x=_NAMES_LEFT - 8 if left else _NAMES_RIGHT + 8,
                y=at_name + max(width / 2 - 2, 8),
                anchor="end" if left else "start",
                name=_short(side.name),
                title=f"{side.name}: {figures.counted(side.count, 'call')}, {share}",
                words=f"{side.count:,} · {share}",
                to=side.path,
            )
        )
        at_block += width
        at_name += max(width, _LABEL_PX) + _GAP
    return bands, at_name


def _short(name: str) -> str:
    """The end of a name, from a dot on where that fits."""
    if len(name) <= _LETTERS:
        return name
    parts = name.split(".")
    while len(parts) > 1 and len(".".join(parts)) > _LETTERS:
        parts = parts[1:]
    return clip(".".join(parts), _LETTERS)


def _path(at_name: float, at_block: float, width: float, *, left: bool) -> str:
    if left:
        x0, y0, x1, y1 = _NAMES_LEFT, at_name, _BLOCK_LEFT, at_block
    else:
        x0, y0, x1, y1 = _BLOCK_RIGHT, at_block, _NAMES_RIGHT, at_name
    middle = (x0 + x1) / 2
    return (
        f"M{x0} {y0:.1f}C{middle:g} {y0:.1f} {middle:g} {y1:.1f} {x1} {y1:.1f}"
        f"V{y1 + width:.1f}C{middle:g} {y1 + width:.1f} {middle:g} {y0 + width:.1f} {x0} {y0 + width:.1f}z"
    )
