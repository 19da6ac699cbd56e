from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from monkit_core import Func, Stat
from tests.helpers import check_figures, expected_figures, figures, fresh_scope, in_fresh_context, vectors

RECORDED = vectors("func_stats")
MS = 1_000_000
SCOPE = "example/pkg"

# The original's functions outside a registry have no scope; ours always have one.
NO_SCOPE = ("after_3_success_10_20_40ms", "after_Reset (2 still running)", "fresh_func", "tagged")


def scoped(stats: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The figures of a vector of `NO_SCOPE`, with the tag that ours has."""
    return [{**stat, "key": f"{stat['key']},scope={SCOPE}"} for stat in stats]


def make(**tags: str) -> Func:
    _, scope = fresh_scope(SCOPE)
    return scope.func("DoWork", tags=tags)


def enter(func: Func) -> None:
    """What a start counts, without a clock."""
    func.current += 1
    func.highwater = max(func.highwater, func.current)


def succeed(func: Func, *durations_ms: int) -> None:
    for duration in durations_ms:
        enter(func)
        func.current -= 1
        func.success_times.observe(duration * MS)


def fail(func: Func, name: str | None, duration_ns: int) -> None:
    enter(func)
    func.current -= 1
    func.failed(name, duration_ns)


def test_names_are_the_original_s() -> None:
    func = make()
    assert (func.full_name, func.short_name) == (RECORDED["full_name"], RECORDED["short_name"])
    assert make(key1="val1").full_name == RECORDED["tagged_full_name_drops_tags"]


def test_fresh_function_is_the_original_s() -> None:
    check_figures(figures(make().stats()), RECORDED["fresh_registry"])
    check_figures(figures(make().stats()), scoped(RECORDED["fresh_func"]))


def test_successes_are_the_original_s() -> None:
    func = make()
    succeed(func, 10, 20, 40)
    check_figures(figures(func.stats()), scoped(RECORDED["after_3_success_10_20_40ms"]))


def sorted_figures(stats: Iterable[Stat]) -> list[tuple[str, str, float]]:
    return sorted(figures(stats), key=lambda figure: figure[:2])


def test_errors_and_panics_are_the_original_s() -> None:
    func = make()
    succeed(func, 10, 20, 40)
    for name, duration_ms in (("EOF", 5), ("EOF", 5), ("System Error", 7), (None, 9)):
        fail(func, name, duration_ms * MS)
    recorded = RECORDED["after_2_EOF_1_other_1_panic (sorted)"]
    assert len(expected_figures(recorded)) > 30
    check_figures(sorted_figures(func.stats()), recorded)
    fields = [field for _, field, _ in figures(func.stats()) if not field.startswith("p") or field == "panics"]
    assert fields == RECORDED["field_order_note (error_name counts come in random map order)"]


def test_tags_stand_on_every_figure() -> None:
    func = make(key1="val1", a="b c")
    fail(func, "EOF", 1_000 * MS)
    check_figures(figures(func.stats()), scoped(RECORDED["tagged"]))


@in_fresh_context
def test_running_calls_are_counted() -> None:
    func = make()
    blocks = [func.reset_trace() for _ in range(3)]
    for block in blocks:
        block.__enter__()
    blocks.pop().__exit__(None, None, None)
    recorded = RECORDED["3 started 1 ended"]
    assert (func.current, func.highwater) == (recorded["current"], recorded["highwater"])


@in_fresh_context
def test_reset_keeps_current() -> None:
    """DIFFERS: a reset made the original's `current` zero, and -2 after the two running calls had ended."""
    func = make()
    blocks = [func.reset_trace() for _ in range(2)]
    for block in blocks:
        block.__enter__()
    func.reset()
    ours = figures(func.stats())
    recorded = scoped(RECORDED["after_Reset (2 still running)"])
    assert [value for _, field, value in ours if field in ("current", "highwater")] == [2, 2]
    kept = [figure for figure in ours if figure[1] not in ("current", "highwater")]
    check_figures(kept, [stat for stat in recorded if stat["field"] not in ("current", "highwater")])
    for block in blocks:
        block.__exit__(None, None, None)
    assert RECORDED["current_after_ending_the_2_running"] == -2
    assert func.current == 0


def test_tag_called_name_is_refused() -> None:
    """DIFFERS: in the original such a tag renames the function."""
    assert RECORDED["tag_named_name_overrides"]["short_name"] == "override"
    with pytest.raises(ValueError, match="'name' is set by the engine"):
        make(name="override")


def test_order_of_fields_without_a_name_of_an_error_is_the_original_s() -> None:
    """The original can use the figures alone under another measurement; ours has them in functions only."""
    func = make()
    succeed(func, 1)
    measurements = {
        f"function,name=DoWork,scope={SCOPE}": "standalone",
        f"function_times,kind=success,name=DoWork,scope={SCOPE}": "standalone_times,kind=success",
        f"function_times,kind=failure,name=DoWork,scope={SCOPE}": "standalone_times,kind=failure",
    }
    ours = [[measurements[key], field] for key, field, _ in figures(func.stats())]
    kept = [pair for pair in ours if pair[1] not in ("p50", "p90", "p99", "p999")]
    assert kept == RECORDED["standalone_FuncStats_Observe"]


def test_every_recorded_case_is_compared() -> None:
    assert set(NO_SCOPE) < set(RECORDED)
    assert len(RECORDED) == 14
