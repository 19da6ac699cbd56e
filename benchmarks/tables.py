"""Tables: results as rows of cells, for the terminal and for documents."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from benchmarks import memory, pages, primitives
from benchmarks.bars import Verdict, verdicts
from benchmarks.calls import MONKIT, WATCHED
from benchmarks.figures import Result, Row, find_row

__all__ = ["TABLES", "Table", "amount", "as_markdown", "as_text", "bars_of"]


@dataclass(frozen=True, slots=True)
class Table:
    """A head, and rows of as many cells."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def amount(value: float) -> str:
    """A number with the digits that mean something: ``12,346``, ``123``, ``12.3``, ``0.12``."""
    size = abs(value)
    return f"{value:,.0f}" if size >= 100 else f"{value:.1f}" if size >= 0.995 or not size else f"{value:.2f}"


def as_text(table: Table) -> str:
    """Columns side by side; what is no first column stands to the right."""
    lines = (table.head, *table.rows)
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(_aligned(line, widths) for line in lines)


def _aligned(cells: Sequence[str], widths: Sequence[int]) -> str:
    first, *others = zip(cells, widths, strict=True)
    return "  ".join((first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in others))).rstrip()


def as_markdown(table: Table) -> str:
    """A table of Markdown, numbers to the right."""
    rules = ("---", *("--:" for _ in table.head[1:]))
    return "\n".join(f"| {' | '.join(cells)} |".replace("|  |", "| |") for cells in (table.head, rules, *table.rows))


def _called(name: str, engine: str) -> str:
    """``monkit, watched`` with its engine: ``monkit, pure engine, watched``."""
    return name.replace(MONKIT, f"{MONKIT}, {engine} engine", 1)


def _cell(row: Row | None, *, unit: bool = False) -> str:
    if row is None:
        return "–"
    ratio = "" if row.ratio is None else f" ({amount(row.ratio)}×)"
    return amount(row.minimum) + (f" {row.unit}" if unit else "") + ratio


def _by_name(results: Sequence[Result], corner: str, columns: Mapping[str, str]) -> Table:
    """A row for each name, a column for each group; *columns* are groups by their title.

    What is no figure of ours was measured beside each engine; the first result has it.
    """
    rows = []
    for i, result in enumerate(results):
        names = dict.fromkeys(row.name for group in columns.values() for row in result.rows if row.group == group)
        for name in names:
            ours = name.startswith(MONKIT)
            if ours or not i:
                cells = (_cell(find_row(result.rows, group, name)) for group in columns.values())
                rows.append((_called(name, result.engine), *cells))
    return Table((corner, *columns), tuple(rows))


def _by_group(results: Sequence[Result], corner: str, belongs: Callable[[str], bool]) -> Table:
    """A row for each group and engine, a column for each name."""
    names: dict[str, str] = {}
    for result in results:
        names.update({row.name: row.unit for row in result.rows if belongs(row.group)})
    rows = []
    for group in dict.fromkeys(row.group for result in results for row in result.rows if belongs(row.group)):
        for result in results:
            cells = (_cell(find_row(result.rows, group, name)) for name in names)
            rows.append((group, result.engine, *cells))
    return Table((corner, "engine", *(f"{name}, {unit}" for name, unit in names.items())), tuple(rows))


def _machine(results: Sequence[Result]) -> Table:
    first = results[0]
    rows = [("machine", first.machine), ("Python", first.python)]
    rows += [(name, version) for name, version in first.versions.items()]
    return Table(("", "measured with"), (*rows, ("engines", ", ".join(result.engine for result in results))))


def _primitives(results: Sequence[Result]) -> Table:
    rows = []
    for i, result in enumerate(results):
        for row in result.rows:
            ours = "prometheus" not in row.name and "ddsketch" not in row.name
            if row.group == primitives.COST and (ours or not i):
                name = f"{row.name}, {result.engine} engine" if ours else row.name
                rows.append((name, _cell(row), _cell(find_row(result.rows, primitives.WHOLE, row.name))))
    return Table(("ns", "less an empty method call", "the whole call"), tuple(rows))


def _memory(results: Sequence[Result]) -> Table:
    names = dict.fromkeys(row.name for result in results for row in result.rows if row.group == memory.GROUP)
    rows = (
        (name, *(_cell(find_row(result.rows, memory.GROUP, name), unit=True) for result in results)) for name in names
    )
    return Table(("", *(f"{result.engine} engine" for result in results)), tuple(rows))


def bars_of(results: Iterable[Result], margin: float, *, measured: bool = False) -> Table:
    """Every bar, or those that were *measured*, with what was found; what is missed says so."""
    rows = []
    for result in results:
        for verdict in verdicts(result, margin=margin):
            if verdict.found is not None or not measured:
                rows.append(_bar_cells(verdict, result.engine))
    return Table(("bar", "engine", "unit", "found", "bar", "allowed", ""), tuple(rows))


def _bar_cells(verdict: Verdict, engine: str) -> tuple[str, ...]:
    bar = verdict.bar
    name = _called(bar.name, engine) + (" ÷ unwatched" if bar.name == WATCHED else "")
    found = "not measured" if verdict.found is None else amount(verdict.found)
    limits = (amount(verdict.limit), amount(verdict.allowed))
    return (f"{bar.group}: {name}", engine, bar.unit, found, *limits, "" if verdict.met else "MISSED")


_PLACES = {"sync root": "sync, root", "sync child": "sync, child"}
_ASYNC_PLACES = {"async root": "async, root", "async child": "async, child"}
_THREE = {title: group.replace(", ", ", three arguments, ") for title, group in (_PLACES | _ASYNC_PLACES).items()}
_GENERATORS = {
    "whole, root": "generator of three steps, root",
    "three arguments, root": "generator of three steps, three arguments, root",
    "a step": "generator step, root",
    "async, whole, root": "async generator of three steps, root",
    "async, a step": "async generator step, root",
}
_CREATION = {
    "sync": "creation, sync",
    "three arguments": "creation, sync, three arguments",
    "async": "creation, async",
}

TABLES: dict[str, Callable[[Sequence[Result]], Table]] = {
    "machine": _machine,
    "calls": lambda results: _by_name(results, "ns a call", _PLACES | _ASYNC_PLACES),
    "calls with three arguments": lambda results: _by_name(results, "ns a call", _THREE),
    "generators": lambda results: _by_name(results, "ns", _GENERATORS),
    "primitives": _primitives,
    "creation": lambda results: _by_name(results, "µs a function", _CREATION),
    "threads": lambda results: _by_group(results, "threads that call", lambda group: "thread" in group),
    "memory": _memory,
    "pages": lambda results: _by_group(
        results, "page", lambda group: group == pages.NO_PAGE or group.endswith(" functions")
    ),
    "pictures": lambda results: _by_group(
        results, "picture", lambda group: group.startswith(("/trace/svg", "/funcs/svg"))
    ),
    "bars": lambda results: bars_of(results, 1.0, measured=True),
}
"""Every table by its name in documents."""
