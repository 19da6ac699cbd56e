"""Filters of lists: whatever the text, it is understood or refused with `BadQuery`."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monkit_workflow.errors import BadQuery
from monkit_workflow.filters import FIELDS, And, Condition, Not, Or, Value, parse, resolve
from monkit_workflow.search_attributes import LARGEST

ATTRIBUTES = {"City": "Keyword", "Tags": "KeywordList", "N": "Int", "X": "Double", "B": "Bool", "D": "Datetime"}
SYMBOLS = "= != > >= < <= <> == ( ) , AND OR NOT IN BETWEEN IS NULL STARTS_WITH true FALSE and or not"
WRITTEN = """1 -2 +3 1.5 .5 1e3 1e999 99999999999999999999 0x1 'a' "b" 'it''s' "a\\"b" `City` `a '' ` ' " ; --"""
OTHERS = ["'2026-01-31T12:00:00Z'", "'1h30m'", "'Running'", "\ud800", "'\ud800'", "²", "٣", "\0"]
WORDS = [*FIELDS, *ATTRIBUTES, *SYMBOLS.split(), *WRITTEN.split(), *OTHERS]


def understood(text: str) -> None:
    """Nothing is raised but the error that says where."""
    try:
        resolve(parse(text), ATTRIBUTES)
    except BadQuery as refused:
        problem = refused
    else:
        return
    assert 1 <= problem.position <= len(text) + 1
    assert str(problem).startswith(f"character {problem.position} of the filter: ")


@given(st.lists(st.sampled_from(WORDS), max_size=30).map(" ".join))
def test_words_in_any_order_are_understood_or_refused(text: str) -> None:
    understood(text)


@given(st.text(max_size=60))
def test_any_text_is_understood_or_refused(text: str) -> None:
    understood(text)


@given(st.sampled_from(sorted(FIELDS)), st.sampled_from(["=", "IN (", ">", "BETWEEN 1 AND", "STARTS_WITH"]), st.text())
def test_any_value_is_understood_or_refused(field: str, operator: str, text: str) -> None:
    understood(f"{field} {operator} '{text}'" + ")" * ("(" in operator))


def test_precedence_is_not_before_and_before_or() -> None:
    tree = parse("a = 1 OR NOT b = 2 AND c = 3")
    a = Condition("a", "=", (Value(1, 5),), 1)
    b = Condition("b", "=", (Value(2, 18),), 14)
    c = Condition("c", "=", (Value(3, 28),), 24)
    assert tree == Or((a, And((Not(b), c))))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("'it''s'", "it's"),
        ('"a""b"', 'a"b'),
        (r"'a\'b\n\\'", "a'b\n\\"),
        ("'üß\U0001f600'", "üß\U0001f600"),
        ("-0017", -17),
        (str(LARGEST), LARGEST),
        (str(LARGEST + 1), float(LARGEST + 1)),
        ("9" * 5000, float("inf")),
        ("-1.5E+2", -150.0),
        ("True", True),
    ],
)
def test_value_is_read_as_written(text: str, value: object) -> None:
    tree = parse(f"field = {text}")
    assert isinstance(tree, Condition)
    assert tree.operands[0].value == value
    assert type(tree.operands[0].value) is type(value)


HOUR = 3600 * 10**9


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("1h30m", HOUR + HOUR // 2),
        ("-1.5h", -HOUR - HOUR // 2),
        ("2d", 48 * HOUR),
        ("300ms", 300_000_000),
        ("1us2ns", 1002),
        ("1µs", 1000),
        ("10s", 10**10),
        ("01:02:03", HOUR + 2 * HOUR // 60 + 3 * 10**9),
        ("123", 123),
        ("99999999999d", LARGEST),
    ],
)
def test_duration_is_read_as_temporal_reads_it(text: str, ns: int) -> None:
    tree = resolve(parse(f"ExecutionDuration = '{text}'"), {})
    assert isinstance(tree, Condition)
    assert tree.operands == (ns,)


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01t00:00:01.5z", 1_500_000_000),
        ("1970-01-01T01:00:00.000000001+01:00", 1),
        ("1969-12-31T23:00:00-01:00", 0),
        ("9999-12-31T23:59:59Z", LARGEST),
        ("0001-01-01T00:00:00Z", -LARGEST),
    ],
)
def test_time_is_read_to_the_nanosecond(text: str, ns: int) -> None:
    tree = resolve(parse(f"StartTime = '{text}'"), {})
    assert isinstance(tree, Condition)
    assert tree.operands == (ns,)


def test_how_to_shows_what_a_wrong_filter_is_told() -> None:
    page = (Path(__file__).parents[2] / "docs/how-to/find-workflows.md").read_text()
    with pytest.raises(BadQuery) as refused:
        resolve(parse("ExecutionStatus = 'running'"), {})
    assert f"```text\n{refused.value}\n```" in page
