"""What an engine does with random programs, as text: run once for each engine, so that the two can be compared.

``python -m tests.engine_log AMOUNT`` prints a line of JSON for each of so many programs, the same ones every time.
Ids are replaced by the order in which spans are first seen, and there are no times in it.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from monkit_core import Registry, Span
from tests.programs import Program, programs, run_in_loop, run_in_turns


class Log:
    """An observer that writes down spans, the records of their traces and the live tree."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._numbers: dict[int, int] = {}
        self.lines: list[Any] = []

    def _number(self, span_id: int | None) -> int | None:
        return None if span_id is None else self._numbers.setdefault(span_id, len(self._numbers))

    def _live(self) -> list[tuple[int, int | None, bool]]:
        return [(depth, self._number(span.id), span.orphaned) for depth, span in self._registry.all_spans()]

    def span_started(self, span: Span) -> None:
        self.lines.append(["+", self._number(span.id), span.func.short_name, self._number(span.parent_id)])

    def span_finished(self, span: Span, error: BaseException | None) -> None:
        records = [
            (func.short_name, self._number(own), self._number(parent), name, panicked, orphaned, args, annotations)
            for func, own, parent, _, _, name, panicked, orphaned, args, annotations in span.trace.records
        ]
        end = [span.error_name, span.panicked, span.orphaned, type(error).__name__, span.trace.records_dropped]
        self.lines.append(["-", self._number(span.id), *end, records, self._live()])

    def totals(self) -> list[Any]:
        """What was counted of each function."""
        return [
            (
                func.short_name,
                func.highwater,
                func.success_times.count,
                func.failure_times.count,
                func.panics,
                list(func.errors.items()),
                sorted((caller.short_name if caller else "", count) for caller, count in func.callers.items()),
            )
            for func in self._registry.funcs()
        ]


def write(amount: int) -> None:
    """Print what happens in each of *amount* programs, by an event loop and by threads that take turns."""

    @settings(
        max_examples=amount, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
    )
    @given(st.lists(programs(), min_size=1, max_size=3), st.integers(0, 1_000))
    def run(several: list[Program], seed: int) -> None:
        for turns in (False, True):
            registry = Registry()
            log = Log(registry)
            registry.observe_spans(log)
            if turns:
                run_in_turns(registry, several, seed)
            else:
                run_in_loop(registry, several)
            print(json.dumps([log.lines, log.totals()]))

    run()


if __name__ == "__main__":
    write(int(sys.argv[1]))
