from __future__ import annotations

import asyncio
import contextvars
import math
import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import pytest

from monkit_core import Counter, Meter, RunningTimer, SeriesKey, Timer, faults, readers
from tests.helpers import BOUND_S, by_field, figures, fresh_scope, in_fresh_context

S = 10**9


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now_ns = 0

    def __call__(self) -> int:
        return self.now_ns


def test_counter_keeps_high_and_low() -> None:
    _, scope = fresh_scope()
    counter = scope.counter("calls", method="GET")
    assert (counter.value, counter.high, counter.low) == (0, 0, 0)
    assert counter.inc() == 1
    assert counter.dec(3) == -2
    assert counter.set(7) == -2
    assert counter.inc(0) == 7
    assert (counter.value, counter.high, counter.low) == (7, 7, -2)
    assert figures(counter.stats()) == [
        ("calls,method=GET,scope=shop", "high", 7),
        ("calls,method=GET,scope=shop", "low", -2),
        ("calls,method=GET,scope=shop", "value", 7),
    ]


def test_counter_has_no_high_and_low_before_its_first_use_and_after_a_reset() -> None:
    counter = Counter(SeriesKey("c"))
    counter.inc(3)
    assert counter.reset() == (3, 3, 3)
    for stats in (counter.stats(), Counter(SeriesKey("c")).stats()):
        found = by_field(stats)
        assert math.isnan(found["high"])
        assert math.isnan(found["low"])
        assert found["value"] == 0


def test_counter_counts_beyond_64_bits() -> None:
    counter = Counter(SeriesKey("c"))
    counter.set(2**63 - 1)
    assert counter.inc() == 2**63


def test_counting_in_threads_loses_nothing() -> None:
    _, scope = fresh_scope()
    threads, rounds = 4, 5_000
    together = threading.Barrier(threads)

    def work() -> None:
        together.wait(BOUND_S)
        for _ in range(rounds):
            scope.counter("up and down").inc()
            scope.event("events")
            scope.bool_val("even").observe(True)
            scope.int_val("ints").observe(1)
            scope.counter("up and down").dec()

    with ThreadPoolExecutor(threads) as pool:
        for future in [pool.submit(work) for _ in range(threads)]:
            future.result(BOUND_S)
    assert scope.counter("up and down").value == 0
    assert scope.counter("up and down").high <= threads
    assert scope.meter("events").total == threads * rounds
    assert scope.int_val("ints").distribution.count == threads * rounds
    assert by_field(scope.bool_val("even").stats())["true"] == threads * rounds


def test_gauge_is_asked_when_somebody_looks() -> None:
    _, scope = fresh_scope()
    queue = [1, 2]
    gauge = scope.gauge("queue", lambda: len(queue))
    assert by_field(gauge.stats()) == {"value": 2}
    queue.append(3)
    assert by_field(scope.stats()) == {"value": 3}


def test_gauge_replaces_an_earlier_one_of_the_name() -> None:
    _, scope = fresh_scope()
    first = scope.gauge("queue", lambda: 1)
    assert scope.gauge("queue", lambda: 2) is first
    assert by_field(scope.stats()) == {"value": 2}


@pytest.mark.parametrize("bad", [lambda: 1 / 0, lambda: "text", lambda: None, lambda: 10**400])
def test_gauge_that_raises_is_left_out_reported_once_and_counted(
    bad: object, caplog: pytest.LogCaptureFixture, request: pytest.FixtureRequest
) -> None:
    registry, scope = fresh_scope(request.node.name)  # a place of its own in the log
    scope.gauge("bad", bad)  # type: ignore[arg-type]
    scope.gauge("good", lambda: 1)
    before = faults.count()
    for _ in range(3):
        assert [str(stat.key).split(",")[0] for stat in registry.stats()] == ["good"]
    assert faults.count() == before + 3
    assert [record.message.split(",")[0] for record in caplog.records] == ["gauge bad"]


def test_gauge_that_reads_the_registry_itself_is_not_asked_again_meanwhile() -> None:
    registry, scope = fresh_scope()
    scope.gauge("all", lambda: len(list(registry.stats())))
    scope.counter("one")
    assert by_field(scope.gauge("all", lambda: len(list(registry.stats()))).stats()) == {"value": 3}
    assert len(list(registry.stats())) == 4


