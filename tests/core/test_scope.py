from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import monkit_core
from monkit_core import Counter, Meter, Registry, Scope, SeriesKey, Stat
from tests.helpers import BOUND_S, figures, fresh_scope

Accessor = Callable[..., Any]


def zero() -> float:
    return 0.0


def accessors(scope: Scope) -> dict[str, Accessor]:
    """Every accessor of a metric by the kind it makes."""
    one, two = Meter(SeriesKey("1")), Meter(SeriesKey("2"))
    return {
        "Counter": scope.counter,
        "Gauge": lambda name, /, **tags: scope.gauge(name, zero, **tags),
        "Meter": scope.meter,
        "DiffMeter": lambda name, /, **tags: scope.diff_meter(name, one, two, **tags),
        "Timer": scope.timer,
        "IntVal": scope.int_val,
        "FloatVal": scope.float_val,
        "BoolVal": scope.bool_val,
        "DurationVal": scope.duration_val,
    }


def all_accessors(scope: Scope) -> dict[str, Accessor]:
    """Those of functions too."""
    return {
        **accessors(scope),
        "func": scope.func,
        "task": lambda name, /, **tags: scope.task(name, **tags).func,
    }


KINDS = list(accessors(Registry().scope("s")))
RESERVED = ["scope", "name", "kind", "error_name", "overflow", "quantile", "le"]


@pytest.mark.parametrize("kind", [*KINDS, "func", "task"])
def test_accessor_gets_what_is_there_or_makes_it(kind: str) -> None:
    _, scope = fresh_scope()
    made = all_accessors(scope)[kind]
    assert made("x") is made("x")
    assert made("x") is not made("y")
    assert made("x", a=1) is made("x", tags={"a": "1"})
    assert made("x", a=1) is not made("x")
    assert made("x", a=1) is not made("x", a=2)
    assert type(made("x")).__name__ == {"func": "Func", "task": "Func"}.get(kind, kind)


@pytest.mark.parametrize("kind", [*KINDS, "func", "task"])
def test_tags_in_another_order_are_the_same_series(kind: str) -> None:
    _, scope = fresh_scope()
    made = all_accessors(scope)[kind]
    assert made("x", a=1, b=2) is made("x", b=2, a=1)
    assert made("x", a=1, b=2) is made("x", tags={"b": 2}, a=1)


@pytest.mark.parametrize("tag", RESERVED)
@pytest.mark.parametrize("kind", [*KINDS, "func", "task", "event"])
def test_reserved_tag_is_refused(kind: str, tag: str) -> None:
    _, scope = fresh_scope()
    made = {**all_accessors(scope), "event": scope.event}[kind]
    for tags in ({tag: "x"}, {"tags": {tag: "x"}}):
        with pytest.raises(ValueError, match=f"tag '{tag}' is set by the engine; choose another key"):
            made("x", **tags)
    assert list(scope.stats()) == []


@pytest.mark.parametrize("first", KINDS)
@pytest.mark.parametrize("second", KINDS)
def test_same_name_for_another_kind_is_refused_naming_both(first: str, second: str) -> None:
    _, scope = fresh_scope()
    made = accessors(scope)[first]("x", a=1)
    if first == second:
        assert accessors(scope)[second]("x", a=1) is made
    else:
        wanted = f"'x' in scope 'shop' is a {first} already; a {second} needs another name or other tags"
        with pytest.raises(TypeError, match=wanted):
            accessors(scope)[second]("x", a=1)
    accessors(scope)[second]("x", a=2)  # with other tags it is another series


def test_event_marks_a_meter() -> None:
    _, scope = fresh_scope()
    scope.event("hit 3")
    scope.event("hit 3")
    assert scope.meter("hit 3").total == 2
    scope.counter("count")
    with pytest.raises(TypeError, match="is a Counter already; a Meter needs"):
        scope.event("count")


def test_functions_never_clash_with_metrics() -> None:
    _, scope = fresh_scope()
    counter = scope.counter("work")
    with scope.task("work"):
        counter.inc()
    assert scope.func("work").success_times.count == counter.value == 1


def test_odd_tag_keys_and_values_become_text() -> None:
    _, scope = fresh_scope()
    counter = scope.counter("c", tags={"a-b": None, 5: 1.5}, tier=True)  # type: ignore[dict-item]
    assert str(counter.key) == "c,5=1.5,a-b=None,scope=shop,tier=True"


