"""Plain text, for eyes and ``grep``: one item a line, whatever the names hold.

Follows the text pages of the original's ``present``, with hexadecimal ids and
nine decimals.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from monkit_core.formats.functions import QUANTILES, FuncRow, TimesRow
from monkit_core.series import Series, Stat, field_text, grouped

__all__ = ["counts", "durations", "funcs", "go_duration", "one_line", "series", "stats"]

_NS_PER_S = 1_000_000_000
_NS_PER_MIN = 60 * _NS_PER_S
_ESCAPES = str.maketrans({"\n": "\\n", "\t": "\\t"})


def one_line(text: str) -> str:
    r"""*text* with newline and tab spelt ``\n`` and ``\t``."""
    return text.translate(_ESCAPES)


def go_duration(ns: int) -> str:
    """Write a duration exactly, the way Go's ``time.Duration`` prints itself.

    Args:
        ns: nanoseconds, of either sign and any size.

    Returns:
        ``2.204042ms``, ``1h0m0s``, ``0s``, ``-1.5ms``.

    Follows ``Duration.String`` of Go's ``time`` package.
    """
    if ns < 0:
        return "-" + go_duration(-ns)
    if ns < 1_000:
        return f"{ns}ns" if ns else "0s"
    if ns < 1_000_000:
        return _exact(ns, 1_000) + "µs"
    if ns < _NS_PER_S:
        return _exact(ns, 1_000_000) + "ms"
    minutes, rest_ns = divmod(ns, _NS_PER_MIN)
    seconds = _exact(rest_ns, _NS_PER_S) + "s"
    if not minutes:
        return seconds
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes}m{seconds}" if hours else f"{minutes}m{seconds}"


def _exact(value: int, unit: int) -> str:
    """Write *value* / *unit* with every digit it has; *unit* is a power of 1,000."""
    whole, rest = divmod(value, unit)
    if not rest:
        return str(whole)
    digits = len(str(unit)) - 1
    return f"{whole}.{rest:0{digits}d}".rstrip("0")


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
    """Every figure: ``measurement,tag=value field=number``."""
    return series(grouped(rows))


def series(rows: Iterable[Series]) -> Iterator[str]:
    """Every series, one a piece of text: a line ``measurement,tag=value field=number`` for each of its fields."""
    forms: dict[tuple[str, ...], str] = {}
    for key, fields, values in rows:
        form = forms.get(fields)
        if form is None:
            form = forms[fields] = _form(fields)
        lines = form % values
        if "nan" in lines:
            lines = lines.replace("=nan\n", "=NaN\n")
        yield lines.replace(_KEY, str(key))


_KEY = "\0"  # stands for a key; neither it nor a raw newline is in any name


def _form(fields: tuple[str, ...]) -> str:
    return "".join(f"{_KEY} {field_text(field).replace('%', '%%')}=%.9f\n" for field in fields)
