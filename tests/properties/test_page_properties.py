"""What pages make of whole series is what they would make of the figures one by one."""

from __future__ import annotations

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from monkit_core import Func, Registry, SeriesKey, Stat
from monkit_core.formats import text
from monkit_core.formats.functions import QUANTILES, func_rows
from monkit_core.series import Series, grouped, one_by_one
from monkit_present.render import json

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8) | st.sampled_from(
    ["%", "%s", "nan", "=nan\n", "\0"]
)
KEYS = st.builds(SeriesKey, TEXT, st.dictionaries(TEXT, TEXT, max_size=3))
STATS = st.lists(st.builds(Stat, KEYS, TEXT, st.floats() | st.sampled_from([-0.0, 1e22, 0.1])), max_size=6)
REPEATED = st.lists(STATS.flatmap(lambda stats: st.lists(st.sampled_from(stats or [Stat(SeriesKey("m"), "f", 0)]))))


def line_of(stat: Stat) -> str:
    number = "NaN" if stat.value != stat.value else f"{stat.value:.9f}"
    return f"{stat.key.with_field(stat.field)}={number}\n"


def item_of(stat: Stat) -> bytes:
    return orjson.dumps((stat.key.measurement, dict(stat.key.tags), stat.field, stat.value))


@given(REPEATED)
@settings(max_examples=300, deadline=None, derandomize=True)
def test_text_is_a_line_for_each_figure_whatever_stands_in_names(runs: list[list[Stat]]) -> None:
    stats = [stat for run in runs for stat in run]
    assert "".join(text.stats(stats)) == "".join(map(line_of, stats))


@given(REPEATED)
@settings(max_examples=300, deadline=None, derandomize=True)
def test_json_is_an_item_for_each_figure_whatever_stands_in_names(runs: list[list[Stat]]) -> None:
    stats = [stat for run in runs for stat in run]
    items = b",".join(b"\n " + item_of(stat) for stat in stats)
    assert b"".join(json.stats(stats)) == b"[" + items + b"]\n"


@given(REPEATED)
@settings(max_examples=200, deadline=None, derandomize=True)
def test_figures_are_the_same_after_they_were_grouped(runs: list[list[Stat]]) -> None:
    stats = [stat for run in runs for stat in run]
    series: list[Series] = list(grouped(stats))
    assert list(map(repr, one_by_one(series))) == list(map(repr, stats))
    assert all(fields for _, fields, _ in series)


def test_series_of_a_registry_are_its_figures() -> None:
    registry = Registry()
    scope = registry.scope("shop")
    every = [
        scope.counter("c"), scope.gauge("g", lambda: 3.0), scope.meter("m"), scope.timer("t"), scope.int_val("i"),
        scope.float_val("f"), scope.bool_val("b"), scope.duration_val("d"), scope.struct_val("s"), scope.raw_val("r"),
    ]  # fmt: skip
    scope.float_val("f").observe(1.5)
    scope.struct_val("s").observe({"x": 1, "y": 2})
    scope.chain(Func(registry.live, "other", "chained"))
    func = scope.func("handle")
    func.success_times.observe(5)
    func.failed("ValueError", 7)
    for source in (*every, func):
        assert len(list(source.stats())) == sum(len(fields) for _, fields, _ in source.series())
    timeless = [stat for stat in one_by_one(registry.series()) if stat.field != "rate"]
    assert list(map(repr, timeless)) == [repr(stat) for stat in registry.stats() if stat.field != "rate"]
    assert {key.measurement for key, _, _ in registry.series()} == {*"cgmtifbdsr", "function", "function_times"}


def test_series_of_a_view_have_passed_its_transformers() -> None:
    class Doubled:
        def transform(self, stats: list[Stat]) -> list[Stat]:
            return [Stat(stat.key, stat.field, 2 * stat.value) for stat in stats]

    registry = Registry()
    registry.scope("shop").counter("c").inc(4)
    view = registry.with_transformers(Doubled())  # type: ignore[arg-type]
    assert list(view.series()) == [(SeriesKey("c", {"scope": "shop"}), ("high", "low", "value"), (8.0, 8.0, 8.0))]


def test_error_names_of_before_a_reset_are_not_shown_and_new_ones_are() -> None:
    func = Registry().scope("shop").func("handle")
    func.failed("ValueError", 1)
    before = [str(key) for key, _, _ in func.series()]
    func.reset()
    func.failed("KeyError", 1)
    after = [str(key) for key, _, _ in func.series()]
    assert before[1] == "function,error_name=ValueError,name=handle,scope=shop"
    assert after == [line.replace("ValueError", "KeyError") for line in before]


def test_rows_of_functions_are_made_one_at_a_time() -> None:
    registry = Registry()
    registry.scope("shop").func("one")
    other = registry.scope("shop").func("two")
    rows = iter(func_rows(registry))
    assert next(rows).name == "one"
    other.failed(None, 5)
    assert next(rows).failure_times.quantiles == (5,) * len(QUANTILES)
