"""The call graph as values, and which part of it is shown."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monkit_core import Registry
from monkit_core.formats.functions import func_rows
from monkit_present.graph.model import call_graph
from monkit_present.graph.view import WEIGHTS, View, choose
from tests.helpers import in_fresh_context
from tests.present.graph_cases import SECOND, func, graph_of, node_named, star


def names(view: View) -> list[str]:
    return [node.row.name for node in view.nodes]


def edges(view: View) -> set[tuple[str, str]]:
    return {(view.nodes[edge.caller].row.name, view.nodes[edge.callee].row.name) for edge in view.edges}


SHOP = graph_of(
    {
        "handle": ({"": 10}, 100 * SECOND),
        "render": ({"handle": 10, "report": 30}, 40 * SECOND),
        "report": ({"": 1}, 50 * SECOND),
        "query": ({"render": 5, "handle": 20}, 50 * SECOND),
        "alone": ({"": 3}, SECOND),
    }
)


# Figures.


@in_fresh_context
def test_rows_of_a_registry_say_how_often_each_caller_called() -> None:
    registry = Registry()
    scope = registry.scope("shop")
    for _ in range(3):
        with scope.task("outer"):
            with scope.task("inner"):
                pass
            with scope.task("inner"):
                pass
    with scope.task("inner"), scope.task("inner"):
        pass
    inner, outer = func_rows(registry)
    assert (outer.entry_calls, outer.caller_calls) == (3, ())
    assert (inner.entry_calls, dict(zip(inner.parent_ids, inner.caller_calls, strict=True))) == (
        1,
        {outer.id: 6, inner.id: 1},
    )


def test_own_time_is_that_of_a_function_less_that_of_its_calls() -> None:
    graph = graph_of({"a": ({"": 2}, 100), "b": ({"a": 4}, 60), "c": ({"b": 4}, 20)})
    assert [node.own_ns for node in graph.nodes] == [40, 40, 20]


def test_time_of_a_function_is_shared_among_its_callers_by_their_calls() -> None:
    assert node_named(SHOP, "handle").own_ns == 50 * SECOND  # less a quarter of render and four fifths of query
    assert node_named(SHOP, "report").own_ns == 20 * SECOND


def test_calls_from_outside_take_nothing_from_the_callers() -> None:
    graph = graph_of({"a": ({"": 1}, 100), "b": ({"a": 1, "": 3}, 80)})
    assert node_named(graph, "a").own_ns == 80


def test_own_time_is_never_negative() -> None:
    graph = graph_of({"gather": ({"": 1}, 10), "beside": ({"gather": 5}, 50)})
    assert [node.own_ns for node in graph.nodes] == [0, 50]


def test_recursion_is_counted_once_in_own_time() -> None:
    (walk,) = graph_of({"walk": ({"": 1, "walk": 1}, 300)}).nodes
    assert (walk.total_ns, walk.own_ns) == (300, 150)


def test_function_that_was_never_called_weighs_nothing() -> None:
    (idle,) = graph_of({"idle": ({}, 0)}).nodes
    assert (idle.calls, idle.own_ns, idle.failing) == (0, 0, False)


def test_caller_of_another_registry_counts_as_outside() -> None:
    graph = graph_of({"a": ({"elsewhere": 4}, 10)})
    assert graph.edges == ()
    assert graph.nodes[0].calls == 4


def test_cancellations_are_told_apart_from_failures() -> None:
    (node,) = call_graph([func("f", {"": 100}, errors={"Canceled": 50, "KeyError": 1}, panics=1, names=["f"])]).nodes
    assert (node.failures, node.cancellations, node.failing) == (2, 50, True)


@pytest.mark.parametrize(("failures", "failing"), [(0, False), (1, False), (2, True)])
def test_more_than_one_in_a_hundred_is_failing(failures: int, failing: bool) -> None:
    (node,) = call_graph([func("f", {"": 100}, errors={"KeyError": failures}, names=["f"])]).nodes
    assert node.failing is failing


# What is shown.


def test_all_is_shown_where_there_is_room() -> None:
    view = choose(SHOP, nodes=80, by="time")
    assert names(view) == ["handle", "query", "report", "render", "alone"]
    assert (view.light, view.ignored, view.unrelated) == ((), 0, 0)
    assert len(view.edges) == view.known_edges == 4


def test_lightest_functions_go_first_and_are_named_heaviest_first() -> None:
    view = choose(star(100), nodes=80, by="time")
    assert len(view.nodes) == 80
    assert [node.row.name for node in view.light] == [f"leaf_{i:03}" for i in reversed(range(21))]
    assert view.light_share == pytest.approx(sum(range(1, 22)) / 100_000)
    assert len(view.edges) == 79


def test_callers_stay_with_what_takes_long() -> None:
    """They have little time of their own, but all the time of what they called."""
    chain = {f"f{i}": ({f"f{i - 1}" if i else "": 1}, 100 * SECOND) for i in range(5)}
    view = choose(graph_of({**chain, "other": ({"": 1}, 50 * SECOND)}), nodes=5, by="time")
    assert names(view) == [f"f{i}" for i in range(5)]
    assert view.shares[-1] == pytest.approx(100 / 150)


@pytest.mark.parametrize(("by", "kept"), [("time", "slow"), ("count", "frequent"), ("errors", "broken")])
def test_by_says_what_weighs(by: str, kept: str) -> None:
    every = ["slow", "frequent", "broken"]
    graph = call_graph(
        [
            func("slow", {"": 1}, 9 * SECOND, names=every),
            func("frequent", {"": 1_000}, SECOND, names=every),
            func("broken", {"": 10}, SECOND, names=every, errors={"KeyError": 5}),
        ]
    )
    view = choose(graph, nodes=1, by=by)
    assert names(view) == [kept]
    assert view.shares[0] > 0.8


def test_focus_keeps_callers_and_callees_and_theirs_in_turn() -> None:
    graph = graph_of(
        {
            "top": ({"": 1}, 9),
            "upper": ({"top": 1}, 8),
            "middle": ({"upper": 1}, 7),
            "lower": ({"middle": 1}, 6),
            "bottom": ({"lower": 1}, 5),
            "sister": ({"upper": 1}, 4),
            "stranger": ({"": 1}, 3),
        }
    )
    view = choose(graph, nodes=80, by="time", focus=lambda node: node.row.name == "middle")
    assert names(view) == ["top", "upper", "middle", "lower", "bottom"]
    assert view.unrelated == 2


def test_function_in_focus_stays_however_light_it_is() -> None:
    view = choose(star(100), nodes=1, by="time", focus=lambda node: node.row.name == "leaf_000")
    assert names(view) == ["leaf_000"]
    assert [node.row.name for node in view.light] == ["handle"]


def test_ignored_functions_go_with_their_edges_and_count_before_focus() -> None:
    view = choose(
        SHOP,
        nodes=80,
        by="time",
        focus=lambda node: node.row.name == "query",
        ignore=lambda node: node.row.name == "render",
    )
    assert names(view) == ["handle", "query"]
    assert edges(view) == {("handle", "query")}
    assert (view.ignored, view.unrelated) == (1, 2)


def test_focus_on_a_circle_comes_to_an_end() -> None:
    graph = graph_of({"a": ({"": 1, "b": 1}, 3), "b": ({"a": 1, "b": 1}, 2), "c": ({"": 1}, 1)})
    view = choose(graph, nodes=80, by="time", focus=lambda node: node.row.name == "b")
    assert edges(view) == {("a", "b"), ("b", "a"), ("b", "b")}


def test_of_very_many_edges_the_heaviest_are_kept_and_to_each_function_one() -> None:
    every = [f"f{i:02}" for i in range(20)]
    graph = graph_of(
        {
            name: ({caller: 1_000 * (i < 19) + j + 1 for j, caller in enumerate(every)}, 1)
            for i, name in enumerate(every)
        }
    )
    view = choose(graph, nodes=80, by="time")
    assert len(view.edges) <= 3 * 20 + 20
    assert {callee for _, callee in edges(view)} == set(every)
    assert view.known_edges == 400


def test_nothing_is_shown_of_nothing() -> None:
    view = choose(call_graph([]), nodes=80, by="time")
    assert (view.nodes, view.edges, view.known) == ((), (), 0)


NAMES = [f"f{i}" for i in range(12)]
CALLERS = st.dictionaries(st.sampled_from(["", *NAMES]), st.integers(0, 10**6), max_size=5)
GRAPHS = st.lists(st.tuples(CALLERS, st.integers(0, 10**12)), max_size=12).map(
    lambda found: graph_of({NAMES[i]: item for i, item in enumerate(found)})
)


@given(GRAPHS, st.integers(1, 12), st.sampled_from(sorted(WEIGHTS)), st.sets(st.sampled_from(NAMES)))
@settings(deadline=None)
def test_every_function_is_shown_or_counted_as_left_out(graph: object, nodes: int, by: str, ignored: set[str]) -> None:
    view = choose(graph, nodes=nodes, by=by, ignore=lambda node: node.row.name in ignored)  # type: ignore[arg-type]
    assert len(view.nodes) + len(view.light) + view.ignored + view.unrelated == view.known
    assert len(view.nodes) <= nodes
    assert ignored.isdisjoint(names(view))
    assert sum(view.shares) + view.light_share <= 1 + 1e-9
    assert all(edge.caller < len(view.nodes) and edge.callee < len(view.nodes) for edge in view.edges)
    assert min((view.shares), default=0) >= 0
