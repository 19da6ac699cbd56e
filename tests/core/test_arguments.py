from __future__ import annotations

import asyncio
import functools
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest

from monkit_core import Span, current_span
from monkit_core.arguments import show
from tests.helpers import check_idle, fresh_scope

DEFAULT = "the default"


def everything(a: Any, b: Any = DEFAULT, /, c: Any = 3, *rest: Any, d: Any, e: Any = 5, **others: Any) -> Any:
    return current_span()


NAMES = ("a", "b", "c", "rest", "d", "e", "others")


def recorded(function: Callable[..., Any], names: tuple[str, ...], *args: Any, **kwargs: Any) -> tuple[str, ...]:
    _, scope = fresh_scope()
    span = scope.task("work", args=names)(function)(*args, **kwargs)
    assert isinstance(span, Span)
    return span.args


@pytest.mark.parametrize(
    ("args", "kwargs", "wanted"),
    [
        ((1,), {"d": 4}, ("a=1", "b='the default'", "c=3", "rest=()", "d=4", "e=5", "others={}")),
        ((1, 2, 3, 4, 5), {"d": 6, "e": 7}, ("a=1", "b=2", "c=3", "rest=(4, 5)", "d=6", "e=7", "others={}")),
        (
            (1,),
            {"c": 2, "d": 3, "x": 4, "y": 5},
            ("a=1", "b='the default'", "c=2", "rest=()", "d=3", "e=5", "others={'x': 4, 'y': 5}"),
        ),
        (
            (1,),
            {"d": 4, "a": "other", "b": "other"},  # names of positional-only parameters are free
            ("a=1", "b='the default'", "c=3", "rest=()", "d=4", "e=5", "others={'a': 'other', 'b': 'other'}"),
        ),
    ],
)
def test_each_kind_of_parameter_is_recorded(
    args: tuple[Any, ...], kwargs: dict[str, Any], wanted: tuple[str, ...]
) -> None:
    assert recorded(everything, NAMES, *args, **kwargs) == wanted


def test_only_what_is_named_is_recorded_in_the_order_of_the_names() -> None:
    assert recorded(everything, ("d", "a"), 1, d="x") == ("d='x'", "a=1")
    assert recorded(everything, (), 1, d="x") == ()


def test_methods_partials_and_coroutines_record_too() -> None:
    _, scope = fresh_scope()

    class Shop:
        @scope.task(args=("item",))
        def buy(self, item: str, amount: int = 1) -> Span | None:
            return current_span()

        @scope.task(args=("item",))
        async def wait(self, *, item: str) -> Span | None:
            return current_span()

    bought, waited = Shop().buy("tea"), asyncio.run(Shop().wait(item="tea"))
    assert bought is not None
    assert waited is not None
    assert bought.args == waited.args == ("item='tea'",)
    assert recorded(functools.partial(everything, 1, d=2), ("b", "d"), 7) == ("b=7", "d=2")
    assert recorded(functools.partial(everything, 1, d=2), ("d",), d=3) == ("d=3",)


def test_arguments_of_a_wrong_call_do_not_hide_its_error() -> None:
    registry, scope = fresh_scope()
    monitored = scope.task("work", args=NAMES)(everything)
    with pytest.raises(TypeError, match="missing 1 required positional argument"):
        monitored(d=1)  # type: ignore[call-arg]
    assert scope.func("work").errors == {"TypeError": 1}
    check_idle(registry)


def test_text_is_made_at_entry() -> None:
    _, scope = fresh_scope()

    @scope.task(args=("items",))
    def work(items: list[int]) -> Span | None:
        items.append(2)
        return current_span()

    span = work([1])
    assert span is not None
    assert span.args == ("items=[1]",)


@pytest.mark.parametrize("length", [198, 199, 5_000])
def test_text_is_clipped_at_200_characters(length: int) -> None:
    (text,) = recorded(everything, ("a",), "x" * length, d=1)
    shown = text.removeprefix("a=")
    assert shown == ("'" + "x" * 198 + "'" if length == 198 else "'" + "x" * 198 + "…")
    assert len(shown) == 200


