"""Kept traces as rows of a table."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from monkit_core import Func
from monkit_core.recent import RecentTrace
from monkit_present.render import figures
from monkit_present.views.times import CANCELED

__all__ = ["CLASSES", "KeptRow", "kept_rows", "notable", "why_kept"]

CLASSES = (
    "below 10µs", "10µs to 100µs", "100µs to 1ms", "1ms to 10ms", "10ms to 100ms", "100ms to 1s", "1s to 10s",
    "above 10s",
)  # fmt: skip
"""What the latency classes of kept traces are called."""


@dataclass(frozen=True, slots=True)
class KeptRow:
    """A kept trace.

    Attributes:
        path: of its page.
        func: of the call at its root.
        at: local time of its end.
        kind: the mark of its outcome, empty for a success.
        why: it was kept, in words.
        args: recorded arguments.
        took_ns: nanoseconds.
        spans: how many.
        percent: of the length of its bar, on a logarithmic axis over all rows.
    """

    path: str
    func: Func
    at: str
    kind: str
    why: str
    args: tuple[str, ...]
    took_ns: int
    spans: int
    percent: float


def kept_rows(traces: Iterable[RecentTrace], wall_offset_ns: int) -> list[KeptRow]:
    """A row for each of *traces*, in their order."""
    found = list(traces)
    lengths = [math.log10(max(_took_ns(trace), 1)) for trace in found]
    low, high = min(lengths, default=0.0), max(lengths, default=1.0)
    return [
        _row(trace, wall_offset_ns, 4 + 96 * (length - low) / max(high - low, 1e-9) if high > low else 100.0)
        for trace, length in zip(found, lengths, strict=True)
    ]


def _took_ns(trace: RecentTrace) -> int:
    root = trace.records[0]
    return root.finish_ns - root.start_ns


def _row(trace: RecentTrace, wall_offset_ns: int, percent: float) -> KeptRow:
    root = trace.records[0]
    kind, why = why_kept(trace)
    return KeptRow(
        path=f"/traces/{root.id:016x}",
        func=trace.func,
        at=figures.time_of_day(root.finish_ns + wall_offset_ns),
        kind=kind,
        why=why,
        args=root.args,
        took_ns=_took_ns(trace),
        spans=len(trace.records),
        percent=percent,
    )


def why_kept(trace: RecentTrace) -> tuple[str, str]:
    """The mark, empty for a success, and the words."""
    root = trace.records[0]
    if isinstance(trace.kind, str):
        return ("pan" if root.panicked else "can" if trace.kind == CANCELED else "err"), trace.kind
    return "", CLASSES[trace.kind]


def notable(traces: Iterable[RecentTrace]) -> list[RecentTrace]:
    """Those that failed, and those of the slowest class of their function; in their order."""
    found = list(traces)
    slowest: dict[Func, int] = {}
    for trace in found:
        if isinstance(trace.kind, int):
            slowest[trace.func] = max(slowest.get(trace.func, 0), trace.kind)
    return [trace for trace in found if isinstance(trace.kind, str) or trace.kind == slowest[trace.func]]
