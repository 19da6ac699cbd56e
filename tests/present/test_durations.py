"""Durations and families of parameters, as they are written in a query."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monkit_core.formats.text import go_duration
from monkit_present.durations import Duration
from monkit_present.parameters import BadQuery, Parameter, Text, read_query

HOUR = 3600 * 10**9
KIND = Duration(24 * HOUR)
TAG = Parameter("tag.KEY", Text("text", 10), "tags", family=True)


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("100ms", 100_000_000),
        ("1.5s", 1_500_000_000),
        ("1h30m", 90 * 60 * 10**9),
        ("24h", 24 * HOUR),
        (".5s", 500_000_000),
        ("1.s", 10**9),
        ("3us", 3000),
        ("3µs", 3000),
        ("3μs", 3000),
        ("1m1m", 120 * 10**9),
        ("1.9999ns", 1),
    ],
)
def test_duration_is_read_as_go_reads_it(text: str, ns: int) -> None:
    assert KIND.read("d", text) == KIND.accept("d", text) == ns
    assert re.fullmatch(KIND.schema["pattern"], text)


@given(st.integers(1, 24 * HOUR))
def test_duration_that_go_writes_is_read_back(ns: int) -> None:
    assert KIND.read("d", go_duration(ns)) == ns


@pytest.mark.parametrize(
    "text", ["", "1", "s", ".s", "-1s", "+1s", " 1s", "1s ", "1 s", "1e3s", "1S", "0s", "0.5ns", "24h1ns", "٣s",
             "9" * 300 + "s"]
)  # fmt: skip
def test_what_is_no_duration_or_out_of_bounds_is_refused_in_words(text: str) -> None:
    with pytest.raises(BadQuery) as caught:
        KIND.read("d", text)
    assert str(caught.value).endswith(": expected a duration such as 100ms or 1.5s, above 0, at most 24h0m0s")
    with pytest.raises(BadQuery):
        KIND.accept("d", 5)


def test_family_is_a_dictionary_of_what_follows_the_dot() -> None:
    assert read_query([TAG], b"") == {"tag.KEY": {}}
    found = read_query([TAG], b"tag.user=bob&tag.a.b=c&tag.KEY=x&tag.none=")
    assert found == {"tag.KEY": {"user": "bob", "a.b": "c", "KEY": "x"}}


@pytest.mark.parametrize("query", [b"tag.=x", b"tag=x", b"tags.a=x", b"tag.a=1&tag.a=2", b"tag.a=" + b"x" * 11])
def test_member_of_a_family_that_cannot_be_used_is_refused(query: bytes) -> None:
    with pytest.raises(BadQuery):
        read_query([TAG], query)
