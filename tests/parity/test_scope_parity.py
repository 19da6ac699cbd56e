from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from monkit_core import DeltaTransformer, Scope, SeriesKey, Stat
from tests.helpers import OURS_ONLY, check_figures, figures, fresh_scope, vectors

RECORDED = vectors("scope")
CLASHES = RECORDED["name_clash_panics (empty = no panic)"]


def zero() -> float:
    return 0.0


# How ours spells what the original did; None where it cannot, with the reason in the key of OTHER.
DECLARATIONS: dict[str, tuple[Callable[[Scope], object], Callable[[Scope], object]]] = {
    "Counter then Gauge": (lambda s: s.counter("c"), lambda s: s.gauge("c", zero)),
    "Counter then IntVal": (lambda s: s.counter("c"), lambda s: s.int_val("c")),
    "Counter(c) then FuncNamed(c): namespaces differ": (lambda s: s.counter("c"), lambda s: s.func("c")),
    "Counter(func:f) then FuncNamed(f)": (lambda s: s.counter("func:f"), lambda s: s.func("f")),
    "Gauge then Counter": (lambda s: s.gauge("g", zero), lambda s: s.counter("g")),
    "IntVal('a,b=c') then Counter('a', b=c)": (lambda s: s.int_val("a,b=c"), lambda s: s.counter("a", b="c")),
    "IntVal('sp ace') then RawVal('sp ace'): RawVal uses escaped name": (
        lambda s: s.int_val("sp ace"),
        lambda s: s.raw_val("sp ace"),
    ),
    "Meter then DiffMeter": (lambda s: s.meter("mm"), lambda s: s.diff_meter("mm", s.meter("1"), s.meter("2"))),
    "Meter then Event": (lambda s: s.meter("m"), lambda s: s.event("m")),
}
DIFFERS = {
    "Counter(func:f) then FuncNamed(f)": "functions have names of their own and never clash with metrics",
    "IntVal('a,b=c') then Counter('a', b=c)": "a name with a comma is not a name with a tag",
    "IntVal('sp ace') then RawVal('sp ace'): RawVal uses escaped name": (
        "the name of each kind is the name as given, so another kind clashes"
    ),
}


@pytest.mark.parametrize(
    "case", CLASHES, ids=lambda case: f"{case} DIFFERS: {DIFFERS[case]}" if case in DIFFERS else case
)
def test_same_name_for_another_kind_clashes_where_it_did(case: str) -> None:
    _, scope = fresh_scope("sc")
    first, second = DECLARATIONS[case]
    first(scope)
    if bool(CLASHES[case]) != (case in DIFFERS):
        with pytest.raises(TypeError, match="already"):
            second(scope)
    else:
        second(scope)


def test_gauge_reads_when_asked_and_a_later_one_replaces_it() -> None:
    _, scope = fresh_scope("sc")
    value = 1.0
    scope.gauge("g", lambda: value)
    check_figures(figures(scope.stats()), RECORDED["gauge_first"])
    scope.gauge("g", lambda: value * 10)
    check_figures(figures(scope.stats()), RECORDED["gauge_overwritten"])
    value = 7.0
    check_figures(figures(scope.stats()), RECORDED["gauge_reads_live"])


def test_figures_of_a_scope_are_the_original_s() -> None:
    """The recording is sorted by text."""
    _, scope = fresh_scope("names")
    scope.bool_val("bv_true").observe(True)
    scope.float_val("fv_2.0").observe(1.0)
    scope.int_val("iv_3_x").observe(1)
    scope.raw_val("rv_ff").observe(1.0)
    check_figures(sorted(figures(scope.stats())), RECORDED["valf"])
    collected = {f"{key} {field}": value for key, field, value in figures(scope.stats()) if field not in OURS_ONLY}
    assert collected == RECORDED["collect_map"]


def test_identities_are_the_original_s() -> None:
    """DIFFERS: tags in another order are the same series in ours."""
    registry, scope = fresh_scope("sc")
    recorded = RECORDED["identity"]
    assert (registry.scope("sc") is scope) == recorded["ScopeNamed same"]
    assert (scope.counter("c", a=1) is scope.counter("c", a=1)) == recorded["same Counter"]
    assert (scope.func("f") is scope.func("f")) == recorded["same Func"]
    assert (scope.func("f") is scope.func("f", a=1)) == recorded["Func is not Func with tags"]
    view = registry.with_transformers(DeltaTransformer())
    assert (view.scope("sc") is scope) == recorded["WithTransformers registry shares scopes"]
    assert registry.scope("later") is view.scope("later")
    assert not recorded["tag order same object"]
    assert scope.counter("c", a=1, b=2) is scope.counter("c", tags={"b": 2, "a": 1})
    assert set(recorded) == {
        "ScopeNamed same",
        "same Counter",
        "same Func",
        "Func is not Func with tags",
        "tag order same object",
        "WithTransformers registry shares scopes",
    }


def test_tag_called_scope_is_refused() -> None:
    """DIFFERS: the original overwrites a user's ``scope`` tag silently."""
    assert {stat["key"] for stat in RECORDED["user_scope_tag_is_overwritten"]} == {"c,scope=s"}
    _, scope = fresh_scope("s")
    with pytest.raises(ValueError, match="'scope' is set by the engine"):
        scope.counter("c", scope="mine")


def test_chaining_a_source_twice_does_not_duplicate_its_series() -> None:
    """DIFFERS: in the original it does."""

    class Source:
        def stats(self) -> Iterator[Stat]:
            yield Stat(SeriesKey("k"), "f", 1)

    _, scope = fresh_scope("chain")
    source = Source()
    scope.chain(source)
    scope.chain(source)
    once, twice = RECORDED["chain_appends_twice"]
    assert once == twice
    check_figures(figures(scope.stats()), [once])


def test_every_recorded_case_is_compared() -> None:
    assert set(RECORDED) == {
        "chain_appends_twice",
        "collect_map",
        "gauge_first",
        "gauge_overwritten",
        "gauge_reads_live",
        "identity",
        "name_clash_panics (empty = no panic)",
        "user_scope_tag_is_overwritten",
        "valf",
    }
    assert set(DECLARATIONS) == set(CLASHES)
