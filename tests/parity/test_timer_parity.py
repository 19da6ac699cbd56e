from __future__ import annotations

from monkit_core import SeriesKey, Timer
from tests.helpers import OURS_ONLY, check_figures, figures, vectors

TIMER = vectors("timer")


def test_fresh_timer_is_the_original_s() -> None:
    check_figures(figures(Timer(SeriesKey("t")).stats()), TIMER["fresh_stats"])


def test_only_the_first_stop_of_a_run_counts() -> None:
    timer = Timer(SeriesKey("t"))
    timer.start()  # never stopped
    run = timer.start()
    first = run.stop()
    second = run.stop()
    assert (second >= first) == TIMER["second_stop_returns_larger_elapsed"]
    summary = timer.distribution.summary()
    assert summary.count == TIMER["count_after_stop_twice_and_one_unstopped"]
    assert (summary.recent / 1e9 == first) == TIMER["recent_is_first_stop"]
    assert [field for _, field, _ in figures(timer.stats())] == [*TIMER["fields_after_one"], *OURS_ONLY]
