from __future__ import annotations

import logging
import math
import uuid
import weakref
from collections import OrderedDict, namedtuple
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import IntEnum
from fractions import Fraction
from numbers import Real
from types import MappingProxyType, SimpleNamespace
from typing import Any, NamedTuple

import attrs
import pydantic
import pytest

from monkit_core import IGNORED, SeriesKey, StructVal, faults
from tests.helpers import figures, fresh_scope


def read(value: object) -> dict[str, float]:
    """The fields that an object gives."""
    struct_val = StructVal(SeriesKey("s"))
    before = faults.count()
    struct_val.observe(value)
    assert faults.count() == before
    fields = [(stat.field, stat.value) for stat in struct_val.stats()]
    assert len(dict(fields)) == len(fields)
    return dict(fields)


def of_this_test() -> StructVal:
    """A struct value whose faults the log has not met."""
    return StructVal(SeriesKey(f"struct {uuid.uuid4()}"))


@dataclass
class Pool:
    size: int = 3
    load: float = 0.5
    open: bool = True
    name: str = "main"
    parent: object = None


class Point(NamedTuple):
    x: int
    y: float


ORIGIN = Point(1, 2.0)
OldPoint = namedtuple("OldPoint", ["x", "y"])


@attrs.define
class Attrs:
    size: int
    secret: int = attrs.field(default=1, metadata=IGNORED)
    point: Point = ORIGIN


class Model(pydantic.BaseModel):
    size: int
    secret: int = pydantic.Field(default=1, json_schema_extra={"monkit": "ignore"})
    alias_of: int = pydantic.Field(default=2, alias="aliasOf", json_schema_extra={"example": 1})
    point: Point = Point(1, 2.0)
    text: str = "5"


@dataclass(slots=True, frozen=True)
class Slotted:
    a: int
    b: int = field(default=2, metadata=IGNORED)
    c: int = field(init=False)


OBJECTS: dict[str, tuple[object, dict[str, float]]] = {
    "dataclass": (Pool(), {"size": 3.0, "load": 0.5, "open": 1.0}),
    "nested dataclasses": (
        Pool(parent=Pool(size=4, parent=Point(1, 2))),
        {
            "size": 3.0, "load": 0.5, "open": 1.0,
            "parent.size": 4.0, "parent.load": 0.5, "parent.open": 1.0,
            "parent.parent.x": 1.0, "parent.parent.y": 2.0,
        },
    ),
    "dataclass with slots, a field of which was never set": (Slotted(1), {"a": 1.0}),
    "named tuple": (Point(1, 2.5), {"x": 1.0, "y": 2.5}),
    "named tuple of collections": (OldPoint(1, Point(2, 3)), {"x": 1.0, "y.x": 2.0, "y.y": 3.0}),
    "dictionary": ({"a": 1, 2: True, "c": {"d": 0.5, "e": None}}, {"a": 1.0, "2": 1.0, "c.d": 0.5}),
    "other mapping": (MappingProxyType(OrderedDict(b=1, a=2)), {"b": 1.0, "a": 2.0}),
    "attrs": (Attrs(5), {"size": 5.0, "point.x": 1.0, "point.y": 2.0}),
    "pydantic": (Model(size=5), {"size": 5.0, "alias_of": 2.0, "point.x": 1.0, "point.y": 2.0}),
    "empty": ({}, {}),
}  # fmt: skip


@pytest.mark.parametrize("name", OBJECTS)
def test_numbers_and_booleans_of_an_object_are_its_fields_in_their_order(name: str) -> None:
    value, expected = OBJECTS[name]
    assert list(read(value).items()) == list(expected.items())


def test_figures_carry_the_series_and_only_the_latest_object_counts() -> None:
    _, scope = fresh_scope()
    assert list(scope.stats()) == [] == list(scope.struct_val("pool", zone="a").stats())
    scope.struct_val("pool", zone="a").observe(Pool())
    scope.struct_val("pool", zone="a").observe({"z": 1})
    assert figures(scope.stats()) == [("pool,scope=shop,zone=a", "z", 1.0)]


