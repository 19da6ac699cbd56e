"""What a monitored function looks like: to whoever inspects, copies, wraps, mocks or subclasses it, what it was."""

from __future__ import annotations

import abc
import asyncio
import copy
import dataclasses
import enum
import functools
import inspect
import pickle
import pydoc
import types
import typing
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any
from unittest import mock

import pydantic
import pytest

from monkit_core import Registry, engine
from tests.helpers import fresh_scope

mon = Registry().scope("face")
native_only = pytest.mark.skipif(engine.name != "native", reason="a wrapper in Python has code of its own")


def plain(first: int, /, second: str = "b", *rest: int, third: float = 3.0, **more: bytes) -> str:
    """What it does."""
    return f"{first} {second} {rest} {third} {more}"


async def waits(first: int, second: str = "b") -> str:
    """Waits."""
    return f"{first} {second}"


def steps(amount: int = 3) -> Iterator[int]:
    """Counts."""
    yield from range(amount)


async def waits_between(amount: int = 3) -> AsyncIterator[int]:
    """Counts, and waits."""
    for number in range(amount):
        yield number


ALL: list[Callable[..., Any]] = [plain, waits, steps, waits_between]
every_kind = pytest.mark.parametrize("call", ALL, ids=lambda call: call.__name__)
by_name = mon.task(lambda: None)  # one that has no name to be found by


@mon.task
def kept(number: int) -> int:
    return number + 1


@mon.task
async def kept_coroutine(number: int) -> int:
    return number + 1


class Shape(abc.ABC):
    @mon.task
    def area(self) -> float:
        return 1.0

    @mon.task
    @classmethod
    def unit(cls) -> str:
        return cls.__name__

    @classmethod
    @mon.task
    def unit_inside(cls) -> str:
        return cls.__name__

    @mon.task
    @staticmethod
    def none(number: int = 7) -> int:
        return number

    @property
    @mon.task
    def name(self) -> str:
        return f"a {type(self).__name__}"

    @name.setter
    @mon.task
    def name(self, name: str) -> None:
        self.__dict__["given"] = name

    @mon.task
    @abc.abstractmethod
    def draw(self) -> str:
        return "drawn"


class Square(Shape):
    @mon.task
    def area(self) -> float:
        return super().area() + 1

    def draw(self) -> str:
        return super().draw() + "!"


KINDS: list[Callable[[Any], object]] = [
    inspect.isfunction, inspect.isroutine, inspect.ismethod, inspect.isbuiltin, inspect.isclass, inspect.iscoroutine,
    inspect.iscoroutinefunction, inspect.isgeneratorfunction, inspect.isasyncgenfunction, inspect.isawaitable,
    inspect.ismethoddescriptor, inspect.isdatadescriptor, asyncio.iscoroutinefunction, callable,
]  # fmt: skip


@every_kind
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_a_monitored_function_is_of_every_kind_that_it_was_of(
    kind: Callable[[Any], object], call: Callable[..., Any]
) -> None:
    monitored = mon.task(call)
    assert kind(monitored) == kind(call)
    assert isinstance(monitored, types.FunctionType)
    assert isinstance(monitored, Callable)  # type: ignore[arg-type]


@every_kind
def test_signature_hints_source_and_names_are_those_of_the_function(call: Callable[..., Any]) -> None:
    monitored = mon.task(call)
    assert inspect.signature(monitored) == inspect.signature(call)
    assert inspect.unwrap(monitored) is call
    assert typing.get_type_hints(monitored) == typing.get_type_hints(call)
    assert inspect.getsource(monitored) == inspect.getsource(call)
    assert inspect.getdoc(monitored) == inspect.getdoc(call)
    assert inspect.getmodule(monitored) is inspect.getmodule(call)
    for name in ("__name__", "__qualname__", "__doc__", "__module__", "__annotations__"):
        assert getattr(monitored, name) == getattr(call, name), name
    assert inspect.unwrap(monitored, stop=lambda found: found is call) is call
    assert sorted(vars(monitored)) == ["__wrapped__", "func"]


@native_only
@pytest.mark.parametrize("call", [plain, waits, steps], ids=lambda call: call.__name__)
def test_defaults_and_code_are_those_of_the_function(call: Callable[..., Any]) -> None:
    monitored = mon.task(call)
    for name in ("__defaults__", "__kwdefaults__", "__code__", "__globals__", "__closure__", "__builtins__"):
        assert getattr(monitored, name) is getattr(call, name), name
    assert inspect.signature(monitored, follow_wrapped=False) == inspect.signature(call)


@native_only
def test_defaults_that_are_changed_are_those_of_the_next_call() -> None:
    @mon.task
    def adds(one: int = 1, *, two: int = 2) -> int:
        return one + two

    adds.__defaults__ = (10,)
    adds.__kwdefaults__ = {"two": 20}
    assert adds() == 30


