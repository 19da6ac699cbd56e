"""Pictures of views: curves, histograms and bands, as geometry."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monkit_present.render.curves import COLUMNS, columns, curve, log_columns
from monkit_present.render.flows import Side, flows
from monkit_present.render.latency import latency

BINS = st.lists(st.tuples(st.floats(0, 1e13), st.integers(1, 10**6)), min_size=1, max_size=60).map(sorted)


@given(st.lists(st.floats(0, 1e12), min_size=2, max_size=61))
def test_curve_stays_in_its_box_and_ends_at_its_last_point(points: list[float]) -> None:
    found = curve(points)
    assert found is not None
    places = [tuple(map(float, pair.split())) for pair in found.line[1:].split("L")]
    assert len(places) == len(points)
    assert all(0 <= x <= 64 and 0 <= y <= 18 for x, y in places)
    assert places[-1] == (float(found.x), float(found.y))
    assert curve(points[:1]) is None


@given(BINS, st.integers(1, 40), st.integers(1, 20))
def test_columns_lose_no_value(bins: list[tuple[float, int]], count: int, a_decade: int) -> None:
    counts = log_columns(bins, 1_000, count, a_decade)
    assert sum(counts) == sum(n for _, n in bins)
    assert len(counts) == count


@given(BINS)
def test_small_histogram_stays_in_its_box(bins: list[tuple[float, int]]) -> None:
    found = columns(bins, (bins[0][0], bins[-1][0]))
    assert found is not None
    for x, y in re.findall(r"M([\d.]+) ([\d.]+)h", found.columns):
        assert 0 <= float(x) <= 3 * COLUMNS
        assert 2 <= float(y) <= 15
    assert columns([], ()) is None


@given(BINS, BINS)
def test_latency_picture_shows_every_call_and_stays_in_its_box(
    ok: list[tuple[float, int]], bad: list[tuple[float, int]]
) -> None:
    found = latency(ok, bad, (ok[0][0], ok[-1][0], bad[-1][0]))
    assert found is not None
    shown = [
        tuple(int(n.replace(",", "")) for n in re.findall(r"([\d,]+) (?:ok|failed)", bar.title)) for bar in found.bars
    ]
    assert sum(n for n, _ in shown) == sum(n for _, n in ok)
    assert sum(n for _, n in shown) == sum(n for _, n in bad)
    for bar in found.bars:
        assert 0 <= bar.x < 100
        assert 33.9 <= bar.bad_y <= bar.ok_y + 1e-9 <= 220.1
    assert all(0 <= mark.x <= 100 for mark in found.marks)


def test_few_failures_among_many_calls_can_be_seen() -> None:
    found = latency([(1e6, 1_000_000)], [(1e6, 1)], (1e6, 1e6, 1e6))
    assert found is not None
    assert found.bars[0].bad_height >= 1.5


@given(st.lists(st.integers(1, 10**6), max_size=8), st.lists(st.integers(1, 10**6), max_size=8))
def test_bands_of_a_side_add_up_to_the_block(callers: list[int], callees: list[int]) -> None:
    found = flows(
        "me",
        sum(callers),
        [Side(f"shop.caller{n}", "", count) for n, count in enumerate(callers)],
        [Side(f"shop.callee{n}", "/x", count) for n, count in enumerate(callees)],
        more_callers=0,
        more_callees=2,
    )
    assert len(found.bands) == len(callers) + len(callees)
    assert "2 callees" in found.left_out
    labels = sorted(band.y for band in found.bands if band.anchor == "end")
    assert all(later - sooner >= 28 for sooner, later in pairwise(labels))
    assert all(band.y + 14 <= found.height + 20 for band in found.bands)


def test_long_name_is_cut_at_its_scope_and_never_at_its_end() -> None:
    found = flows(
        "me", 1, [Side("a.very.long.scope.of.many.parts.Class.method", "", 1)], [], more_callers=0, more_callees=0
    )
    assert found.bands[0].name.endswith("Class.method")
    assert len(found.bands[0].name) <= 26
    assert found.bands[0].title.startswith("a.very.long.scope.of.many.parts.Class.method: 1 call")


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0, 9e12, 1e15])
def test_latency_of_any_size_has_a_picture(value: float) -> None:
    found = latency([(value, 1)], [], (value, value, value))
    assert found is not None
    assert len(found.bars) == 1
