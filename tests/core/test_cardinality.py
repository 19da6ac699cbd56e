from __future__ import annotations

import gc
import sys
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from monkit_core import Registry, Scope
from monkit_core.cardinality import MAX_SERIES
from tests.helpers import BOUND_S, check_idle, figures


def limited(max_series: int) -> tuple[Registry, Scope]:
    """A registry of a small limit, and a scope in it."""
    registry = Registry(max_series=max_series)
    return registry, registry.scope("shop")


def values(scope: Scope) -> dict[str, float]:
    """Counters by their key, and how often a set of tags was beyond the limit."""
    return {key: value for key, field, value in figures(scope.stats()) if field in ("value", "total")}


def test_further_sets_of_tags_share_one_series_and_are_counted() -> None:
    _, scope = limited(2)
    for user in range(5):
        scope.counter("calls", user=user).inc()
    assert values(scope) == {
        "calls,scope=shop,user=0": 1.0,
        "calls,scope=shop,user=1": 1.0,
        "calls,overflow=true,scope=shop": 3.0,
        "series_overflow,kind=metric,name=calls,scope=shop": 3.0,
    }


def test_it_is_counted_how_often_a_further_set_was_asked_for_not_how_many_there_were() -> None:
    _, scope = limited(1)
    scope.counter("calls", user=0)
    for _ in range(4):
        scope.counter("calls", user=1)
    assert values(scope)["series_overflow,kind=metric,name=calls,scope=shop"] == 4.0


def test_series_that_is_there_stays_the_same_whatever_the_limit() -> None:
    registry, scope = limited(2)
    first = scope.counter("calls", user=0)
    registry.limits.max_series = 0
    assert scope.counter("calls", user=0) is first
    assert scope.counter("calls", user=1) is scope.counter("calls", user=2)


def test_series_without_tags_always_has_a_place() -> None:
    _, scope = limited(1)
    scope.counter("calls", user=0)
    scope.counter("calls").inc(7)
    assert values(scope)["calls,scope=shop"] == 7.0


def test_series_without_tags_takes_a_place() -> None:
    _, scope = limited(2)
    scope.counter("calls")
    assert scope.counter("calls", user=0) is not scope.counter("calls", user=1)
    assert scope.counter("calls", user=1) is scope.counter("calls", user=2)


def test_each_name_and_each_scope_has_a_limit_of_its_own() -> None:
    registry, scope = limited(2)
    for home in (scope, registry.scope("other")):
        for name in ("a", "b"):
            for user in range(2):
                home.counter(name, user=user)
        assert not [key for key in values(home) if "overflow" in key]


def test_metrics_and_functions_of_one_name_have_limits_of_their_own() -> None:
    _, scope = limited(1)
    scope.counter("x", user=0)
    scope.func("x", user=0)
    assert scope.func("x", user=1).tags == (("overflow", "true"),)
    assert [key for key in values(scope) if "series_overflow" in key] == [
        "series_overflow,kind=function,name=x,scope=shop"
    ]


def test_overflow_series_itself_takes_no_place() -> None:
    registry, scope = limited(1)
    scope.counter("calls", user=0)
    scope.counter("calls", user=1)
    registry.limits.max_series = 2
    scope.counter("calls", user=2).inc()
    assert values(scope)["calls,scope=shop,user=2"] == 1.0


def test_limit_may_be_changed_while_the_program_runs() -> None:
    registry, scope = limited(1)
    assert registry.with_transformers().limits is registry.limits
    for limit, users in ((1, "ab"), (3, "cde"), (2, "cf")):
        registry.limits.max_series = limit
        for user in users:
            scope.counter("calls", user=user).inc()
    read = values(scope)
    assert [key for key in read if "user" in key] == [f"calls,scope=shop,user={user}" for user in "acd"]
    assert read["calls,scope=shop,user=c"] == 2.0
    assert read["calls,overflow=true,scope=shop"] == 3.0


def test_limit_is_2000_unless_told_otherwise() -> None:
    scope = Registry().scope("shop")
    for user in range(MAX_SERIES + 1):
        scope.counter("calls", user=user)
    assert MAX_SERIES == 2_000
    assert sum("user" in key for key in values(scope)) == 2_000
    assert scope.counter("calls", user=MAX_SERIES) is scope.counter("calls", user="another")


def test_gauge_beyond_the_limit_shows_the_one_given_last() -> None:
    _, scope = limited(1)
    for user in range(3):
        scope.gauge("g", lambda user=user: user, user=user)  # type: ignore[misc]
    assert values(scope)["g,overflow=true,scope=shop"] == 2.0


