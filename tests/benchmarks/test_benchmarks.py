"""The arithmetic of the benchmarks, and what they write. Nothing here is timed."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import document, memory
from benchmarks.bars import BARS, REFERENCE_NS, Bar, slowness, verdicts
from benchmarks.calls import MONKIT, YARDSTICK
from benchmarks.effort import Effort
from benchmarks.figures import Result, Row, cost_row, plain_row, read_results, write_results
from benchmarks.stopwatch import Contender, fresh, interleave
from benchmarks.tables import TABLES, Table, amount, as_markdown, as_text, bars_of

ROOT = Path(__file__).parents[2]
PLAIN = [20.0, 22.0, 30.0]
WRAPPER = [90.0, 104.0, 150.0]
MONITORED = [301.0, 370.0, 335.0]


def result(*rows: Row, engine: str = "pure") -> Result:
    return Result("a machine", "CPython 3.11", {"peer": "1"}, engine, rows)


def calls(minimum: float, group: str = "sync, root", yardstick: float = 70.0) -> tuple[Row, Row]:
    return (
        Row(group, YARDSTICK, "ns", yardstick, yardstick, 1.0, 7),
        Row(group, MONKIT, "ns", minimum, minimum, minimum / yardstick, 7),
    )


def test_cost_is_what_comes_on_top_of_the_plain_call_and_the_ratio_is_to_the_wrapper() -> None:
    assert cost_row("g", "n", MONITORED, PLAIN, WRAPPER) == Row("g", "n", "ns", 281.0, 313.0, 281 / 70, 3)


def test_the_yardstick_is_once_itself() -> None:
    assert cost_row("g", YARDSTICK, WRAPPER, PLAIN, WRAPPER).ratio == 1.0


@pytest.mark.parametrize("yardstick", [None, PLAIN, [19.0, 19.0, 19.0]])
def test_no_ratio_without_a_yardstick_that_costs_something(yardstick: list[float] | None) -> None:
    assert cost_row("g", "n", MONITORED, PLAIN, yardstick).ratio is None


def test_figures_that_stand_for_themselves_are_not_subtracted_from() -> None:
    assert plain_row("g", "n", "ms", [3.0, 1.0, 8.0]) == Row("g", "n", "ms", 1.0, 3.0, None, 3)


def test_results_are_read_as_they_were_written(tmp_path: Path) -> None:
    results = [result(*calls(300.0)), result(engine="native")]
    write_results(results, tmp_path / "results.json")
    assert read_results(tmp_path / "results.json")[0].rows[1].minimum == 300.0
    write_results(read_results(tmp_path / "results.json"), tmp_path / "again.json")
    assert (tmp_path / "again.json").read_text() == (tmp_path / "results.json").read_text()


@pytest.mark.parametrize(("found", "met"), [(16.0, True), (24.0, True), (24.1, False)])
def test_a_bar_is_missed_only_beyond_its_margin(found: float, met: bool) -> None:
    bar = Bar("sync, root", MONKIT, {"pure": 16.0}, against=("sync, root", YARDSTICK))
    (verdict,) = verdicts(result(*calls(found * 70)), [bar], margin=1.5)
    assert verdict.found == pytest.approx(found)
    assert (verdict.allowed, verdict.met) == (24.0, met)


def test_what_was_not_measured_misses_its_bar() -> None:
    (verdict,) = verdicts(result(), [Bar("g", "n", {"pure": 1.0}, "ms")])
    assert (verdict.found, verdict.met) == (None, False)


def test_a_comparison_with_what_cost_nothing_is_not_measured() -> None:
    bar = Bar("sync, root", MONKIT, {"pure": 16.0}, against=("sync, root", YARDSTICK))
    assert bar.found(calls(100.0, yardstick=-1.0)) is None


def test_bars_hold_the_engine_they_name_only() -> None:
    bars = [Bar("g", "n", {"native": 1.0}, "ms")]
    assert verdicts(result(), bars) == []
    assert len(verdicts(result(engine="native"), bars)) == 1


@pytest.mark.parametrize(("yardstick", "slower"), [(REFERENCE_NS * 2, 2.0), (REFERENCE_NS / 2, 1.0)])
def test_a_slower_machine_gets_more_time_and_a_faster_one_no_less(yardstick: float, slower: float) -> None:
    rows = (*calls(300.0, yardstick=yardstick), Row("g", "n", "ms", 5, 5, None, 3))
    bars = [Bar("g", "n", {"pure": 4.0}, "ms", scaled=True), Bar("g", "n", {"pure": 4.0}, "ms")]
    assert slowness(rows) == slower
    assert [verdict.allowed for verdict in verdicts(result(*rows), bars, margin=1.0)] == [4.0 * slower, 4.0]


def test_memory_of_functions_is_held_where_the_compiled_engine_runs() -> None:
    held = {bar.name: set(bar.limits) for bar in BARS if bar.group == memory.GROUP}
    assert held[memory.WITHOUT_TRAFFIC] == held[memory.IN_USE] == {"native"}
    assert held[memory.GROWTH] == {"native", "pure"}


def test_no_bar_stands_twice() -> None:
    names = [(bar.group, bar.name, bar.unit) for bar in BARS]
    assert len(set(names)) == len(names)


def test_the_table_of_bars_says_what_is_missed() -> None:
    table = bars_of([result(*calls(16 * 70 * 2))], 1.5)
    words = {row[0]: row[3:] for row in table.rows}
    assert words["sync, root: monkit, pure engine"] == ("32.0", "16.0", "24.0", "MISSED")
    assert words["sync, child: monkit, pure engine"] == ("not measured", "16.0", "24.0", "MISSED")
    kept = bars_of([result(*calls(16 * 70))], 1.5, measured=True)
    assert [row[-1] for row in kept.rows] == [""]


def test_calls_stand_a_tool_a_row_with_the_multiple_and_peers_once() -> None:
    pure, native = result(*calls(700.0)), result(*calls(210.0), engine="native")
    assert TABLES["calls"]([native, pure]).rows == (
        ("do-nothing wrapper", "70.0 (1.0×)", "–", "–", "–"),
        ("monkit, native engine", "210 (3.0×)", "–", "–", "–"),
        ("monkit, pure engine", "700 (10.0×)", "–", "–", "–"),
    )


@pytest.mark.parametrize(
    ("value", "words"),
    [(12345.6, "12,346"), (99.96, "100.0"), (1.25, "1.2"), (0.123, "0.12"), (0, "0.0"), (-3.0, "-3.0")],
)
def test_amounts_have_the_digits_that_mean_something(value: float, words: str) -> None:
    assert amount(value) == words


def test_tables_are_aligned_as_text_and_ruled_as_markdown() -> None:
    table = Table(("", "ns"), (("a call", "5"), ("b", "1,000")))
    assert as_text(table) == "           ns\na call      5\nb       1,000"
    assert as_markdown(table) == "| | ns |\n| --- | --: |\n| a call | 5 |\n| b | 1,000 |"


def test_tables_of_the_document_are_those_of_the_results() -> None:
    words = document.DOCUMENT.read_text("utf-8")
    results = read_results(ROOT / "benchmarks" / "results.json")
    assert document.fill(words, results) == words, "python -m benchmarks --draw"
    assert [name for name in TABLES if f"<!-- table {name} -->" not in words] == []


def test_contenders_take_turns_in_loops_that_are_long_enough() -> None:
    runs: list[tuple[str, int]] = []

    def contender(name: str, call_ns: int) -> Contender:
        def run(count: int) -> int:
            runs.append((name, count * call_ns))
            return count * call_ns

        return Contender(name, run)

    effort = Effort("test", 1, 3, False, (), 1, 0, (), (0, 0))
    samples = interleave([contender("a", 10), contender("b", 1_000)], effort)
    assert samples == {"a": [10.0] * 3, "b": [1_000.0] * 3}
    rounds = runs[-12:]
    assert [name for name, _ in rounds] == ["a", "a", "b", "b"] * 3, "each warms up, then is timed"
    assert all(took_ns >= 1_000_000 for _, took_ns in rounds[1::2])
    assert all(took_ns < 200_000 for _, took_ns in rounds[::2])


def test_a_fresh_copy_does_the_same_by_code_of_its_own() -> None:
    held = 3

    def outer(a: int, *, b: int = 2) -> int:
        def inner() -> int:
            return a + b + held

        return inner()

    copy = fresh(outer)
    assert copy(1) == outer(1) == 6
    assert copy.__code__ is not outer.__code__
    assert copy.__qualname__ == outer.__qualname__
    inners = [next(item for item in f.__code__.co_consts if hasattr(item, "co_code")) for f in (copy, outer)]
    assert inners[0] is not inners[1]
