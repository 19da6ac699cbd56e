from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monkit_present.render import trace_layout
from monkit_present.render.trace_layout import PLOT, ROW_LIMIT, Layout, connectors, lay_out, ticks
from monkit_present.rows import SpanRow
from tests.present.trace_cases import MS, SHAPES, large_trace, random_spans, small_trace, span, vector_traces

VECTOR_TRACES = dict(vector_traces())


def packed(spans: tuple[SpanRow, ...]) -> Layout:
    """Lay out few spans as if they were many."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trace_layout, "ROW_LIMIT", -1)
        return lay_out(spans)


def check_rows(layout: Layout) -> None:
    """No two bars of a row overlap, in time and as drawn; children are below their parents."""
    by_row: dict[int, list[int]] = {}
    for index, row in enumerate(layout.row_of):
        by_row.setdefault(row, []).append(index)
    assert sorted(by_row) == list(range(layout.rows)), "a row is empty"
    for members in by_row.values():
        members.sort(key=lambda i: layout.starts[i])
        for a, b in pairwise(members):
            assert max(layout.ends[a], layout.starts[a] + 1) <= layout.starts[b]
            assert layout.left[a] <= layout.right[a] <= layout.left[b]
    for index, parent in enumerate(layout.parents):
        assert parent < index
        if parent >= 0:
            assert layout.row_of[index] > layout.row_of[parent]
            assert layout.depths[index] == layout.depths[parent] + 1
        else:
            assert layout.depths[index] == 0


def check_own(layout: Layout) -> None:
    """Own time lies in the span, adds up to what no child covers, and is drawn inside the bar."""
    for index, own in enumerate(layout.own):
        start, end = layout.starts[index], layout.ends[index]
        edges = [start, *own, end]
        assert edges == sorted(edges)
        assert len(set(own)) == len(own)
        children = [i for i, parent in enumerate(layout.parents) if parent == index]
        assert layout.own_ns(index) == end - start - _covered(layout, children, start, end)
        drawn = [
            0,
            *(edge for pair in layout.own_bars(index) for edge in pair),
            layout.right[index] - layout.left[index],
        ]
        assert drawn == sorted(drawn)
        assert len(set(drawn[1:-1])) == len(drawn) - 2


def _covered(layout: Layout, spans: list[int], start: int, end: int) -> int:
    """Measure the union of spans inside a window, piece by piece between all edges."""
    edges = {start, end, *(layout.starts[i] for i in spans), *(layout.ends[i] for i in spans)}
    inside = sorted(edge for edge in edges if start <= edge <= end)
    return sum(b - a for a, b in pairwise(inside) if any(layout.starts[i] <= a and b <= layout.ends[i] for i in spans))


@given(random_spans())
def test_packed_bars_never_overlap_and_children_are_below(spans: tuple[SpanRow, ...]) -> None:
    layout = packed(spans)
    check_rows(layout)
    check_own(layout)


@given(random_spans())
def test_few_spans_get_a_row_each_in_the_order_given(spans: tuple[SpanRow, ...]) -> None:
    layout = lay_out(spans)
    assert layout.row_of == list(range(len(spans)))
    assert not layout.packed
    check_rows(layout)
    check_own(layout)


@given(random_spans())
def test_packed_subtrees_keep_together(spans: tuple[SpanRow, ...]) -> None:
    layout = packed(spans)
    subtree = [{i} for i in range(len(spans))]
    for index in reversed(range(len(spans))):
        if layout.parents[index] >= 0:
            subtree[layout.parents[index]] |= subtree[index]
    boxes = [
        (
            *(min(layout.starts[i] for i in members), max(max(layout.ends[i], layout.starts[i] + 1) for i in members)),
            *(min(layout.row_of[i] for i in members), max(layout.row_of[i] for i in members)),
        )
        for members in subtree
    ]
    for a, (from_a, to_a, top_a, foot_a) in enumerate(boxes):
        for b, (from_b, to_b, top_b, foot_b) in enumerate(boxes):
            if a != b and layout.parents[a] == layout.parents[b]:
                assert to_a <= from_b or to_b <= from_a or foot_a < top_b or foot_b < top_a


@pytest.mark.parametrize("name", VECTOR_TRACES)
def test_the_cases_of_the_original_are_laid_out(name: str) -> None:
    spans = VECTOR_TRACES[name].spans
    for layout in (lay_out(spans), packed(spans)):
        check_rows(layout)
        check_own(layout)


def test_grandchild_that_outlives_its_parent_never_overlaps_its_aunt() -> None:
    layout = packed(
        (
            span(1, None, "a.root", 0, 100),
            span(2, 1, "a.child", 10, 10),
            span(3, 2, "a.grandchild", 15, 40),
            span(4, 1, "a.aunt", 30, 10),
            span(5, 4, "a.cousin", 32, 5),
        )
    )
    check_rows(layout)
    assert layout.row_of == [0, 1, 2, 3, 4]


def test_calls_one_after_the_other_share_a_row() -> None:
    layout = packed(tuple(span(i, 1 if i > 1 else None, "a.f", i, 1 if i > 1 else 100) for i in range(1, 20)))
    assert layout.row_of == [0] + [1] * 18


def test_concurrent_calls_lie_under_each_other() -> None:
    layout = packed(tuple(span(i, 1 if i > 1 else None, "a.f", i, 100) for i in range(1, 20)))
    assert layout.row_of == list(range(19))


def test_a_freed_lane_nearest_the_parent_is_taken_first() -> None:
    spans = (span(1, None, "a.r", 0, 100), span(2, 1, "a.f", 1, 9), span(3, 1, "a.f", 2, 3), span(4, 1, "a.f", 20, 9))
    assert packed(spans).row_of == [0, 1, 2, 1]


def test_spans_without_their_parents_are_roots_on_the_same_level() -> None:
    layout = packed((span(1, None, "a.f", 0, 10), span(2, 99, "a.f", 20, 10), span(3, 99, "a.f", 25, 10)))
    assert layout.parents == [-1, -1, -1]
    assert layout.row_of == [0, 0, 1]


def test_a_circle_of_parents_is_cut() -> None:
    layout = lay_out((span(1, 2, "a.f", 0, 10), span(2, 1, "a.f", 1, 5), span(3, 3, "a.f", 2, 1)))
    assert layout.parents == [-1, 0, -1]


def test_own_time_leaves_out_children_and_clips_those_that_outlive() -> None:
    layout = lay_out(
        (span(1, None, "a.f", 0, 10), span(2, 1, "a.g", 2, 3), span(3, 1, "a.h", 4, 3), span(4, 1, "a.i", 9, 8))
    )
    assert layout.own[0] == [0, 2 * MS, 7 * MS, 9 * MS]
    assert layout.own_ns(0) == 4 * MS
    assert layout.own_ns(3) == 8 * MS


def test_the_plot_reaches_from_the_earliest_start_to_the_latest_finish() -> None:
    layout = lay_out((span(1, None, "a.f", 5, 10), span(2, 1, "a.g", 10, 15), span(3, None, "a.h", 1, 1)))
    assert (layout.start_ns - span(0, None, "a.f", 0, 0).start_ns, layout.length_ns) == (1 * MS, 24 * MS)
    assert (layout.left[2], layout.right[1]) == (0, PLOT)


def test_a_trace_without_length_is_still_seen() -> None:
    layout = lay_out(tuple(span(i, 1 if i > 1 else None, "a.f", 3, 0) for i in range(1, 5)))
    assert layout.length_ns == 0
    assert layout.left == [0] * 4
    assert all(right > 0 for right in layout.right)
    assert layout.own_bars(0) == [(0, layout.right[0])]


def test_a_finish_before_the_start_counts_as_no_time() -> None:
    layout = lay_out((span(1, None, "a.f", 10, -5), span(2, None, "a.g", 0, 20)))
    assert layout.ends[0] == layout.starts[0]


def test_no_spans_make_an_empty_layout() -> None:
    layout = lay_out(())
    assert (layout.rows, layout.length_ns, layout.own) == (0, 0, [])


def test_rows_are_shared_above_the_limit_only() -> None:
    assert not lay_out(large_trace("sequential", ROW_LIMIT).spans).packed
    assert lay_out(large_trace("sequential", ROW_LIMIT + 1).spans).packed


@pytest.mark.parametrize("shape", SHAPES)
def test_a_hundred_thousand_spans_of_any_shape_are_laid_out(shape: str) -> None:
    layout = lay_out(large_trace(shape, 100_000).spans)
    check_rows(layout)
    assert layout.rows == {"sequential": 2, "deep": 100_000, "concurrent": 100_000}.get(shape, layout.rows)


@given(st.integers(1, 10**18))
def test_ticks_are_steps_of_one_two_or_five_and_64_pixels_apart(length: int) -> None:
    marks = ticks(length)
    assert marks[0] == (0, 0)
    assert all(0 <= place <= PLOT and 0 <= ns <= length for place, ns in marks)
    assert 1 <= len(marks) <= 20
    if len(marks) > 1:
        step = marks[1][1]
        assert str(step).rstrip("0") in ("1", "2", "5")
        assert [ns for _, ns in marks] == list(range(0, length + 1, step))
        assert min(b[0] - a[0] for a, b in pairwise(marks)) >= 639  # tenths, each end rounded


def test_an_instant_has_one_tick() -> None:
    assert ticks(0) == [(0, 0)]


def test_connectors_join_near_children_and_mark_far_ones() -> None:
    layout = lay_out(small_trace().spans)
    drawn = list(connectors(layout, (16, 96), 17, 13))
    assert len(drawn) == sum(parent >= 0 for parent in layout.parents)
    assert drawn[0] == "M16.5 109V119.5H18.3"
    assert drawn[-2] == f"M{16 + layout.left[18] / 10 - 6:g} 408.5h5"
