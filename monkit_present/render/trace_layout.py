"""The geometry of a trace: which row a span is drawn in, from where to where.

Pure arithmetic on start, finish and parent; nothing here writes text but the path
of the connectors. Columns of plain lists stand in for objects, one entry a span
in the order given, because a trace may have 100,000 of them. Every pass is a loop
(a trace may also be that deep) and costs at most O(n log n).

Lengths are whole tenths of a pixel, so that bars which touch do so exactly.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush

from monkit_present.rows import SpanRow

PLOT = 12_480
"""Width of the plot in tenths of a pixel."""

ROW_LIMIT = 300
"""Up to here each span has a row of its own; above, calls that do not overlap share one."""

_LEAST_BAR = 15
_LEAST_PACKED_BAR = 8
_LEAST_TICK = 640


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the spans of a trace go. Each list has one entry a span.

    Attributes:
        packed: rows are shared.
        start_ns: the earliest start of all.
        length_ns: from there to the latest finish, 0 for an instant.
        rows: how many rows there are.
        parents: index of the parent, -1 where it is not in the list.
        depths: number of ancestors in the list.
        row_of: row, 0 at the top.
        starts: nanoseconds since *start_ns*.
        ends: the same; never before the start.
        left: where the bar begins, tenths of a pixel.
        right: where it ends; never beyond the next bar of its row.
        own: the times in which no child ran, ``[from, to, from, to, ...]``,
            ascending, in nanoseconds since *start_ns*.
    """

    packed: bool
    start_ns: int
    length_ns: int
    rows: int
    parents: list[int]
    depths: list[int]
    row_of: list[int]
    starts: list[int]
    ends: list[int]
    left: list[int]
    right: list[int]
    own: list[list[int]]

    def own_ns(self, span: int) -> int:
        """Sum the own time of a span, nanoseconds."""
        own = self.own[span]
        return sum(own[1::2]) - sum(own[::2])

    def own_bars(self, span: int) -> list[tuple[int, int]]:
        """Scale the own time of a span to its bar.

        Returns:
            Pairs of left and right in tenths of a pixel from the left of the bar:
            ascending, apart, inside the bar, none empty. A span without length
            is all its own.
        """
        own, start, end = self.own[span], self.starts[span], self.ends[span]
        width = self.right[span] - self.left[span]
        if start == end or own == [start, end]:
            return [(0, width)] if width else []
        scale = width / (end - start)
        bars: list[tuple[int, int]] = []
        edges = iter(own)
        for begin, end in zip(edges, edges, strict=True):
            a, b = int((begin - start) * scale + 0.5), int((end - start) * scale + 0.5)
            if a == b:
                continue
            if bars and bars[-1][1] >= a:
                bars[-1] = (bars[-1][0], b)
            else:
                bars.append((a, b))
        return bars


def lay_out(spans: Sequence[SpanRow]) -> Layout:
    """Place the spans of a trace.

    A span whose parent does not stand before it in the list is a root; there may
    be several. Up to `ROW_LIMIT` spans the row is the place in the list. Above,
    rows are shared: children below their parent, the whole of a subtree together,
    no two bars of a row at the same time.
    """
    first = min((span.start_ns for span in spans), default=0)
    starts = [span.start_ns - first for span in spans]
    ends = [max(span.finish_ns, span.start_ns) - first for span in spans]
    length = max(ends, default=0)
    parents, depths = _ancestry(spans)
    children = _children(parents)
    packed = len(spans) > ROW_LIMIT
    row_of = _pack(starts, ends, parents, children) if packed else list(range(len(spans)))
    left, right = _scale(starts, ends, length)
    if packed:
        _keep_apart(starts, row_of, left, right)
    else:
        right = [max(b, a + _LEAST_BAR) for a, b in zip(left, right, strict=True)]
    return Layout(
        packed=packed,
        start_ns=first,
        length_ns=length,
        rows=max(row_of, default=-1) + 1,
        parents=parents,
        depths=depths,
        row_of=row_of,
        starts=starts,
        ends=ends,
        left=left,
        right=right,
        own=[_own(starts, ends, span, kids) for span, kids in enumerate(children[:-1])],
    )


def _ancestry(spans: Sequence[SpanRow]) -> tuple[list[int], list[int]]:
    """Find the index of each parent, and the depth."""
    index: dict[int | None, int] = {}
    parents: list[int] = []
    depths: list[int] = []
    for place, span in enumerate(spans):
        # Only what came before is known, so a circle of parents cannot arise.
        parent = -1 if span.parent_id is None else index.get(span.parent_id, -1)
        parents.append(parent)
        depths.append(depths[parent] + 1 if parent >= 0 else 0)
        index[span.id] = place
    return parents, depths


def _children(parents: list[int]) -> list[Sequence[int]]:
    """List the children of each span; one more entry, the last, lists the roots."""
    children: list[Sequence[int]] = [()] * (len(parents) + 1)
    for span, parent in enumerate(parents):
        known = children[parent]
        if isinstance(known, list):
            known.append(span)
        else:
            children[parent] = [span]
    return children


