from __future__ import annotations

import gc
import random
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from monkit_core import Distribution, engine
from monkit_core.engine.pure.numbers import RESERVOIR_SIZE, WINDOW, Histogram
from monkit_core.locks import LOCK
from tests.helpers import BOUND_S

pure_only = pytest.mark.skipif(engine.name != "pure", reason="the compiled engine works each value in at once")


def made_of(values: list[float], *, integral: bool = False) -> Distribution:
    distribution = Distribution(integral=integral)
    for value in values:
        distribution.observe(value)
    return distribution


def test_empty_distribution_says_zero() -> None:
    summary = Distribution(integral=True).summary((0.5,))
    assert (summary.count, summary.sum, summary.low, summary.high, summary.recent) == (0, 0, 0, 0, 0)
    assert (summary.full_average, summary.reservoir_average, summary.quantiles) == (0, 0, (0,))


def test_quantiles_are_exact_up_to_64_values() -> None:
    values = [float(number) for number in range(64)]
    random.Random(1).shuffle(values)
    distribution = made_of(values)
    assert [distribution.quantile(number / 63) for number in range(64)] == pytest.approx(sorted(values))
    assert distribution.quantile(0.5) == 31.5
    assert (distribution.quantile(-1), distribution.quantile(2)) == (0, 63)
    assert distribution.summary().reservoir_average == 31.5


def test_quantile_sees_each_new_value_although_the_sort_is_kept() -> None:
    distribution = made_of([1, 2])
    assert distribution.quantile(1) == 2
    assert distribution.quantile(1) == 2
    distribution.observe(3)
    assert distribution.quantile(1) == 3
    for number in range(5_000):
        distribution.observe(1_000 + number)
    assert distribution.quantile(1) > 3


def test_all_of_many_values_count_in_sum_low_high_and_lifetime_quantiles() -> None:
    distribution = made_of([float(number) for number in range(1, 10_001)])
    summary = distribution.summary()
    assert (summary.count, summary.sum, summary.low, summary.high) == (10_000, 50_005_000, 1, 10_000)
    assert summary.recent == 10_000
    assert summary.full_average == 5_000.5
    fields = dict(distribution.fields())
    assert fields["p50"] == pytest.approx(5_000, rel=1 / 64)
    assert fields["p999"] == pytest.approx(9_990, rel=1 / 64)


def test_reservoir_covers_about_the_last_thousand_values() -> None:
    random.seed(7)
    distribution = made_of([0.0] * 5_000 + [1.0] * 20 * WINDOW)
    assert distribution.quantile(0.5) == 1
    assert len(distribution.look()[5]) == RESERVOIR_SIZE
    fields = dict(distribution.fields())
    assert (fields["min"], fields["p50"]) == (0, 1)


def test_values_pending_for_a_fold_are_in_every_answer() -> None:
    for count in (1, 255, 256, 257, 600):
        assert made_of([1.0] * count).count == count


@pure_only
def test_values_observed_while_another_thread_reads_are_not_lost() -> None:
    distribution = Distribution(integral=False)
    with LOCK:
        with ThreadPoolExecutor(1) as pool:
            for _ in range(1_000):
                pool.submit(distribution.observe, 1.0).result(BOUND_S)
        assert distribution._count == 0
    assert distribution.count == 1_000


@pure_only
def test_values_observed_by_a_finaliser_during_a_fold_are_not_lost() -> None:
    distribution = Distribution(integral=False)

    class Finalised:
        """Part of a circle, so that only a collection frees it."""

        def __init__(self) -> None:
            self.circle = self

        def __del__(self) -> None:
            for _ in range(100):  # of five of them, enough for a fold within the fold
                distribution.observe(2.0)

    class Collects(float):
        """A number whose comparison, as a fold does it, runs finalisers."""

        def __lt__(self, other: float) -> bool:
            gc.collect()
            return float.__lt__(self, other)

        def __gt__(self, other: float) -> bool:
            gc.collect()
            return float.__gt__(self, other)

    distribution.observe(1.0)
    assert distribution.count == 1
    for _ in range(300):
        distribution._pending.append(2.0)
    for _ in range(5):
        Finalised()
    distribution._pending.append(Collects(1.5))
    first = distribution.count
    assert first == 302
    assert distribution.count == 802
    assert distribution.summary().sum == 1 + 300 * 2 + 1.5 + 500 * 2