def test_user_cannot_take_the_tag_of_the_overflow() -> None:
    _, scope = limited(1)
    with pytest.raises(ValueError, match="'overflow' is set by the engine"):
        scope.counter("calls", overflow="true")


def test_kinds_that_share_a_name_by_their_tags_have_an_overflow_each() -> None:
    _, scope = limited(2)
    scope.counter("x", a=1)
    scope.meter("x", b=1)
    for _ in range(2):
        scope.counter("x", a=2).inc()
        scope.meter("x", b=2).mark(5)
        scope.int_val("x", c=2).observe(1)
    assert scope.meter("x", b=2) is scope.meter("x", b=3)
    read = {(key, field): value for key, field, value in figures(scope.stats()) if "overflow" in key}
    assert read["x,overflow=true,scope=shop", "value"] == 2.0
    assert read["x,kind=Meter,overflow=true,scope=shop", "total"] == 10.0
    assert read["x,kind=IntVal,overflow=true,scope=shop", "count"] == 2.0
    assert read["series_overflow,kind=metric,name=x,scope=shop", "total"] == 8.0
    assert len(figures(scope.stats())) == len({figure[:2] for figure in figures(scope.stats())})


def test_overflows_of_further_kinds_take_no_place() -> None:
    registry, scope = limited(1)
    scope.counter("x", a=1)
    scope.counter("x", a=2)
    scope.meter("x", a=2)
    registry.limits.max_series = 2
    assert str(scope.counter("x", a=3).key) == "x,a=3,scope=shop"


def test_function_decorated_for_3000_sets_of_tags_counts_all_calls() -> None:
    registry = Registry()
    scope = registry.scope("shop")

    def work() -> None: ...

    for user in range(3_000):
        scope.task("work", user=user)(work)()
    funcs = scope.funcs()
    assert len(funcs) == MAX_SERIES + 1
    (rest,) = (func for func in funcs if func.tags == (("overflow", "true"),))
    assert rest.success_times.count == 1_000
    assert sum(func.success_times.count for func in funcs) == 3_000
    assert values(scope)["series_overflow,kind=function,name=work,scope=shop"] == 1_000.0
    check_idle(registry)


def test_blocks_of_further_tags_are_one_function_and_end() -> None:
    registry, scope = limited(1)
    with scope.task("work", user=0), scope.task("work", user=1) as one, scope.task("work", user=2) as two:
        assert one.func is two.func
        assert one.func.current == 2
        assert two.func.callers == {scope.func("work", user=0): 1, one.func: 1}
    check_idle(registry)


@pytest.fixture
def fast_switching() -> Iterator[None]:
    """Threads take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


def at_once(threads: int, work: Callable[[], Any]) -> None:
    """Run *work* in threads that begin together."""
    together = threading.Barrier(threads)

    def run() -> None:
        together.wait(BOUND_S)
        work()

    with ThreadPoolExecutor(threads) as pool:
        for future in [pool.submit(run) for _ in range(threads)]:
            future.result(BOUND_S)


@pytest.mark.usefixtures("fast_switching")
def test_threads_that_race_never_exceed_the_limit_and_lose_nothing() -> None:
    registry, scope = limited(50)

    def use() -> None:
        for user in range(200):
            scope.counter("calls", user=user).inc()
            with scope.task("work", user=user):
                pass

    at_once(4, use)
    read = values(scope)
    calls = {key: value for key, value in read.items() if key.startswith("calls,")}
    assert len(calls) == len(scope.funcs()) == 50 + 1
    assert sum(calls.values()) == sum(func.success_times.count for func in scope.funcs()) == 800
    assert read["series_overflow,kind=metric,name=calls,scope=shop"] == calls["calls,overflow=true,scope=shop"]
    rest = scope.funcs()[0]
    assert rest.tags == (("overflow", "true"),)
    assert read["series_overflow,kind=function,name=work,scope=shop"] == rest.success_times.count
    check_idle(registry)


@pytest.mark.usefixtures("fast_switching")
def test_set_of_tags_that_took_the_last_place_is_never_sent_away_by_a_race() -> None:
    for _ in range(200):
        _, scope = limited(1)
        at_once(3, lambda scope=scope: scope.counter("calls", user=0).inc())  # type: ignore[misc]
        assert values(scope) == {"calls,scope=shop,user=0": 3.0}


def test_100000_sets_of_tags_keep_memory_flat() -> None:
    registry, scope = limited(100)

    def use(users: range) -> None:
        for user in users:
            scope.counter("calls", user=user).inc()
            scope.func("work", user=user)

    use(range(1_000))
    gc.collect()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        use(range(1_000, 101_000))
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 50_000
    assert len(scope.funcs()) == 101
    assert values(scope)["calls,overflow=true,scope=shop"] == 100_900
    del registry