def _own(starts: list[int], ends: list[int], span: int, children: Sequence[int]) -> list[int]:
    """Find the times of a span in which none of its children ran."""
    covered, end = starts[span], ends[span]
    own: list[int] = []
    for child in sorted(children, key=starts.__getitem__):
        begin, finish = starts[child], ends[child]
        if begin >= end:
            break
        if begin == finish or finish <= covered:
            continue
        if begin > covered:
            own += (covered, begin)
        covered = finish
    if covered < end:
        own += (covered, end)
    return own


def _pack(starts: list[int], ends: list[int], parents: list[int], children: list[Sequence[int]]) -> list[int]:
    """Give each span a row so that subtrees keep together and nothing overlaps.

    A subtree is a block: as long as everything in it, as high as its rows. Below
    their parent blocks lie in lanes, one after the other in a lane, lane under
    lane. As blocks never overlap, bars cannot, whoever outlives whom.
    """
    count = len(parents)
    low = starts.copy()
    # A span without length still takes the instant it happened in.
    high = [max(end, start + 1) for start, end in zip(starts, ends, strict=True)]
    height = [1] * (count + 1)
    below = [1] * count
    for span in range(count - 1, -2, -1):
        blocks = children[span]
        if blocks:
            height[span] = 1 + _fill_lanes(blocks, low, high, height, below)
        parent = parents[span] if span >= 0 else -1
        if parent >= 0:
            low[parent] = min(low[parent], low[span])
            high[parent] = max(high[parent], high[span])
    row_of: list[int] = []
    for span, parent in enumerate(parents):
        row_of.append(below[span] + row_of[parent] if parent >= 0 else below[span] - 1)
    return row_of


def _fill_lanes(blocks: Sequence[int], low: list[int], high: list[int], height: list[int], below: list[int]) -> int:
    """Put the blocks under one parent into lanes, each into the highest that is free.

    Writes to *below* how many rows under the parent a block begins.

    Returns:
        The height of all lanes together.
    """
    if len(blocks) == 1:
        return height[blocks[0]]
    lanes: list[list[int]] = []
    busy: list[tuple[int, int]] = []  # (until when, lane)
    free: list[int] = []
    for block in sorted(blocks, key=low.__getitem__):
        begin = low[block]
        while busy and busy[0][0] <= begin:
            heappush(free, heappop(busy)[1])
        if free:
            lane = heappop(free)
        else:
            lane = len(lanes)
            lanes.append([])
        lanes[lane].append(block)
        heappush(busy, (high[block], lane))
    depth = 0
    for members in lanes:
        for block in members:
            below[block] = 1 + depth
        depth += max([height[block] for block in members])
    return depth


def _scale(starts: list[int], ends: list[int], length: int) -> tuple[list[int], list[int]]:
    """Turn times into tenths of a pixel. Keeps their order, as rounding is monotone."""
    scale = PLOT / max(length, 1)
    return [int(t * scale + 0.5) for t in starts], [int(t * scale + 0.5) for t in ends]


def _keep_apart(starts: list[int], row_of: list[int], left: list[int], right: list[int]) -> None:
    """Widen the shortest bars to where they can be seen, as far as the next in the row allows."""
    next_left: dict[int, int] = {}
    for span in sorted(range(len(starts)), key=starts.__getitem__, reverse=True):
        row = row_of[span]
        wide = max(right[span], left[span] + _LEAST_PACKED_BAR)
        right[span] = min(wide, next_left.get(row, wide))
        next_left[row] = left[span]


def ticks(length_ns: int) -> list[tuple[int, int]]:
    """Choose the marks of the ruler: steps of 1, 2 or 5 times a power of ten.

    Returns:
        Pairs of place, in tenths of a pixel, and time, in nanoseconds; at least
        64 pixels apart. For an instant there is the first mark only.
    """
    if length_ns <= 0:
        return [(0, 0)]
    power = 1
    while True:
        for digit in (1, 2, 5):
            step = digit * power
            if step * PLOT >= _LEAST_TICK * length_ns:
                return [((t * PLOT + length_ns // 2) // length_ns, t) for t in range(0, length_ns + 1, step)]
        power *= 10


def connectors(layout: Layout, corner: tuple[int, int], row_height: int, bar_height: int) -> Iterator[str]:
    """Draw the lines from parents to children as pieces of path data.

    From the lower left corner of the parent down to the child where both begin
    within 60 pixels of each other; otherwise a stub at the child says that it
    has a parent, and a long line would only cross other rows.

    Args:
        layout: where the bars are.
        corner: x and y of the plot, pixels.
        row_height: from a row to the next, pixels.
        bar_height: of a bar, pixels.
    """
    left, top = corner
    for span, parent in enumerate(layout.parents):
        if parent < 0:
            continue
        x, from_x = left + layout.left[span] / 10, left + layout.left[parent] / 10
        middle = top + row_height * layout.row_of[span] + bar_height / 2
        if abs(x - from_x) < 60:
            bottom = top + row_height * layout.row_of[parent] + bar_height
            yield f"M{from_x + 0.5:g} {bottom}V{middle:g}H{max(x - 1, from_x + 0.5):g}"
        else:
            yield f"M{x - 6:g} {middle:g}h5"
