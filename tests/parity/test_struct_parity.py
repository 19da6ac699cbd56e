"""Struct values, against what the original read out of Go structs: here the nearest that Python has."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, make_dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import pytest

from monkit_core import IGNORED, SeriesKey, StructVal
from tests.helpers import check_figures, figures, vectors

RECORDED = vectors("struct")
CASES: dict[str, dict[str, Any]] = {case["name"]: case for case in RECORDED["cases"]}


class Inner(NamedTuple):
    """The original's struct of four."""

    B: bool
    F: float
    I: int  # noqa: E741  # the original's name
    u: int


@dataclass
class Flat:
    """One field of each kind."""

    B: bool = True
    F: float = 1.5
    F3: float = 2.5
    I: int = -3  # noqa: E741  # the original's name
    I8: int = -8
    U: int = 1 << 60
    By: int = 7
    S: str = "5"
    Sl: list[int] = field(default_factory=lambda: [1])
    M: object = None
    Ar: tuple[int, int] = (1, 2)
    C: complex = 1 + 2j
    D: object = 1_500_000_000


@dataclass
class Marked:
    """Fields with metadata."""

    A: int = field(default=1, metadata=IGNORED)
    B: int = field(default=2, metadata=IGNORED)
    C: int = field(default=3, metadata={"monkit": "ignored"})
    D: int = field(default=4, metadata={"json": "ignore"})
    E: int = field(default=5, metadata={"monkit": "name=x"})
    F: int = field(default=6, metadata={"monkit": " ignore"})


def struct(**fields: object) -> object:
    """A dataclass of these fields."""
    return make_dataclass("Struct", list(fields))(**fields)


INNER = Inner(True, 2.0, 3, 4)
SAME: dict[str, Callable[[], object]] = {
    "flat: bool float int uint string slice map chan func complex all kinds": Flat,
    "nested + pointer to struct": lambda: struct(In=INNER, Ptr=Inner(False, 5.0, 6, 7)),
    "pointer to outer": lambda: INNER,
    "pointer to pointer to int field": lambda: struct(P=5),
    "embedded": lambda: struct(Emb=struct(E=4), Own=5),
    "ignore tag forms": Marked,
    "not a struct: int": lambda: 5,
    "not a struct: string": lambda: "text",
    "empty struct": struct,
    "three levels": lambda: struct(A=struct(B=struct(C=0))),
}

DIFFERS: dict[str, tuple[str, Callable[[], object], list[tuple[str, float]]]] = {
    "unexported fields: numeric reported, struct not recursed": (
        "Python has no unexported fields; an underscore is a name like another",
        lambda: struct(a=1.0, _in=Inner(True, 2.0, 3, 4), B=True),
        [("a", 1.0), ("_in.B", 1.0), ("_in.F", 2.0), ("_in.I", 3.0), ("_in.u", 4.0), ("B", 1.0)],
    ),
    "nil": ("nothing is skipped", lambda: None, []),
    "nil pointer to struct": ("nothing is skipped", lambda: None, []),
    "nil pointer field": ("nothing is skipped", lambda: struct(P=None), []),
    "nil pointer field with ignore tag": (
        "it is left out",
        lambda: make_dataclass("Struct", [("P", object, field(metadata=IGNORED))])(None),
        [],
    ),
    "interface field holding struct (not followed)": (
        "every field of Python holds anything, so what it holds is followed",
        lambda: struct(I=INNER),
        [("I.B", 1.0), ("I.F", 2.0), ("I.I", 3.0), ("I.u", 4.0)],
    ),
    "interface field holding float (not followed)": (
        "every field of Python holds anything, so what it holds is followed",
        lambda: struct(I=1.5),
        [("I", 1.5)],
    ),
    "time.Time UTC field": (
        "a moment has no fields of numbers",
        lambda: struct(T=datetime(1970, 1, 1, tzinfo=UTC)),
        [],
    ),
    "time.Time local field": ("a moment has no fields of numbers", lambda: struct(T=datetime(1970, 1, 1)), []),
}


def observed(value: object) -> StructVal:
    """A struct value that has taken in one object."""
    struct_val = StructVal(SeriesKey("s"))
    struct_val.observe(value)
    return struct_val


@pytest.mark.parametrize("name", SAME)
def test_figures_of_a_struct_are_the_original_s(name: str) -> None:
    check_figures(figures(observed(SAME[name]()).stats()), CASES[name]["stats"])


@pytest.mark.parametrize("name", DIFFERS, ids=lambda name: f"{name} DIFFERS: {DIFFERS[name][0]}")
def test_figures_of_a_struct_differ_where_the_languages_do(name: str) -> None:
    _, make, ours = DIFFERS[name]
    assert [(stat.field, stat.value) for stat in observed(make()).stats()] == ours
    theirs = CASES[name].get("stats")
    assert theirs is None or [(stat["field"], stat["val"]) for stat in theirs] != ours


def test_duration_is_no_number_unlike_go_s() -> None:
    """DIFFERS: Go's is an integer of nanoseconds; ours has to be said as a number, and so in a unit."""
    theirs = CASES["flat: bool float int uint string slice map chan func complex all kinds"]["stats"]
    assert theirs[-1]["field"] == "D"
    check_figures(figures(observed(Flat(D=timedelta(seconds=1.5))).stats()), theirs[:-1])


def test_mapping_is_an_object_with_fields_unlike_go_s() -> None:
    """DIFFERS: the original leaves maps out."""
    read = [(stat.field, stat.value) for stat in observed(Flat(M={"k": 1})).stats()]
    assert read[-2:] == [("M.k", 1.0), ("D", 1.5e9)]
    assert len(read) == 1 + len(list(observed(Flat()).stats()))


def test_one_spelling_marks_a_field_to_be_ignored() -> None:
    """DIFFERS: the original also finds ``ignore`` among other words; here that is another word."""
    assert "B" not in [stat["field"] for stat in CASES["ignore tag forms"]["stats"]]
    marked = make_dataclass("Struct", [("B", int, field(metadata={"monkit": "whatever,ignore"}))])
    assert [stat.field for stat in observed(marked(2)).stats()] == ["B"]


def test_nothing_observed_gives_nothing_as_in_the_original() -> None:
    check_figures(figures(StructVal(SeriesKey("s")).stats()), RECORDED["structval_fresh"])


def test_only_the_latest_object_counts_as_in_the_original() -> None:
    struct_val = observed(INNER)
    struct_val.observe(struct(Z=1))
    check_figures(figures(struct_val.stats()), RECORDED["structval_latest_only"])


def test_object_is_read_when_it_is_observed() -> None:
    """DIFFERS: the original keeps the object and reads it when somebody looks, while the program may be writing it."""
    theirs = RECORDED["structval_keeps_reference_mutated_after_observe"]
    mutable: Any = struct(B=True, F=2.0, I=3, u=4)
    struct_val = observed(mutable)
    mutable.F = 99.0
    assert [stat.value for stat in struct_val.stats()] == [1.0, 2.0, 3.0, 4.0]
    assert [stat["val"] for stat in theirs] == [1.0, 99.0, 3.0, 4.0]


def test_every_recorded_case_is_compared() -> None:
    assert set(RECORDED) == {
        "cases",
        "structval_fresh",
        "structval_keeps_reference_mutated_after_observe",
        "structval_latest_only",
    }
    assert {*SAME, *DIFFERS} == set(CASES)
