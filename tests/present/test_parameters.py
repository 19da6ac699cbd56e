"""Tables of parameters: what is read out of a query string and out of JSON."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monkit_core.text import clean
from monkit_present.parameters import (
    BadQuery,
    Choice,
    Kind,
    Parameter,
    Seconds,
    Text,
    TraceId,
    Truth,
    WholeNumber,
    read_object,
    read_query,
)
from tests.http_helpers import PLACES

TABLE = (
    Parameter("text", Text("text", 5), "some text"),
    Parameter("choice", Choice(("one", "two")), "one of two", default="one"),
    Parameter("truth", Truth(), "yes or no", default=True, beside="text"),
    Parameter("number", WholeNumber(1, 5000), "how many", default=2000),
    Parameter("seconds", Seconds(10.0), "how long", default=1.5),
    Parameter("trace", TraceId(), "which"),
)
DEFAULTS = {"text": None, "choice": "one", "truth": True, "number": 2000, "seconds": 1.5, "trace": None}


def refusal(fields: Any, table: tuple[Parameter, ...] = TABLE) -> str:
    with pytest.raises(BadQuery) as caught:
        read_query(table, fields) if isinstance(fields, bytes) else read_object(table, fields)
    return str(caught.value)


def test_what_is_not_given_takes_its_default() -> None:
    assert read_query(TABLE, b"") == DEFAULTS
    assert read_query(TABLE, b"text=&choice=&number=&seconds=&trace=") == DEFAULTS
    assert read_object(TABLE, {}) == DEFAULTS


def test_value_is_read_from_text_and_from_json_alike() -> None:
    from_text = read_query(TABLE, b"text=abcde&choice=two&truth=f&number=17&seconds=2e0&trace=ff")
    fields = {"text": "abcde", "choice": "two", "truth": False, "number": 17, "seconds": 2, "trace": "ff"}
    assert from_text == read_object(TABLE, fields) == fields


def test_parameter_beside_another_is_looked_at_only_there() -> None:
    assert read_query(TABLE, b"truth=bogus")["truth"] is True
    assert read_object(TABLE, {"truth": "bogus"})["truth"] is True
    assert refusal(b"text=a&truth=bogus") == 'invalid truth "bogus": expected true or false'


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        (b"text=abcdef", 'invalid text "abcdef": 6 characters, at most 5'),
        (b"choice=three", 'invalid choice "three": expected one or two'),
        (b"number=0", 'invalid number "0": expected a whole number from 1 to 5000'),
        (b"seconds=nan", 'invalid seconds "nan": expected seconds above 0, at most 10'),
        (b"trace=0x1", 'trace expected to be hex unsigned 64 bit number: "0x1"'),
        (b"text=a&text=b", 'parameter "text" given twice'),
        (b"other=1", 'unknown parameter "other": known are choice, number, seconds, text, trace, truth'),
        ({"text": 5}, 'invalid text "5": expected text'),
        ({"text": None}, 'invalid text "None": expected text'),
        ({"choice": ["one"]}, "invalid choice \"['one']\": expected text"),
        ({"text": "a", "truth": 1}, 'invalid truth "1": expected true or false'),
        ({"text": "a", "truth": "true"}, 'invalid truth "true": expected true or false'),
        ({"number": True}, 'invalid number "True": expected a whole number from 1 to 5000'),
        ({"number": "7"}, 'invalid number "7": expected a whole number from 1 to 5000'),
        ({"number": 7.0}, 'invalid number "7.0": expected a whole number from 1 to 5000'),
        ({"seconds": "7"}, 'invalid seconds "7": expected seconds above 0, at most 10'),
        ({"seconds": True}, 'invalid seconds "True": expected seconds above 0, at most 10'),
        ({"seconds": 10.5}, 'invalid seconds "10.5": expected seconds above 0, at most 10'),
        ({"trace": 255}, 'invalid trace "255": expected text'),
        ({"other\x1b": 1}, 'unknown parameter "other\\\\x1b": known are choice, number, seconds, text, trace, truth'),
    ],
)
def test_what_cannot_be_used_is_refused_in_words(fields: Any, words: str) -> None:
    assert refusal(fields) == words


def test_required_parameter_is_needed() -> None:
    table = (Parameter("code", Text("text", 10), "the code", required=True),)
    assert refusal(b"", table) == refusal({}, table) == 'parameter "code" is needed: the code'
    assert refusal(b"code=", table) == 'parameter "code" is needed: the code'
    assert read_query(table, b"code=1") == {"code": "1"}


def test_page_without_parameters_takes_none() -> None:
    assert read_query((), b"") == {}
    assert refusal(b"x=1", ()) == refusal({"x": 1}, ()) == 'unknown parameter "x": none is taken here'


def outcome(read: Callable[[], object]) -> object:
    """What it returns, or why it refuses."""
    try:
        return read()
    except BadQuery as problem:
        return problem


KINDS = (Text("text", 5), Choice(("one", "two")), Truth(), WholeNumber(1, 5000), Seconds(10.0), TraceId())


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: type(kind).__name__)
@given(text=st.text(max_size=30) | st.sampled_from(["1", "true", "ff", "one", "5000", "1e1", "f" * 32]))
def test_text_is_a_value_that_the_schema_allows_or_is_refused_clean(kind: Kind, text: str) -> None:
    found = outcome(lambda: kind.read("name", text))
    if isinstance(found, BadQuery):
        assert clean(str(found)) == str(found)
        assert len(str(found)) < 300
    else:
        assert allows(kind.schema, found)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: type(kind).__name__)
@given(
    value=st.recursive(
        st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text(max_size=8),
        lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=2), inner, max_size=2),
        max_leaves=4,
    )
)
def test_json_is_taken_exactly_if_the_schema_allows_it(kind: Kind, value: object) -> None:
    found = outcome(lambda: kind.accept("name", value))
    if isinstance(found, BadQuery):
        assert not allows(kind.schema, value)
    else:
        assert found == value
        assert allows(kind.schema, value)


def allows(schema: dict[str, Any], value: object) -> bool:
    """As much of JSON Schema as kinds use."""
    match schema["type"]:
        case "string":
            return (
                isinstance(value, str)
                and len(value) <= schema.get("maxLength", len(value))
                and value in schema.get("enum", [value])
                and re.search(schema.get("pattern", ""), value) is not None
                and not value.endswith("\n" if "pattern" in schema else "\0\0")  # $ of Python is kinder than ECMA's
            )
        case "boolean":
            return isinstance(value, bool)
        case "integer":
            return type(value) is int and schema["minimum"] <= value <= schema["maximum"]
    assert schema["type"] == "number"
    return type(value) in (int, float) and schema["exclusiveMinimum"] < value <= schema["maximum"]


@pytest.mark.parametrize(
    "parameter",
    {id(item): item for place in PLACES for item in place.page.parameters}.values(),
    ids=lambda item: str(item.name),
)
def test_default_of_every_parameter_is_one_of_its_values(parameter: Parameter) -> None:
    assert parameter.words
    assert parameter.takes
    orjson.dumps(parameter.kind.schema)
    if parameter.default is not None:
        assert parameter.kind.accept(parameter.name, parameter.default) == parameter.default
        assert parameter.default_words