def test_parameters_called_like_tags_are_free_for_tags() -> None:
    _, scope = fresh_scope()
    gauge = scope.gauge("g", zero, read="tag", meter1="tag")
    assert str(gauge.key) == "g,meter1=tag,read=tag,scope=shop"


def test_everything_is_listed_in_sorted_order() -> None:
    registry = Registry()
    for name in ("b", "a.b", "a"):
        scope = registry.scope(name)
        for metric in ("y", "x"):
            scope.counter(metric, k=2)
            scope.counter(metric, k=1)
            scope.task(metric)(lambda: None)
    assert [scope.name for scope in registry.scopes()] == ["a", "a.b", "b"]
    assert registry.funcs() == [func for scope in registry.scopes() for func in scope.funcs()]
    listed = [key for key, field, _ in figures(registry.stats()) if field in ("value", "highwater")]
    assert listed[:6] == [
        "x,k=1,scope=a",
        "x,k=2,scope=a",
        "y,k=1,scope=a",
        "y,k=2,scope=a",
        "function,name=x,scope=a",
        "function,name=y,scope=a",
    ]
    assert listed[6].endswith("scope=a.b")


def test_errors_of_a_function_are_listed_in_sorted_order() -> None:
    _, scope = fresh_scope()
    for problem in (ValueError, KeyError, EOFError):
        with pytest.raises(problem), scope.task("f"):
            raise problem
    fields = [(key, field) for key, field, _ in figures(scope.func("f").stats())][:10]
    assert [key.split(",")[1] for key, field in fields if field == "count"] == [
        "error_name=EOF",
        "error_name=KeyError",
        "error_name=ValueError",
    ]
    assert [field for _, field in fields] == [
        *("current", "highwater", "successes", "count", "count", "count"),
        *("errors", "panics", "failures", "total"),
    ]


def test_names_are_clean_and_the_clean_name_is_the_same_series() -> None:
    registry = Registry()
    scope = registry.scope("sh\x1bop")
    assert scope.name == "sh\\x1bop"
    assert registry.scope("sh\\x1bop") is scope
    assert scope.counter("c\x00") is scope.counter("c\\x00")
    assert scope.func("f\ud800").short_name == "f\\ud800"


def test_scopes_of_two_registries_are_two() -> None:
    one, two = Registry(), Registry()
    one.scope("s").counter("c").inc()
    assert one.scope("s") is one.scope("s")
    assert one.scope("s") is not two.scope("s")
    assert list(two.scope("s").stats()) == []


def test_threads_that_declare_at_once_get_one_object() -> None:
    registry = Registry()
    threads = 4
    together = threading.Barrier(threads)

    def declare(_: int) -> list[tuple[int, int, int]]:
        found = []
        for number in range(200):
            together.wait(BOUND_S)
            scope = registry.scope(f"s{number}")
            found.append((id(scope), id(scope.counter("c")), id(scope.func("f"))))
        return found

    with ThreadPoolExecutor(threads) as pool:
        results = list(pool.map(declare, range(threads)))
    assert all(result == results[0] for result in results)


def test_statistics_can_be_read_while_others_declare() -> None:
    registry, scope = fresh_scope()
    stop = threading.Event()

    def declare() -> None:
        number = 0
        while not stop.is_set() and number < 20_000:
            number += 1
            scope.counter(f"c{number % 500}").inc()
            scope.func(f"f{number % 500}")

    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(declare)
        for _ in range(20):
            assert all(isinstance(stat, Stat) for stat in registry.stats())
        stop.set()
        future.result(BOUND_S)


def test_anything_with_stats_is_a_source() -> None:
    class Own:
        def stats(self) -> Iterator[Stat]:
            yield Stat(SeriesKey("own"), "value", 1)

    source: monkit_core.StatSource = Own()
    assert figures(source.stats()) == [("own", "value", 1)]
    counter: monkit_core.StatSource = Counter(SeriesKey("c"))
    assert len(list(counter.stats())) == 3


def test_registry_and_scope_of_the_program_are_the_default_ones() -> None:
    scope = monkit_core.scope("tests.core.test_scope.default")
    assert scope is monkit_core.default_registry.scope("tests.core.test_scope.default")


def test_package_is_named_after_the_calling_module() -> None:
    assert monkit_core.package().name == __name__
    registry = Registry()
    assert registry.package() is registry.scope(__name__)


def test_everything_that_is_promised_is_there() -> None:
    assert all(hasattr(monkit_core, name) for name in monkit_core.__all__)
    assert len(monkit_core.__all__) == len(set(monkit_core.__all__))
    assert monkit_core.engine.name in ("native", "pure")
