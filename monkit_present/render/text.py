"""Plain text: live spans; functions and series as the core writes them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from monkit_core.formats.text import funcs, go_duration, one_line, series, stats
from monkit_present.rows import LiveRow, Progress

__all__ = ["funcs", "one_line", "progress_words", "ps", "series", "stats"]

_EXACT = 2.0**53
"""Below it a float is never more than a half away from what it stands for."""


def ps(rows: Iterable[LiveRow]) -> Iterator[str]:
    """Spans that run now: trees by indentation, a blank line after each."""
    begun = False
    for row in rows:
        if row.depth == 0 and begun:
            yield "\n"
        begun = True
        span = row.span
        indent = " " * row.depth
        orphaned = ", orphaned" if span.orphaned else ""
        yield (
            f"{indent}[{span.id:016x},{row.trace_id:032x}] {one_line(span.full_name)}"
            f"({one_line(', '.join(span.args))}) (elapsed: {go_duration(span.duration_ns)}{orphaned})\n"
        )
        if span.progress is not None:
            yield f"{indent}  progress: {progress_words(span.progress)}\n"
        for key, value in span.annotations:
            yield f"{indent}  {one_line(key)}: {one_line(value)}\n"
    if begun:
        yield "\n"


def progress_words(progress: Progress) -> str:
    """``30 of 120, 12.3/s, 7.3s left``."""
    of = "" if progress.total is None else f" of {_rounded(progress.total, 6)}"
    left = "" if progress.remaining_s is None else f", {_rounded(progress.remaining_s, 3)}s left"
    return f"{_rounded(progress.done, 6)}{of}, {_rounded(progress.rate, 3)}/s{left}"


def _rounded(value: float, digits: int) -> str:
    """*value* with so many digits, or as many more as it has before the point."""
    return f"{value:.0f}" if 10 ** (digits - 1) <= abs(value) < _EXACT else f"{value:.{digits}g}"
