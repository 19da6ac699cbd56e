"""Tasks that are ready and pollers that wait, both first in, first out; only in memory.

Entries are not taken out when they become stale: whoever takes one looks again
at the run.
"""

from __future__ import annotations

import heapq
from collections import defaultdict, deque
from collections.abc import Iterable
from typing import Generic, NamedTuple, TypeVar

from monkit_workflow.sqlite.calls import Call

__all__ = ["Agenda", "Line", "Lines", "Poller"]

T = TypeVar("T")

_SWEEP = 1_000
"""So many come at least before those who have gone are looked for."""


class Poller(NamedTuple):
    """Somebody who waits for a task."""

    identity: str
    call: Call


class Line(Generic[T]):
    """One queue: what is ready in it and who waits for it."""

    __slots__ = ("_added", "pollers", "ready")

    def __init__(self) -> None:
        self.ready: deque[T] = deque()
        self.pollers: deque[Poller] = deque()
        self._added = 0

    def add_poller(self, poller: Poller) -> None:
        """Somebody waits. Now and then those who have gone are let go, at a bounded cost for each that comes."""
        self._added += 1
        if self._added > len(self.pollers) + _SWEEP:
            self.pollers = deque(waiting for waiting in self.pollers if not waiting.call.gone)
            self._added = 0
        self.pollers.append(poller)

    def next_poller(self) -> Poller | None:
        """Take the one that has waited longest and still does."""
        while self.pollers:
            poller = self.pollers.popleft()
            if not poller.call.gone:
                return poller
        return None


class Lines(Generic[T]):
    """The queues of one kind of task; ``stirred`` are those to look at for a match, in order."""

    def __init__(self) -> None:
        self._lines: defaultdict[str, Line[T]] = defaultdict(Line)
        self.stirred: dict[str, None] = {}

    def __getitem__(self, queue: str) -> Line[T]:
        return self._lines[queue]

    def add_ready(self, queue: str, entry: T) -> None:
        """A task is ready."""
        self._lines[queue].ready.append(entry)
        self.stirred[queue] = None

    def add_poller(self, queue: str, poller: Poller) -> None:
        """Somebody waits."""
        self._lines[queue].add_poller(poller)
        self.stirred[queue] = None

    def take_stirred(self) -> list[Line[T]]:
        """The queues where a match may be possible."""
        if not self.stirred:
            return []
        found = [self._lines[queue] for queue in self.stirred]
        self.stirred.clear()
        return [line for line in found if line.ready and line.pollers]

    def lines(self) -> Iterable[Line[T]]:
        """All queues."""
        return self._lines.values()

    def waiting(self) -> list[Call]:
        """Everybody who waits."""
        return [poller.call for line in self._lines.values() for poller in line.pollers]

    def take_pollers(self, identity: str | None) -> list[Call]:
        """Take out the pollers of one worker, of all with ``None``."""
        taken: list[Call] = []
        for line in self._lines.values():
            kept = [poller for poller in line.pollers if identity is not None and poller.identity != identity]
            taken += [poller.call for poller in line.pollers if identity is None or poller.identity == identity]
            line.pollers = deque(kept)
        return taken

    def forget_ready(self) -> None:
        """Forget what is ready: it will be read from the file again. Who waits stays."""
        for line in self._lines.values():
            line.ready.clear()


class Agenda:
    """What only memory knows to be due: time, run, and the token of a held task or ``""`` for one that waits."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, str]] = []

    def add(self, due_ns: int, run: int, token: str) -> None:
        """Have *run* looked at then."""
        heapq.heappush(self._heap, (due_ns, run, token))

    def next_ns(self) -> int | None:
        """When the next is due."""
        return self._heap[0][0] if self._heap else None

    def take(self, now_ns: int) -> list[tuple[int, str]]:
        """Take what is due: run and token."""
        found: list[tuple[int, str]] = []
        while self._heap and self._heap[0][0] <= now_ns:
            _, run, token = heapq.heappop(self._heap)
            found.append((run, token))
        return found

    def clear(self) -> None:
        """Forget everything."""
        self._heap.clear()