class Hostile:
    def __init__(self, problem: BaseException) -> None:
        self.problem = problem

    def __repr__(self) -> str:
        raise self.problem


def test_repr_that_raises_is_named_and_the_call_goes_on() -> None:
    named = "<Hostile whose __repr__ raised ZeroDivisionError>"
    assert recorded(everything, ("a",), Hostile(ZeroDivisionError()), d=1) == (f"a={named}",)
    assert recorded(everything, ("a",), [Hostile(ZeroDivisionError())], d=1)[0].startswith("a=")
    assert recorded(everything, ("a",), Hostile(RecursionError()), d=1)[0].endswith("RecursionError>")


class Counted:
    """Counts how often it is turned into text."""

    shown = compared = 0

    def __repr__(self) -> str:
        Counted.shown += 1
        return "*"

    def __lt__(self, other: object) -> bool:
        Counted.compared += 1
        return False


@pytest.mark.parametrize("make", [list, tuple, set, frozenset, dict.fromkeys])
def test_long_containers_are_not_fully_rendered(make: Callable[[list[Counted]], object]) -> None:
    Counted.shown = Counted.compared = 0
    shown = show("a", make([Counted() for _ in range(10_000)]))
    assert 20 < Counted.shown < 100
    assert Counted.compared == 0
    assert len(shown) <= 202


@pytest.mark.parametrize(
    "value",
    [
        "x" * 50_000_000,
        b"x" * 50_000_000,
        bytearray(50_000_000),
        ["x" * 50_000_000],
        [b"x" * 50_000_000],
        {"key": bytearray(50_000_000)},
        [[["x" * 1_000] * 50] * 50] * 50,
        [[] for _ in range(200_000)],
        dict.fromkeys(range(200_000)),
        set(range(200_000)),
        [dict.fromkeys(range(200_000))],
    ],
    ids=lambda value: type(value).__name__,
)
def test_huge_values_cost_their_clipped_length(value: object) -> None:
    tracemalloc.start()
    text = show("a", value)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(text) <= 202
    assert peak_bytes < 100_000


def test_container_keeps_the_order_it_has() -> None:
    assert show("a", {"b": 1, "a": 2}) == "a={'b': 1, 'a': 2}"
    assert show("a", [{"b": 1, "a": 2}]) == "a=[{'b': 1, 'a': 2}]"
    assert show("a", ({3}, frozenset({4}), b"5", bytearray(b"6"))) == "a=({3}, frozenset({4}), b'5', bytearray(b'6'))"
    assert show("a", [("key", 2.5, None), {(1,): {"x"}}]) == "a=[('key', 2.5, None), {(1,): {'x'}}]"
    assert show("a", [set(), frozenset(), {}, (), (1,)]) == "a=[set(), frozenset(), {}, (), (1,)]"


def test_container_that_holds_itself_ends() -> None:
    endless: list[object] = []
    endless.append(endless)
    assert show("a", endless) == "a=[[[[[[...]]]]]]"


def test_hostile_characters_are_spelt_out() -> None:
    class Speaks:
        def __repr__(self) -> str:
            return "\x1b]0;\x07\u202e\ud800\x00</script>\n"

    assert show("a", Speaks()) == "a=\\x1b]0;\\x07\\u202e\\ud800\\x00</script>\n"


def test_integer_of_too_many_digits_is_no_error() -> None:
    assert show("a", 10**5_000) == "a=<int whose __repr__ raised ValueError>"


@pytest.mark.parametrize("problem", [KeyboardInterrupt(), SystemExit(3)])
def test_interrupt_within_a_repr_comes_out_and_nothing_is_left_running(problem: BaseException) -> None:
    registry, scope = fresh_scope()
    with pytest.raises(type(problem)):
        scope.task("work", args=("a",))(everything)(Hostile(problem), d=1)
    check_idle(registry)
