from __future__ import annotations

from typing import Any

import pytest

from monkit_core import SeriesKey
from tests.helpers import fresh_scope, vectors

SERIES = vectors("series_key")

# Input of the original that ours writes differently, and why.
ESCAPED = "ours escapes backslash and newline, so that a line is one line and can be read back"
SPELT_OUT = "U+FFFF cannot stand in XML and is spelt out"


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")


def reason(case: dict[str, Any]) -> str:
    texts = [case["measurement"], *(part for pair in case["tags_in"] or () for part in pair)]
    if any("\\" in text or "\n" in text for text in texts):
        return ESCAPED
    return SPELT_OUT if any("\uffff" in text for text in texts) else ""


def _id(case: dict[str, Any]) -> str:
    return f"{case['string']!a}{' DIFFERS: ' if reason(case) else ''}{reason(case)}"


def make(case: dict[str, Any]) -> SeriesKey:
    return SeriesKey(case["measurement"], [tuple(pair) for pair in case["tags_in"] or ()])


SAME = [case for case in SERIES["cases"] if not reason(case)]
DIFFERENT = [case for case in SERIES["cases"] if reason(case)]


@pytest.mark.parametrize("case", SAME, ids=_id)
def test_text_of_a_key_is_the_original_s(case: dict[str, Any]) -> None:
    key = make(case)
    assert str(key) == case["string"]
    assert dict(key.tags) == (case["all"] or {})
    assert len(key.tags) == case["len"]
    assert str(SeriesKey("", key.tags)) == ("," if key.tags else "") + case["tagset_string"]


@pytest.mark.parametrize("case", SERIES["cases"], ids=_id)
def test_field_follows_the_text_of_the_key(case: dict[str, Any]) -> None:
    key = make(case)
    for field, theirs in case["with_field"].items():
        after_the_key = theirs.removeprefix(case["string"])
        # Of the fields only ``x\\`` differs: ESCAPED.
        assert key.with_field(field) == str(key) + (f" {_escape(field)}" if field == "x\\" else after_the_key)


@pytest.mark.parametrize("case", DIFFERENT, ids=_id)
def test_text_that_differs_differs_for_its_reason_only(case: dict[str, Any]) -> None:
    ours = str(make(case))
    if reason(case) == ESCAPED:
        plain = _escape(case["measurement"]).replace(",", "\\,").replace(" ", "\\ ")
        tags = "".join(f",{_escape(key)}={_escape(value)}" for key, value in case["tags_in"] or ())
        assert ours == plain + tags
    else:
        theirs = case["string"].split(",")
        assert sorted(ours.split(",")) == sorted(part.replace("\uffff", "\\\\uffff") for part in theirs)
    assert SeriesKey.parse(ours) == make(case)


def test_tags_set_later_win() -> None:
    ops = SERIES["ops"]
    base = SeriesKey("m", {"a": "1"})
    assert str(base.with_tag("a", "2")) == ops["override"]
    assert str(base) == ops["base_after_override"]
    assert (
        str(SeriesKey("m", {"scope": "mine"}).with_tag("scope", "real"))
        == (ops["scope_tag_added_last_overrides_user_scope_tag"])
    )
    assert str(SeriesKey("m", [("a", "0"), ("q", "2"), ("a", "1")])) == f"m,{ops['set_tags_later_wins']}"
    assert str(SeriesKey("m", {}).with_tag("a", "7").with_tag("z", "9")) == f"m,{ops['set_all']}"


def test_key_without_tags_is_its_measurement() -> None:
    ops = SERIES["ops"]
    assert str(SeriesKey("m")) == str(SeriesKey("m", {})) == ops["with_no_tags_string"]
    assert dict(SeriesKey("m").tags).get("missing", "") == ops["get_missing"] == ops["nil_get"] == ops["nil_string"]
    assert len(SeriesKey("m").tags) == ops["nil_len"]
    # ops: nil_all_is_nil, with_no_tags_is_nil: without tags the original has a nil set, ours an empty tuple.
    assert SeriesKey("m").tags == ()


SOURCES = list(vectors("source_name"))


def _tags(case: dict[str, Any]) -> dict[str, str]:
    flat = case["tags"] or []
    return dict(zip(flat[::2], flat[1::2], strict=True))


@pytest.mark.parametrize("one", SOURCES, ids=lambda case: ascii(case["namespace"] + case["out"]))
@pytest.mark.parametrize("other", SOURCES, ids=lambda case: ascii(case["namespace"] + case["out"]))
def test_two_declarations_are_one_source_where_the_original_s_names_agree(
    one: dict[str, Any], other: dict[str, Any]
) -> None:
    """DIFFERS: the names of the original's metrics keep the order of tags, which made two of one series.

    ``rawval_source_name`` has them sorted, as ours; functions have names of their own in both.
    """
    _, scope = fresh_scope()

    def declare(case: dict[str, Any]) -> object:
        return (scope.func if case["namespace"] else scope.counter)(case["name"], tags=_tags(case))

    same_name = (one["namespace"], one["rawval_source_name"]) == (other["namespace"], other["rawval_source_name"])
    assert (declare(one) is declare(other)) == same_name


@pytest.mark.parametrize("case", SOURCES, ids=lambda case: ascii(case["namespace"] + case["out"]))
def test_series_of_a_source_has_the_original_s_name(case: dict[str, Any]) -> None:
    assert str(SeriesKey(case["name"], _tags(case))) == case["rawval_source_name"]
