"""``python -m benchmarks``: measure, print, and write down; or check, or draw again."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from benchmarks.bars import MARGIN, verdicts
from benchmarks.document import DOCUMENT, draw, fill
from benchmarks.effort import CHECK, FULL, QUICK
from benchmarks.engines import available_engines, measure_engine
from benchmarks.figures import Result, read_results, write_results
from benchmarks.tables import TABLES, as_text, bars_of
from benchmarks.worker import GROUPS

_RESULTS = Path(__file__).parent / "results.json"
_CHECKED = ("calls", "primitives", "resident", "soak", "pages", "pictures", "graphs")

_ROUNDS = 3
"""Of a check in which a bar was missed: other programs may have been the reason, so that most of them have to agree."""


def _arguments(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m benchmarks", description=__doc__)
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--check", action="store_true", help="hold the bars; exit by 1 if one is missed")
    mode.add_argument("--quick", action="store_true", help="short loops and small pages; writes nothing")
    mode.add_argument("--draw", action="store_true", help="measure nothing; write tables and plot from results.json")
    parser.add_argument("--engine", action="append", choices=("native", "pure"), help="only this one; writes nothing")
    parser.add_argument("--group", action="append", choices=tuple(GROUPS), help="only this one; writes nothing")
    return parser.parse_args(words)


def main(words: Sequence[str] | None = None) -> int:
    """Do what the command line says; returns the exit code."""
    arguments = _arguments(words)
    if arguments.draw:
        _write_document()
        return 0
    effort = QUICK if arguments.quick else FULL
    groups = arguments.group or (_CHECKED if arguments.check else GROUPS)
    engines = [engine for engine in available_engines() if engine in (arguments.engine or (engine,))]
    if not engines:
        print(f"no such engine here: {', '.join(arguments.engine)}", file=sys.stderr)
        return 1
    if arguments.check:
        return _check(engines, groups, whole=arguments.group is None)
    results = [measure_engine(engine, groups, effort.name) for engine in engines]
    _print(results)
    if effort is FULL and not arguments.engine and not arguments.group:
        write_results(results, _RESULTS)
        _write_document()
    return 0


def _check(engines: Iterable[str], groups: Iterable[str], *, whole: bool) -> int:
    """Print every bar; with parts of the groups those that were not measured are missed, but do not count."""
    missed: list[str] = []
    for engine in engines:
        times: Counter[str] = Counter()
        for _ in range(_ROUNDS):
            result = measure_engine(engine, groups, CHECK.name)
            print(as_text(bars_of([result], MARGIN)), flush=True)
            times.update(
                verdict.name for verdict in verdicts(result) if not verdict.met and (whole or verdict.found is not None)
            )
            if not times:
                break
        missed += [f"{engine}: {name}" for name, count in sorted(times.items()) if count > _ROUNDS / 2]
    print("\n".join(["", "missed most times:", *missed] if missed else ["", "all kept"]))
    return 1 if missed else 0


def _print(results: Sequence[Result]) -> None:
    for name, make in TABLES.items():
        table = make(results)
        if table.rows:
            print(f"\n{name}\n\n{as_text(table)}")


def _write_document() -> None:
    results = read_results(_RESULTS)  # what was rounded when it was written
    DOCUMENT.write_text(fill(DOCUMENT.read_text("utf-8"), results), "utf-8")
    draw(results)


if __name__ == "__main__":
    sys.exit(main())