def test_names_and_notes_can_be_changed_as_those_of_a_function_can() -> None:
    @mon.task
    def thing() -> None:
        """Old."""

    thing.__name__, thing.__qualname__, thing.__doc__ = "other", "Some.other", "New."
    thing.__annotations__ = {"x": int}
    thing.__module__ = "elsewhere"
    thing.own = 1  # type: ignore[attr-defined]
    assert (thing.__name__, thing.__qualname__, thing.__doc__) == ("other", "Some.other", "New.")
    assert (thing.__annotations__, thing.__module__, thing.own) == ({"x": int}, "elsewhere", 1)  # type: ignore[attr-defined]
    with pytest.raises(TypeError, match="__name__ must be set to a string object"):
        thing.__name__ = 1  # type: ignore[assignment]
    with pytest.raises(TypeError, match="__annotations__ must be set to a dict object"):
        thing.__annotations__ = []  # type: ignore[assignment]
    with pytest.raises(AttributeError):
        thing.no_such  # type: ignore[attr-defined]  # noqa: B018
    with pytest.raises(AttributeError):
        thing.__globals__ = {}  # type: ignore[misc]


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_monitored_function_is_pickled_by_its_name(protocol: int) -> None:
    for thing in (kept, kept_coroutine, Shape.area, Shape.none):
        assert pickle.loads(pickle.dumps(thing, protocol)) is thing
    bound = pickle.loads(pickle.dumps(Square().area, protocol))
    assert bound() == 2
    with pytest.raises((pickle.PicklingError, AttributeError), match=r"<lambda>"):
        pickle.dumps(by_name, protocol)


def test_copies_of_a_monitored_function_are_itself() -> None:
    assert copy.copy(kept) is kept
    assert copy.deepcopy({"f": kept})["f"] is kept


def test_weak_references_to_a_monitored_function_end_with_it() -> None:
    @mon.task
    def short() -> None:
        pass

    reference = weakref.ref(short)
    assert reference() is short
    del short
    assert reference() is None


def test_a_monitored_function_can_be_called_by_its_call_attribute() -> None:
    monitored = mon.task(plain)
    assert hasattr(monitored, "__call__")  # noqa: B004
    assert monitored.__call__(1, "x", 2, third=4.0, more=b"y") == plain(1, "x", 2, third=4.0, more=b"y")


ARGUMENTS: list[tuple[tuple[Any, ...], dict[str, Any]]] = [
    ((1,), {}), ((1, "x", 2, 3), {}), ((1,), {"second": "y", "third": 1.5, "other": b"z"}), ((1,), {"first": b"1"}),
    ((), {}), ((), {"first": 1}), ((1, "x"), {"second": "y"}),
]  # fmt: skip


@pytest.mark.parametrize(("positional", "keywords"), ARGUMENTS)
def test_arguments_are_taken_and_refused_as_by_the_function_itself(
    positional: tuple[Any, ...], keywords: dict[str, Any]
) -> None:
    def outcome(call: Callable[..., str]) -> str:
        try:
            return call(*positional, **keywords)
        except TypeError as error:
            return str(error)

    assert outcome(mon.task(plain)) == outcome(plain)
    assert outcome(mon.task(args=("first", "more"))(plain)) == outcome(plain)


@pytest.mark.parametrize("name", ["area", "unit", "unit_inside", "none", "draw"])
def test_methods_of_every_kind_are_called_on_classes_and_objects(name: str) -> None:
    square = Square()
    expected = {"area": 2.0, "unit": "Square", "unit_inside": "Square", "none": 7, "draw": "drawn!"}[name]
    assert getattr(square, name)() == expected
    found = getattr(Square, name)
    assert (found() if name in ("unit", "unit_inside", "none") else found(square)) == expected
    assert inspect.ismethod(getattr(square, name)) == (name != "none")


def test_bound_methods_are_equal_and_know_their_object() -> None:
    square = Square()
    assert square.area == square.area
    assert square.area != Square().area
    assert hash(square.area) == hash(square.area)
    assert square.area.__self__ is square  # type: ignore[attr-defined]
    assert square.area.__func__ is Square.area
    assert square.area.__name__ == "area"
    assert kept.__get__(None, Square) is kept
    assert kept.__get__(1)() == 2
    with pytest.raises(TypeError, match=r"__get__\(None, None\) is invalid"):
        kept.__get__(None, None)


def test_properties_and_abstract_methods_stay_what_they_are() -> None:
    square = Square()
    assert square.name == "a Square"
    square.name = "x"
    assert vars(square) == {"given": "x"}
    with pytest.raises(TypeError, match="abstract"):
        Shape()  # type: ignore[abstract]
    assert Shape.__abstractmethods__ == {"draw"}