def test_gauge_that_hangs_is_not_asked_by_further_readers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readers, "HANGS_AFTER_NS", -1)
    registry, scope = fresh_scope()
    asked, answer = threading.Event(), threading.Event()

    def read() -> float:
        asked.set()
        answer.wait(BOUND_S)
        return 1

    scope.gauge("slow", read)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(lambda: by_field(registry.stats()))
        assert asked.wait(BOUND_S)
        assert by_field(registry.stats()) == {}
        answer.set()
        assert first.result(BOUND_S) == {"value": 1}
    assert by_field(registry.stats()) == {"value": 1}


def test_readers_of_a_quick_gauge_do_not_get_in_each_other_s_way() -> None:
    registry, scope = fresh_scope()
    both = threading.Barrier(2)

    def read() -> float:
        both.wait(BOUND_S)
        return 1

    scope.gauge("quick", read)
    with ThreadPoolExecutor(2) as pool:
        pages = [pool.submit(lambda: by_field(registry.stats())) for _ in range(2)]
        assert [page.result(BOUND_S) for page in pages] == [{"value": 1}] * 2


def test_meter_has_no_rate_in_its_first_instant() -> None:
    clock = Clock()
    meter = Meter(SeriesKey("m"), clock)
    meter.mark(5)
    assert (meter.rate, meter.total) == (0, 5)
    clock.now_ns = S
    assert by_field(meter.stats()) == {"rate": 5, "total": 5}


def test_first_slice_is_ten_minutes_long_also_when_it_was_marked_at_once() -> None:
    clock = Clock()
    meter = Meter(SeriesKey("m"), clock)
    for minutes in range(0, 250, 10):  # 24 slices are full, a 25th has begun
        clock.now_ns = minutes * 60 * S
        meter.mark(60)
        clock.now_ns += S
        meter.mark(60)
    window_s = clock.now_ns / S - 600
    assert meter.rate == pytest.approx((25 * 120 - 180) / window_s)


def test_meter_that_idles_for_a_day_says_so() -> None:
    clock = Clock()
    meter = Meter(SeriesKey("m"), clock)
    meter.mark(86_400)
    clock.now_ns = 86_400 * S
    assert meter.rate == pytest.approx(1)
    for hours in range(24, 48):
        clock.now_ns = hours * 3_600 * S
        meter.mark(0)
    assert meter.total == 86_400


def test_meter_reset_at_any_moment_starts_anew() -> None:
    clock = Clock()
    meter = Meter(SeriesKey("m"), clock)
    meter.mark(10)
    clock.now_ns = 700 * S
    meter.reset(3)
    assert (meter.rate, meter.total) == (0, 3)
    meter.mark(7)
    clock.now_ns = 710 * S
    assert (meter.rate, meter.total) == (0.7, 10)


def test_meter_may_be_advanced_by_two_at_once() -> None:
    """A thread that was held up between reading the clock and closing the slice finds it closed already."""
    clock = Clock()
    meter = Meter(SeriesKey("m"), clock)
    meter.mark(1)
    meter.advance(601 * S)
    meter.advance(601 * S)
    clock.now_ns = 1_000 * S
    meter.mark(1)
    assert meter.total == 2


def test_diff_meter_is_the_difference() -> None:
    _, scope = fresh_scope()
    sent, received = scope.meter("sent"), scope.meter("received")
    sent.mark(10)
    received.mark(4)
    assert by_field(scope.diff_meter("lost", sent, received).stats())["total"] == 6


def test_timer_times_blocks_in_seconds() -> None:
    _, scope = fresh_scope()
    with scope.timer("decode") as run:
        pass
    taken = scope.timer("decode").distribution.summary()
    assert taken.count == 1
    assert by_field(scope.timer("decode").stats())["recent"] == taken.recent / 1e9
    assert run.stop() >= taken.recent / 1e9
    assert scope.timer("decode").distribution.count == 1


def test_timer_counts_blocks_that_raise() -> None:
    _, scope = fresh_scope()
    with pytest.raises(KeyError), scope.timer("decode"):
        raise KeyError
    assert scope.timer("decode").distribution.count == 1


def test_one_timer_can_be_nested() -> None:
    timer = Timer(SeriesKey("t"))
    with timer as outer, timer as inner:
        assert outer is not inner
    assert timer.distribution.count == 2
    assert timer._open == {}