def test_folds_in_threads_lose_nothing() -> None:
    distribution = Distribution(integral=False)
    threads, rounds = 4, 3_000
    together = threading.Barrier(threads + 1)

    def observe() -> None:
        together.wait(BOUND_S)
        for _ in range(rounds):
            distribution.observe(1.0)

    with ThreadPoolExecutor(threads) as pool:
        futures = [pool.submit(observe) for _ in range(threads)]
        together.wait(BOUND_S)
        counts = [distribution.count for _ in range(50)]
        for future in futures:
            future.result(BOUND_S)
    assert counts == sorted(counts)
    assert distribution.count == distribution.summary().sum == threads * rounds


def test_integral_figures_are_cut_toward_zero() -> None:
    distribution = made_of([-1, -2], integral=True)
    summary = distribution.summary((0.5,))
    assert (summary.full_average, summary.reservoir_average, summary.quantiles) == (-1, -1, (-1,))


def test_histogram_keeps_signs_zero_and_extremes_apart() -> None:
    distribution = made_of([-1e30, -3.0, -1e-30, 0.0, 1e-30, 3.0, 1e30])
    fields = dict(distribution.fields())
    assert (fields["min"], fields["p50"], fields["max"]) == (-1e30, 0, 1e30)
    quantiles = distribution.look([number / 6 for number in range(7)])[6]
    assert quantiles == sorted(quantiles)
    assert quantiles[1] == pytest.approx(-3, rel=1 / 64)
    assert quantiles[2:5] == [0, 0, 0]
    assert quantiles[0] == -quantiles[6] == pytest.approx(-(2.0**64), rel=1 / 64)


def test_histogram_is_bounded() -> None:
    values = [
        sign * (1 + step / 64) * 2.0**power for power in range(-1_000, 1_000) for step in range(64) for sign in (1, -1)
    ]
    distribution = Distribution(integral=False)
    for value in values:
        distribution.observe(value)
    assert distribution.count == len(values)
    if engine.name == "pure":  # the compiled one has an array for each of 2 * 128 octaves, of 32 bins
        assert len(distribution._histogram._bins) <= 2 * 32 * 128 + 1


def test_a_bin_of_the_histogram_counts_beyond_sixteen_bits() -> None:
    distribution = made_of([1.0] * 140_000 + [100.0] * 70_001)
    quantiles = distribution.figures((), (0.0, 0.6666, 0.6668, 1.0))[7:]
    assert quantiles == pytest.approx((1.0, 1.0, 100.0, 100.0), rel=1 / 64)


def test_observing_leaves_the_random_numbers_of_the_program_alone() -> None:
    state = random.getstate()
    assert made_of([float(number) for number in range(5_000)]).count == 5_000
    assert random.getstate() == state


def test_empty_histogram_has_no_quantiles_but_zero() -> None:
    assert Histogram().quantiles([0.5, 0.9]) == [0, 0]


@pytest.mark.parametrize("kind", [int, float])
def test_values_are_counted_in_the_bins_that_they_belong_to_one_by_one(kind: type[int] | type[float]) -> None:
    draw = random.Random(7)
    near_edges = [2**power + step for power in range(67) for step in (-1, 0, 1)]
    anywhere = [draw.randrange(-(2**power), 2**power) for power in range(1, 67) for _ in range(30)]
    values = sorted(kind(float(value)) for value in near_edges + anywhere)  # a float holds each of them
    histogram = Histogram()
    histogram.insert(values)
    assert histogram._bins == Counter(Histogram._place(value)[0] for value in values)