def test_partial_and_partial_methods_and_caches_work_above_and_below() -> None:
    class Adder:
        @mon.task
        def add(self, one: int, two: int) -> int:
            return one + two

        add_five = functools.partialmethod(add, 5)

    assert Adder().add_five(6) == 11
    assert functools.partial(kept, 1)() == 2
    assert mon.task("partial")(functools.partial(kept, 1))() == 2
    above = functools.lru_cache(mon.task("above")(lambda number: [number]))
    assert above(1) is above(1)
    below = mon.task("below")(functools.lru_cache(lambda number: [number]))
    assert below(1) is below(1)
    assert (mon.func("above").success_times.count, mon.func("below").success_times.count) == (1, 2)
    cached = functools.cached_property(mon.task("cached")(lambda self: object()))
    holder = type("Holder", (), {"cached": cached})
    cached.__set_name__(holder, "cached")
    made = holder()
    assert made.cached is made.cached


@every_kind
def test_what_a_decorator_makes_of_it_is_of_the_kind_it_makes_of_the_function(call: Callable[..., Any]) -> None:
    class Wrapper:
        def __init__(self, inner: Callable[..., Any]) -> None:
            functools.update_wrapper(self, inner)

        def __call__(self) -> None:
            pass

    makers: list[Callable[[Callable[..., Any]], Any]] = [functools.lru_cache, Wrapper, functools.partial]
    for make in makers:
        ours, theirs = make(mon.task(call)), make(call)
        for kind in KINDS:
            assert kind(ours) == kind(theirs), (make, kind)
        assert inspect.signature(ours) == inspect.signature(theirs)
        assert vars(ours).keys() - vars(theirs).keys() == ({"func"} if make is not functools.partial else set())


def test_single_dispatch_goes_over_and_to_monitored_functions() -> None:
    @functools.singledispatch
    @mon.task
    def show(value: object) -> str:
        return "object"

    @show.register
    @mon.task
    def _(value: int) -> str:
        return "int"

    @show.register(str)
    @mon.task
    def show_text(value: str) -> str:
        return "str"

    assert (show(1), show("x"), show(None), show_text("x")) == ("int", "str", "object", "str")


def test_monitored_functions_in_dataclasses_models_and_enums_are_methods_not_fields() -> None:
    @dataclasses.dataclass
    class Point:
        x: int
        factory: list[int] = dataclasses.field(default_factory=mon.task("made")(lambda: [7]))

        @mon.task
        def twice(self) -> int:
            return self.x * 2

    class Model(pydantic.BaseModel):
        x: int

        @mon.task
        def twice(self) -> int:
            return self.x * 2

        @pydantic.field_validator("x")
        @classmethod
        @mon.task
        def positive(cls, x: int) -> int:
            assert x > 0
            return x

        @pydantic.computed_field  # type: ignore[prop-decorator]
        @property
        @mon.task
        def half(self) -> float:
            return self.x / 2

    class Color(enum.Enum):
        RED = 1

        @mon.task
        def shout(self) -> str:
            return self.name + "!"

    assert [field.name for field in dataclasses.fields(Point)] == ["x", "factory"]
    assert (Point(2).twice(), Point(2).factory) == (4, [7])
    assert list(Model.model_fields) == ["x"]
    assert (Model(x=2).twice(), Model(x=2).model_dump()) == (4, {"x": 2, "half": 1.0})
    with pytest.raises(pydantic.ValidationError):
        Model(x=-1)
    assert [color.shout() for color in Color] == ["RED!"]
    assert pydantic.validate_call(kept)("1") == 2  # type: ignore[arg-type]


def test_autospec_makes_mocks_of_the_same_signature_and_kind() -> None:
    made = mock.create_autospec(mon.task(plain), return_value="x")
    assert made(1) == "x"
    with pytest.raises(TypeError, match="missing a required argument: 'first'"):
        made()
    for call in ALL:
        ours, theirs = mock.create_autospec(mon.task(call)), mock.create_autospec(call)
        assert [kind(ours) for kind in KINDS] == [kind(theirs) for kind in KINDS]
        assert inspect.signature(ours) == inspect.signature(theirs)
    assert isinstance(mock.create_autospec(Square).area, mock.NonCallableMock | types.FunctionType)
    with mock.patch.object(Square, "area", autospec=True, return_value=9):
        assert Square().area() == 9
    assert Square().area() == 2


@every_kind
def test_help_says_what_it_says_of_the_function(call: Callable[..., Any]) -> None:
    assert pydoc.render_doc(mon.task(call)) == pydoc.render_doc(call)
    assert pydoc.plain(pydoc.render_doc(Square)).count("area(self) -> 'float'") == 1


def test_a_callable_without_code_is_monitored_too() -> None:
    class Callee:
        def __call__(self, number: int) -> int:
            return number * 2

    monitored = mon.task("callee")(Callee())
    assert monitored(2) == 4
    assert str(inspect.signature(monitored)) == "(number: 'int') -> 'int'"
    assert mon.task("length")(len)("abc") == 3
    assert mon.task("type")(functools.partial(int, base=2))("101") == 5


def test_a_function_monitored_twice_is_counted_by_both() -> None:
    _, scope = fresh_scope()
    twice = scope.task("outer")(scope.task("inner")(plain))
    assert twice(1) == plain(1)
    assert scope.func("inner").callers == {scope.func("outer"): 1}
    assert inspect.signature(twice) == inspect.signature(plain)