@in_fresh_context
def test_timers_left_in_another_order_find_their_own_runs() -> None:
    outer, one, two = (Timer(SeriesKey(name)) for name in ("outer", "one", "two"))
    own = outer.__enter__()
    one.__enter__()
    two.__enter__()
    one.__exit__(None, None, None)
    elsewhere = contextvars.Context().run(outer.__enter__)
    two.__exit__(None, None, None)
    outer.__exit__(None, None, None)  # ends the one that this context entered, not the last one
    assert own._stopped
    assert not elsewhere._stopped
    outer.__exit__(None, None, None)
    assert [timer.distribution.count for timer in (outer, one, two)] == [2, 1, 1]
    assert [timer._open for timer in (outer, one, two)] == [{}, {}, {}]


@in_fresh_context
def test_timers_left_in_the_order_they_were_entered_find_their_own_runs() -> None:
    timers = [Timer(SeriesKey(str(number))) for number in range(4)]
    runs = [timer.__enter__() for timer in timers]
    for number, timer in enumerate(timers):
        timer.__exit__(None, None, None)
        assert [run._stopped for run in runs] == [True] * (number + 1) + [False] * (3 - number)


@in_fresh_context
def test_timer_may_be_left_in_another_context() -> None:
    timer = Timer(SeriesKey("t"))
    timer.__enter__()
    contextvars.copy_context().run(timer.__exit__, None, None, None)
    assert timer.distribution.count == 1
    timer.__enter__()
    contextvars.Context().run(timer.__exit__, None, None, None)
    assert timer.distribution.count == 2
    assert timer._open == {}


class TakenAway(dict[RunningTimer, None]):
    """Another thread ends the chosen run at the last moment."""

    def __init__(self, timer: Timer) -> None:
        super().__init__(timer._open)
        self.timer = timer
        self.once = True

    def pop(self, run: RunningTimer, *default: object) -> object:  # type: ignore[override]
        if self.once:
            self.once = False
            contextvars.copy_context().run(self.timer.__exit__, None, None, None)
        return super().pop(run, *default)


@in_fresh_context
def test_exit_of_a_timer_that_another_thread_outruns_ends_another_run() -> None:
    timer = Timer(SeriesKey("t"))
    contextvars.Context().run(timer.__enter__)
    timer.__enter__()
    timer._open = TakenAway(timer)
    timer.__exit__(None, None, None)
    assert timer.distribution.count == 2
    assert timer._open == {}


def test_timer_left_too_often_does_nothing() -> None:
    timer = Timer(SeriesKey("t"))
    timer.__exit__(None, None, None)
    assert timer.distribution.count == 0


def test_concurrent_tasks_share_one_timer() -> None:
    _, scope = fresh_scope()
    order: list[str] = []

    async def worker(name: str, started: asyncio.Event, leave: asyncio.Event) -> None:
        with scope.timer("shared") as run:
            started.set()
            await leave.wait()
        order.append(name if run._stopped else "wrong run")

    async def main() -> None:
        events = {name: (asyncio.Event(), asyncio.Event()) for name in "abc"}
        tasks = {name: asyncio.create_task(worker(name, *pair)) for name, pair in events.items()}
        for started, _ in events.values():
            await started.wait()
        for name in "bac":
            events[name][1].set()
            await tasks[name]

    asyncio.run(main())
    assert order == ["b", "a", "c"]
    assert scope.timer("shared").distribution.count == 3


def test_chain_of_tasks_does_not_keep_old_runs_alive() -> None:
    timer = Timer(SeriesKey("t"))
    runs: list[object] = []

    async def step(left: int, done: asyncio.Event) -> None:
        with timer as run:
            runs.append(run)
            if left:
                asyncio.get_running_loop().create_task(step(left - 1, done))
            else:
                done.set()

    async def main() -> None:
        done = asyncio.Event()
        await step(50, done)
        await done.wait()

    asyncio.run(main())
    assert len(runs) == 51
    assert not any(newer._outer is older for older, newer in pairwise(runs))  # type: ignore[attr-defined]
    assert timer._open == {}


def test_threads_share_one_timer_also_where_blocks_are_left_in_another_context() -> None:
    timer = Timer(SeriesKey("t"))
    threads, rounds = 4, 300
    together = threading.Barrier(threads)

    def worker() -> None:
        together.wait(BOUND_S)
        for _ in range(rounds):
            contextvars.Context().run(timer.__enter__)
            contextvars.Context().run(timer.__exit__, None, None, None)
            with timer:
                pass

    with ThreadPoolExecutor(threads) as pool:
        for future in [pool.submit(worker) for _ in range(threads)]:
            future.result(BOUND_S)
    assert timer.distribution.count == threads * rounds * 2
    assert timer._open == {}
