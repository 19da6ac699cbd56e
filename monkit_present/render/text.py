"""Plain text, for eyes and ``grep``: one item a line, whatever the names hold.

Follows the text pages of the original's ``present``, with hexadecimal ids and
nine decimals.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from monkit_core import Stat
from monkit_present.render.figures import go_duration
from monkit_present.rows import QUANTILES, FuncRow, LiveRow, TimesRow

__all__ = ["funcs", "one_line", "ps", "stats"]

_ESCAPES = str.maketrans({"\n": "\\n", "\t": "\\t"})


def one_line(text: str) -> str:
    r"""*text* with newline and tab spelt ``\n`` and ``\t``."""
    return text.translate(_ESCAPES)


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
        for key, value in span.annotations:
            yield f"{indent}  {one_line(key)}: {one_line(value)}\n"
    if begun:
        yield "\n"


def funcs(rows: Iterable[FuncRow]) -> Iterator[str]:
    """Every function: callers, counts, errors by name, times."""
    for row in rows:
        parents = ["entry"] if row.entry else []
        parents += [f"{parent:016x}" for parent in row.parent_ids]
        tags = "".join(f",{key}={value}" for key, value in row.tags)
        yield f"[{row.id:016x}] {one_line(row.full_name + tags)}\n  parents: {', '.join(parents)}\n"
        yield f"  {counts(row)}\n"
        for name, count in row.errors:
            yield f"  error {one_line(name)}: {count}\n"
        for title, times in (("success", row.success_times), ("failure", row.failure_times)):
            yield f"  {title} times:\n"
            for label, value in durations(times):
                yield f"    {label}: {value}\n"
        yield "\n"


def counts(row: FuncRow) -> str:
    """The line of counts of a function."""
    return (
        f"current: {row.current}, highwater: {row.highwater}, success: {row.successes}, "
        f"errors: {row.error_count}, panics: {row.panics}"
    )


def durations(times: TimesRow) -> list[tuple[str, str]]:
    """Labels and values of the times of a function, in the order in which pages show them."""
    named = [(f"{fraction:.2f}", value) for fraction, value in zip(QUANTILES, times.quantiles, strict=True)]
    named += [("avg", times.full_average), ("ravg", times.reservoir_average), ("recent", times.recent)]
    named += [("sum", times.sum)]
    return [(label, go_duration(value)) for label, value in named]


def stats(rows: Iterable[Stat]) -> Iterator[str]:
    """Every series: ``measurement,tag=value field=number``."""
    for key, field, value in rows:
        number = "NaN" if value != value else f"{value:.9f}"
        yield f"{key.with_field(field)}={number}\n"
