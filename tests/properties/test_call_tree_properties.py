from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monkit_core import Registry, current_span, watch_for_spans
from tests.helpers import Recorder
from tests.programs import Program, programs, run_freely, run_in_loop, run_in_turns


@pytest.fixture(scope="module")
def fast_switching() -> Iterator[None]:
    """Threads take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


@given(st.lists(programs(), min_size=1, max_size=3))
@settings(max_examples=600, deadline=None, derandomize=True)
def test_live_tree_and_counts_are_the_model_s_over_asyncio_tasks(several: list[Program]) -> None:
    run_in_loop(Registry(), several)
    assert current_span() is None


@given(st.lists(programs(), min_size=1, max_size=3), st.integers(0, 1_000))
@settings(max_examples=300, deadline=None, derandomize=True)
def test_live_tree_and_counts_are_the_model_s_over_threads_that_take_turns(several: list[Program], seed: int) -> None:
    run_in_turns(Registry(), several, seed)
    assert current_span() is None


@pytest.mark.usefixtures("fast_switching")
@given(st.lists(programs(), min_size=1, max_size=3))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_everything_is_counted_and_nothing_left_over_threads_that_run_freely(several: list[Program]) -> None:
    run_freely(Registry(), several, threads=4)


@given(st.lists(programs(), min_size=1, max_size=3), st.integers(1, 5))
@settings(max_examples=100, deadline=None, derandomize=True)
def test_observers_see_each_start_and_finish_once_and_watchers_leave_nothing(
    several: list[Program], max_spans: int
) -> None:
    registry, recorder = Registry(), Recorder()
    registry.observe_spans(recorder)
    waiter = watch_for_spans(registry, lambda span: span.func.short_name == "a", max_spans=max_spans)
    run_in_loop(registry, several)
    assert len(recorder.spans) == len(set(recorder.spans))
    starts = sum(line.startswith("+") for line in recorder.log)
    assert starts == len(recorder.spans) == len(recorder.log) - starts
    if any(span.func.short_name == "a" for span in recorder.spans):
        capture = waiter.result(0)
        first = next(span for span in recorder.spans if span.func.short_name == "a")
        assert capture.spans[0].span is first
        assert len(capture.spans) <= max_spans
        seen: set[int] = set()
        for finished in capture.spans:
            assert finished.span is first or finished.span.parent_id in seen, "parents before children"
            assert finished.finish_ns >= finished.span.start_ns
            seen.add(finished.span.id)
        assert not capture.dropped or len(capture.spans) == max_spans
    waiter.cancel()
    assert registry.watcher_count == 1
