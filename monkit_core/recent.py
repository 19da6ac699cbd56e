"""Recent traces: trees of finished spans, kept by function, by how long they took and by error.

Every span that ends leaves a record in its trace. When a function ends a call
and no tree of that latency class (or error) was kept within the last second,
the records below the call are kept here. So there is always an example of what
was slow, of what is usual and of what failed, also below a root that never
ends.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import starmap, takewhile
from typing import TYPE_CHECKING, Protocol, TypeVar

from monkit_core.clock import NS_PER_S
from monkit_core.locks import LOCK

if TYPE_CHECKING:
    from monkit_core.func import Func
    from monkit_core.span import Trace

__all__ = [
    "BOUNDS_NS", "EVERY_NS", "LATENCY_CLASSES", "LEAST_RECORDS", "MOST_BUFFERED", "MOST_RECORDS", "RawRecord",
    "RecentStore", "RecentTrace", "SpanRecord", "class_bounds", "latency_class", "parents_first", "subtrees",
]  # fmt: skip

MOST_RECORDS = 1000
"""Records that a running trace holds; the oldest go first."""
LEAST_RECORDS = 16
"""Records that a running trace may hold although all running traces together have `MOST_BUFFERED`."""
MOST_BUFFERED = 200_000
"""Records that all running traces hold together, apart from their first `LEAST_RECORDS`."""
EVERY_NS = NS_PER_S
"""How long after a tree the next one of the same function and class may be kept."""

_ROOM = 20_000
_LEAST_NS = 10_000
LATENCY_CLASSES = 8
BOUNDS_NS = tuple(_LEAST_NS * 10**power for power in range(LATENCY_CLASSES - 1))

RawRecord = tuple[
    "Func", int, int | None, int, int, str | None, bool, bool, tuple[str, ...], tuple[tuple[str, str], ...]
]
"""A record as the engines make it: the fields of a `SpanRecord` in their order."""


def latency_class(duration_ns: int) -> int:
    """0 below 10 µs, then one more for each power of ten; 7 from 10 s."""
    for index, bound in enumerate(BOUNDS_NS):
        if duration_ns < bound:
            return index
    return LATENCY_CLASSES - 1


def class_bounds(latency: int) -> tuple[int, int]:
    """Nanoseconds from which on a duration is of this class, and from which on it is above."""
    return (0, *BOUNDS_NS)[latency], (*BOUNDS_NS, 1 << 63)[latency]


@dataclass(frozen=True, slots=True)
class SpanRecord:
    """What is kept of a finished span.

    Attributes:
        func: the function.
        id: 63 bits.
        parent_id: 64 bits, ``None`` at the root of a trace.
        start_ns: monotonic nanoseconds.
        finish_ns: the same clock.
        error_name: name of the error or panic it ended with.
        panicked: whether it was a panic.
        orphaned: its parent ended first.
        args: recorded arguments as ``name=repr``.
        annotations: pairs of key and value in the order they were made.
    """

    func: Func
    id: int
    parent_id: int | None
    start_ns: int
    finish_ns: int
    error_name: str | None
    panicked: bool
    orphaned: bool
    args: tuple[str, ...]
    annotations: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class RecentTrace:
    """A finished call and what was called below it.

    Attributes:
        func: of the call.
        trace_id: 128 bits.
        kind: the latency class of the call (see `latency_class`), or the name of its error.
        records: parents before children, siblings by start; the first is the call.
        dropped: records that had gone from the trace before; some of them may have belonged here.
    """

    func: Func
    trace_id: int
    kind: int | str
    records: tuple[SpanRecord, ...]
    dropped: int


class RecentStore:
    """Finished trees, bounded in number and bytes; the oldest go first.

    Calls bring trees here in the thread where they end and never wait: while
    somebody reads, or when more than 20,000 records were looked at within a
    second, a tree is left out and the next one takes its place.

    Args:
        most_trees: kept in all.
        most_bytes: that they take in all, estimated.
        most_alike: kept of one function and kind.
    """

    def __init__(self, *, most_trees: int = 1000, most_bytes: int = 16 << 20, most_alike: int = 10) -> None:
        self._most_trees = most_trees
        self._most_bytes = most_bytes
        self._most_alike = most_alike
        self._trees: OrderedDict[int, tuple[RecentTrace, int]] = OrderedDict()  # with the bytes of each
        self._alike: dict[tuple[Func, int | str], list[int]] = {}  # a deque would take ten times the memory
        self._bytes = 0
        self._next = 0
        self._room = 0
        self._refill_ns = 0

    def bring(self, kind: int | str, trace: Trace, records: Iterable[RawRecord]) -> None:
        """Keep the tree of a call that has just ended, if there is room. Never raises.

        Args:
            kind: its latency class, or the name of its error.
            trace: it ran in.
            records: of the trace, the newest first, which is that of the call itself; those that ended before
                the call began are not looked at.
        """
        if not LOCK.acquire(blocking=False):
            return
        try:
            tree = _tree(records)
            func, now_ns = tree[0].func, tree[0].finish_ns
            if now_ns >= self._refill_ns:
                self._refill_ns = now_ns + NS_PER_S
                self._room = _ROOM
            if self._room > 0:
                self._room -= len(tree)
                self._add(RecentTrace(func, trace.id, kind, tuple(tree), trace.records_dropped), sum(map(_size, tree)))
                func.postpone(kind, now_ns + EVERY_NS)
        except RecursionError:
            pass  # hardly any stack is left, which is the program's doing: this tree is left out
        finally:
            LOCK.release()

    def _add(self, tree: RecentTrace, size: int) -> None:
        alike = self._alike.setdefault((tree.func, tree.kind), [])
        if len(alike) >= self._most_alike:
            self._remove(alike[0])
        alike.append(self._next)
        self._trees[self._next] = (tree, size)
        self._next += 1
        self._bytes += size
        while len(self._trees) > self._most_trees or (self._bytes > self._most_bytes and len(self._trees) > 1):
            self._remove(next(iter(self._trees)))

    def _remove(self, number: int) -> None:
        tree, size = self._trees.pop(number)
        self._bytes -= size
        alike = self._alike[tree.func, tree.kind]
        alike.remove(number)
        if not alike:
            del self._alike[tree.func, tree.kind]

    def traces(self, func: Func | None = None) -> list[RecentTrace]:
        """What is kept, of all functions or of *func*, the oldest first."""
        with LOCK:
            return [tree for tree, _ in self._trees.values() if func is None or tree.func is func]

    def clear(self) -> None:
        """Forget everything."""
        with LOCK:
            self._trees.clear()
            self._alike.clear()
            self._bytes = 0


def _tree(records: Iterable[RawRecord]) -> list[SpanRecord]:
    """The first of *records*, and those below it: parents before children, siblings by start."""
    newest_first = iter(records)
    root = SpanRecord(*next(newest_first))
    later = takewhile(lambda record: record.finish_ns >= root.start_ns, starmap(SpanRecord, newest_first))
    return subtrees([root], later)


def parents_first(records: Sequence[SpanRecord]) -> list[SpanRecord]:
    """*records* in an order in which parents stand before children, siblings by start.

    Args:
        records: in the order of their starts; those whose parent is not among them are roots.
    """
    known = {record.id for record in records}
    roots = [record for record in records if record.parent_id is None or record.parent_id not in known]
    return subtrees(roots[::-1], (record for record in records if record.parent_id in known))


class _Call(Protocol):
    """What has a place in a tree of calls."""

    @property
    def id(self) -> int: ...
    @property
    def parent_id(self) -> int | None: ...
    @property
    def start_ns(self) -> int: ...


C = TypeVar("C", bound=_Call)


def subtrees(roots: list[C], others: Iterable[C]) -> list[C]:
    """*roots*, the last first, each followed by those of *others* that are below it; they are used up."""
    children: dict[int | None, list[C]] = {}
    for record in others:
        children.setdefault(record.parent_id, []).append(record)
    tree: list[C] = []
    waiting = roots
    while waiting:
        record = waiting.pop()
        tree.append(record)
        below = children.pop(record.id, None)
        if below:
            below.sort(key=lambda found: (found.start_ns, found.id), reverse=True)
            waiting += below
    return tree


def _size(record: SpanRecord) -> int:
    """Bytes that a record takes, about."""
    texts = sum(map(len, record.args)) + sum(len(key) + len(text) + 200 for key, text in record.annotations)
    return 400 + texts