def test_none_is_skipped() -> None:
    struct_val = StructVal(SeriesKey("s"))
    struct_val.observe(Point(1, 2))
    before = faults.count()
    struct_val.observe(None)
    assert [stat.value for stat in struct_val.stats()] == [1.0, 2.0]
    assert faults.count() == before


@pytest.mark.parametrize(
    "value",
    [5, "text", [1], (1, 2), {1}, object(), SimpleNamespace(a=1), Pool, Point],
    ids=lambda value: type(value).__name__,
)
def test_what_has_no_fields_is_left_out_and_reported_once(value: object, caplog: pytest.LogCaptureFixture) -> None:
    struct_val = of_this_test()
    struct_val.observe(Point(1, 2))
    with caplog.at_level(logging.WARNING, "monkit"):
        struct_val.observe(value)
        struct_val.observe(value)
    assert [stat.value for stat in struct_val.stats()] == [1.0, 2.0]
    (record,) = caplog.records
    assert f"an object with fields was expected, found {type(value).__name__}" in record.getMessage()


class Level(IntEnum):
    HIGH = 3


class Scalar:
    """A number as numpy's are: no float, but registered as real."""

    def __init__(self, value: float) -> None:
        self._value = value

    def __float__(self) -> float:
        return self._value

    def __eq__(self, other: object) -> Any:
        return Array()

    __hash__ = None  # type: ignore[assignment]


Real.register(Scalar)


class Array:
    """An array as numpy's are: no number, and its truth is refused."""

    def __bool__(self) -> bool:
        raise ValueError("the truth value of an array is ambiguous")

    def __float__(self) -> float:
        raise TypeError("only arrays of one element can be converted")

    def __len__(self) -> int:
        return 3

    def __getattr__(self, name: str) -> object:
        return self


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Level.HIGH, 3.0),
        (Fraction(1, 4), 0.25),
        (Scalar(1.5), 1.5),
        (10**400, math.inf),
        (-(10**400), -math.inf),
        (2**64 + 1, float(2**64)),
        (math.inf, math.inf),
        (-0.0, 0.0),
    ],
    ids=lambda value: str(value)[:20],
)
def test_every_real_number_is_read(value: object, expected: float) -> None:
    assert read({"v": value}) == {"v": expected}


@pytest.mark.parametrize(
    "value",
    [None, "5", b"5", 1j, Decimal(1), Array(), [1, 2], (1, 2), {1}, object(), Pool],
    ids=lambda value: type(value).__name__,
)
def test_what_is_neither_number_nor_object_with_fields_is_left_out(value: object) -> None:
    assert read({"before": 1, "v": value, "after": 2}) == {"before": 1.0, "after": 2.0}


def test_nan_is_a_number() -> None:
    assert math.isnan(read({"v": math.nan})["v"])


def test_subclass_adds_its_fields_and_other_attributes_are_none() -> None:
    @dataclass
    class Larger(Pool):
        extra: int = 9
        shared = 7

    larger = Larger()
    larger.further = 8  # type: ignore[attr-defined]
    assert read(larger) == {"size": 3.0, "load": 0.5, "open": 1.0, "extra": 9.0}


def test_mapping_that_is_also_a_dataclass_is_read_as_a_mapping() -> None:
    @dataclass
    class Both(Mapping[str, int]):
        inner: dict[str, int]

        def __getitem__(self, key: str) -> int:
            return self.inner[key]

        def __iter__(self) -> Iterator[str]:
            return iter(self.inner)

        def __len__(self) -> int:
            return len(self.inner)

    assert read(Both({"a": 1})) == {"a": 1.0}


def test_object_that_changes_later_does_not_change_the_page() -> None:
    inner = {"n": 1}
    pool = Pool(parent=inner)
    _, scope = fresh_scope()
    scope.struct_val("pool").observe(pool)
    before = figures(scope.stats())
    pool.size, inner["n"], inner["new"] = 99, 99, 99
    assert figures(scope.stats()) == before


def test_object_is_not_kept_alive() -> None:
    struct_val, pool = StructVal(SeriesKey("s")), Pool()
    seen = weakref.ref(pool)
    struct_val.observe(pool)
    del pool
    assert seen() is None


