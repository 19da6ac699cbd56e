"""Tracks: spans laid out so that those of one track are either apart or one inside the other.

Programs that draw traces show a thread as a stack of calls and cannot show two
calls side by side in it. Calls of one asyncio program overlap as they like, so
a call lies on the track of its parent where it is the only child that runs
there, and begins a track of its own otherwise.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from heapq import heappop, heappush

from monkit_core.formats.spans import SLICE, SpanRow

__all__ = ["Track", "place"]

Track = list[tuple[int, int]]
"""Pairs of depth and index of the span, by start: a span is inside the last one before it that is less deep."""


def place(spans: Sequence[SpanRow]) -> Generator[str, None, list[Track]]:
    """Lay *spans* out, in O(n log n).

    A finish before the start counts as one at the start. Of spans on one track that are not one inside the other,
    the earlier ends before, or at the moment when, the later begins.

    Args:
        spans: parents before children.

    Yields:
        An empty text after each `SLICE` spans.

    Returns:
        The tracks, in the order of their first spans.
    """
    starts: list[int] = []
    finishes: list[int] = []
    parents: list[int] = []  # the place of each, -1 where it is not there, or not before its child
    places: dict[int | None, int] = {}
    for index, span in enumerate(spans):
        if index % SLICE == SLICE - 1:
            yield ""
        starts.append(span.start_ns)
        finishes.append(max(span.start_ns, span.finish_ns))
        parents.append(-1 if span.parent_id is None else places.get(span.parent_id, -1))
        places[span.id] = index
    return (yield from _fill(starts, finishes, parents))


def _fill(starts: list[int], finishes: list[int], parents: list[int]) -> Generator[str, None, list[Track]]:
    """Put each span on the track of its parent, on one that is free, or on a new one, in the order of starts."""
    track_of = [-1] * len(starts)
    tracks: list[Track] = []
    stacks: list[list[int]] = []  # of each track, the spans that are open at the moment
    busy: list[tuple[int, int]] = []  # until when, and which track
    free: list[int] = []
    for number, index in enumerate(sorted(range(len(starts)), key=starts.__getitem__)):
        if number % SLICE == SLICE - 1:
            yield ""
        start, finish, parent = starts[index], finishes[index], parents[index]
        track = track_of[parent] if parent >= 0 else -1
        if track < 0 or not _fits(stacks[track], finishes, parent, start, finish):
            while busy and busy[0][0] <= start:
                heappush(free, heappop(busy)[1])
            if free:
                track = heappop(free)
                stacks[track].clear()
            else:
                track = len(tracks)
                tracks.append([])
                stacks.append([])
            heappush(busy, (finish, track))
        track_of[index] = track
        tracks[track].append((len(stacks[track]), index))
        stacks[track].append(index)
    return tracks


def _fits(stack: list[int], finishes: list[int], parent: int, start: int, finish: int) -> bool:
    """Whether the parent is the innermost call that is open on its track, and ends no earlier; closes what has ended.

    What ends at the very start has ended, but for the parent of a call that takes no time.
    """
    while stack and (finishes[stack[-1]] < start or (finishes[stack[-1]] == start and stack[-1] != parent)):
        stack.pop()
    return bool(stack) and stack[-1] == parent and finishes[parent] >= finish
