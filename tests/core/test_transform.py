from __future__ import annotations

from collections.abc import Iterable, Iterator

import pytest

from monkit_core import DeltaTransformer, Registry, SeriesKey, Stat, Transformer
from monkit_core.transform import transformed
from tests.helpers import figures, fresh_scope

TOTAL = SeriesKey("calls")


class Only:
    """A transformer that lets figures of one field pass."""

    def __init__(self, field: str) -> None:
        self.field = field

    def transform(self, stats: Iterable[Stat]) -> Iterator[Stat]:
        return (stat for stat in stats if stat.field == self.field)


def deltas(registry: Registry) -> list[float]:
    return [stat.value for stat in registry.stats() if stat.field == "delta"]


def test_figures_without_a_transformer_are_as_they_are() -> None:
    stats = [Stat(TOTAL, "total", 1.0)]
    assert transformed(stats, ()) is stats


def test_transformer_given_last_sees_the_figures_first() -> None:
    stats = [Stat(TOTAL, "total", 1.0), Stat(TOTAL, "rate", 2.0)]
    delta = DeltaTransformer()
    both: tuple[Transformer, ...] = (Only("delta"), delta)
    assert list(transformed(stats, both)) == []
    assert [stat.field for stat in transformed(stats, both)] == ["delta"]
    assert list(transformed(stats, (delta, Only("rate")))) == stats[1:]


def test_delta_stands_right_after_its_total_and_says_how_much_it_grew() -> None:
    registry, scope = fresh_scope()
    calls, bytes_read = scope.meter("calls"), scope.meter("bytes")
    view = registry.with_transformers(DeltaTransformer())
    calls.mark(2)
    assert [stat.field for stat in view.stats()] == ["rate", "total"] * 2
    calls.mark(3)
    bytes_read.mark(512)
    read = [figure for figure in figures(view.stats()) if figure[1] != "rate"]
    assert read == [
        ("bytes,scope=shop", "total", 512.0),
        ("bytes,scope=shop", "delta", 512.0),
        ("calls,scope=shop", "total", 5.0),
        ("calls,scope=shop", "delta", 3.0),
    ]


def test_total_that_fell_has_a_negative_delta() -> None:
    registry, scope = fresh_scope()
    meter = scope.meter("m")
    meter.mark(5)
    view = registry.with_transformers(DeltaTransformer())
    assert deltas(view) == []
    meter.reset(2)
    assert deltas(view) == [-3.0]


def test_calls_of_functions_have_deltas_too() -> None:
    registry, scope = fresh_scope()
    view = registry.with_transformers(DeltaTransformer())

    @scope.task
    def work() -> None: ...

    work()
    assert deltas(view) == []
    work()
    work()
    assert deltas(view) == [2.0]


def test_consumers_with_transformers_of_their_own_do_not_see_each_other() -> None:
    registry, scope = fresh_scope()
    often, seldom = (registry.with_transformers(DeltaTransformer()) for _ in range(2))
    meter = scope.meter("m")
    assert deltas(often) == deltas(seldom) == []
    for _ in range(3):
        meter.mark()
        assert deltas(often) == [1.0]
    assert deltas(seldom) == [3.0]


def test_reading_that_is_given_up_midway_is_none() -> None:
    registry, scope = fresh_scope()
    for name in ("a", "b"):
        scope.meter(name)
    view = registry.with_transformers(DeltaTransformer())
    assert deltas(view) == []
    scope.meter("a").mark(1)
    for stat in view.stats():
        if stat.field == "delta":
            break
    scope.meter("a").mark(1)
    assert deltas(view) == [2.0, 0.0]


def test_series_that_is_gone_is_forgotten_and_begins_anew() -> None:
    delta = DeltaTransformer()
    for _ in range(2):
        assert [stat.field for stat in delta.transform([Stat(TOTAL, "total", 1.0)])] == ["total"]
        assert list(delta.transform([])) == []
    assert delta._totals == {}


def test_memory_of_a_delta_transformer_is_that_of_the_last_reading() -> None:
    delta = DeltaTransformer()
    for number in range(100):
        stats = [Stat(SeriesKey("calls", {"user": str(number)}), "total", 1.0)]
        assert list(delta.transform(stats)) == stats
    assert len(delta._totals) == 1


def test_view_shows_the_same_state_and_leaves_the_registry_as_it_is() -> None:
    registry, scope = fresh_scope()
    view = registry.with_transformers(Only("value"))
    assert view.scope("shop") is scope
    assert registry.scope("later") is view.scope("later")
    scope.counter("c").inc()
    assert [stat.field for stat in view.stats()] == ["value"]
    assert [stat.field for stat in registry.stats()] == ["high", "low", "value"]
    with view.scope("shop").task("work"):
        assert [span.func.short_name for _, span in registry.all_spans()] == ["work"]
        assert [span.func.short_name for _, span in view.all_spans()] == ["work"]
    assert view.funcs() == registry.funcs() == scope.funcs()


def test_watcher_of_a_view_watches_the_registry() -> None:
    registry, _ = fresh_scope()
    view = registry.with_transformers()
    stop = view.observe_traces(lambda trace: None)
    assert registry.watcher_count == view.watcher_count == 1
    stop()
    assert registry.watcher_count == 0


def test_what_a_transformer_raises_comes_out_to_who_reads() -> None:
    class Broken:
        def transform(self, stats: Iterable[Stat]) -> Iterator[Stat]:
            yield from stats
            raise ZeroDivisionError

    registry, scope = fresh_scope()
    scope.gauge("g", lambda: 1)
    page = iter(registry.with_transformers(Broken()).stats())
    assert next(page).field == "value"
    with pytest.raises(ZeroDivisionError):
        next(page)
    assert len(list(registry.stats())) == 1
