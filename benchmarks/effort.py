"""Effort: how long one measures, how often, and how much."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["CHECK", "EFFORTS", "FULL", "QUICK", "Effort"]


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is done for a figure.

    Attributes:
        name: on the command line of a worker.
        loop_ms: least length of a timed loop, milliseconds.
        repeats: of each loop.
        beside: variants and peers are measured too, not only what has a bar.
        page_functions: numbers of functions that pages show.
        page_repeats: of each page and picture.
        picture_spans: spans of a picture.
        threads: numbers of threads that call.
        soak_spans: resident size is read after so many spans, in rising order.
    """

    name: str
    loop_ms: float
    repeats: int
    beside: bool
    page_functions: tuple[int, ...]
    page_repeats: int
    picture_spans: int
    threads: tuple[int, ...]
    soak_spans: tuple[int, int]


FULL = Effort("full", 50, 9, True, (10, 1_000, 10_000), 5, 10_000, (1, 2, 4, 8), (100_000, 1_000_000))
CHECK = Effort("check", 50, 7, False, (10_000,), 2, 10_000, (), (100_000, 1_000_000))
QUICK = Effort("quick", 4, 7, True, (10, 1_000), 3, 2_000, (1, 4), (20_000, 100_000))

EFFORTS = {effort.name: effort for effort in (FULL, CHECK, QUICK)}