# Objects that mean no good.


@dataclass
class Broken:
    a: int = 1

    @property
    def b(self) -> int:
        raise ZeroDivisionError


def break_property(kind: type) -> object:
    """An object with a field that raises when it is read."""

    class Raises(kind):  # type: ignore[misc]
        @property
        def size(self) -> int:
            raise ZeroDivisionError

        @size.setter
        def size(self, value: int) -> None: ...

    return Raises()


class BrokenMapping(dict[str, int]):
    def items(self) -> Any:
        yield "a", 1
        raise ZeroDivisionError


class BrokenKey:
    def __str__(self) -> str:
        raise ZeroDivisionError


@pytest.mark.parametrize(
    "value",
    [break_property(Pool), BrokenMapping(), {BrokenKey(): 1}, {"deep": {"v": BrokenMapping()}}],
    ids=["property", "mapping", "key", "deep"],
)
def test_object_that_cannot_be_read_is_reported_once_and_the_last_good_one_stays(
    value: object, caplog: pytest.LogCaptureFixture
) -> None:
    struct_val = of_this_test()
    struct_val.observe(Point(1, 2))
    with caplog.at_level(logging.WARNING, "monkit"):
        struct_val.observe(value)
        struct_val.observe(value)
    assert [(stat.field, stat.value) for stat in struct_val.stats()] == [("x", 1.0), ("y", 2.0)]
    assert [record.exc_info is not None for record in caplog.records] == [True]


def test_property_that_is_no_field_is_never_read() -> None:
    assert read(Broken()) == {"a": 1.0}


def test_cycle_ends_16_levels_deep() -> None:
    pool = Pool()
    pool.parent = pool
    names = list(read(pool))
    assert len(names) == 3 * 16
    assert names[-1] == "parent." * 15 + "open"


def test_objects_that_refer_to_each_other_many_times_are_looked_at_10_000_times_at_most() -> None:
    looks: list[int] = []

    class Counted(dict[str, object]):
        def items(self) -> Any:
            for pair in super().items():
                looks.append(1)
                yield pair

    web = Counted()
    web.update(dict.fromkeys("abc", web))
    assert read(web) == {}
    assert 10_000 <= len(looks) <= 10_016


def test_thousand_fields_are_kept() -> None:
    assert list(read({f"f{number}": number for number in range(5_000)})) == [f"f{number}" for number in range(1_000)]
    assert len(read({str(outer): {str(inner): 1 for inner in range(40)} for outer in range(40)})) == 1_000


def test_endless_mapping_ends() -> None:
    class Endless(dict[str, object]):
        def items(self) -> Any:
            while True:
                yield "text", "none"

    assert read(Endless()) == {}


@pytest.mark.parametrize(
    ("name", "shown"),
    [("a\x1b[31m", "a\\x1b[31m"), ("\ud800", "\\ud800"), ("", ""), ("a b=c,d", "a b=c,d"), (None, "None")],
    ids=ascii,
)
def test_hostile_field_names_are_clean(name: object, shown: str) -> None:
    assert read({name: 1}) == {shown: 1.0}


@pytest.mark.parametrize("name", ["a b=c,d", "line\nline", "back\\slash", "\u2028", "x" * 5_000], ids=ascii)
def test_line_of_a_hostile_field_name_is_one_line_and_not_without_end(name: str) -> None:
    struct_val = StructVal(SeriesKey("s"))
    struct_val.observe({name: {name: 1}})
    (stat,) = struct_val.stats()
    line = stat.key.with_field(stat.field)
    assert len(line.splitlines()) == 1
    assert len(line) < 1_100
    assert line.startswith("s ")


def test_names_that_look_the_same_are_one_field_with_the_last_value() -> None:
    assert read({1: 1, "1": 2, "a.b": 3, "a": {"b": 4}}) == {"1": 2.0, "a.b": 4.0}


def test_long_names_that_differ_at_their_end_stay_different() -> None:
    assert len(read({"x" * 5_000 + str(number): 1 for number in range(3)})) == 3
