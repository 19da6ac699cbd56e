"""Figures: what is said of a distribution, worked out of what it keeps. Numbers in, numbers out."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

__all__ = ["Looked", "work_out"]

Looked = tuple[int, float, float, float, float, Sequence[float], Sequence[float]]
"""Count, sum, low, high, recent, the sorted reservoir, lifetime quantiles; see `DistributionCore.look`."""


def work_out(looked: Looked, integral: bool, fractions: Sequence[float], scale: float | None) -> tuple[float, ...]:
    """See `DistributionCore.figures`."""
    count, total, low, high, recent, kept, lifetime = looked
    derived = [total / count if count else 0, sum(kept) / len(kept) if kept else 0]
    derived += _quantiles(kept, tuple(fractions))
    derived += [low if value < low else high if value > high else value for value in lifetime]
    if integral:
        derived = [int(figure) for figure in derived]
    if scale is None:
        return (count, total, low, high, recent, *derived)
    return (count, total / scale, low / scale, high / scale, recent / scale, *[figure / scale for figure in derived])


def _quantiles(kept: Sequence[float], fractions: tuple[float, ...]) -> list[float]:
    if not kept:
        return [0] * len(fractions)
    return [
        kept[index] if rest is None else kept[index] + rest * (kept[index + 1] - kept[index])
        for index, rest in _places(fractions, len(kept) - 1)
    ]


@lru_cache
def _places(fractions: tuple[float, ...], last: int) -> list[tuple[int, float | None]]:
    """Where quantiles stand among values of which *last* is the last: behind which, and by how much of a step."""
    places: list[tuple[int, float | None]] = []
    for fraction in fractions:
        position = min(max(fraction, 0.0), 1.0) * last
        index = int(position)
        places.append((index, position - index if 0 < fraction < 1 and index < last else None))
    return places
