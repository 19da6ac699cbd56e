from __future__ import annotations

import pytest

from monkit_core import SeriesKey


def test_text_has_tags_in_sorted_order() -> None:
    key = SeriesKey("requests", {"method": "GET", "host": "a b"})
    assert str(key) == r"requests,host=a\ b,method=GET"
    assert repr(key) == r"SeriesKey('requests,host=a\\ b,method=GET')"
    assert key.tags == (("host", "a b"), ("method", "GET"))


def test_comma_space_equals_backslash_and_newline_are_escaped() -> None:
    key = SeriesKey("a, =\\\n", [("a, =\\\n", "a, =\\\n")])
    assert str(key) == r"a\,\ =\\\n" + "," + r"a\,\ \=\\\n" + "=" + r"a\,\ \=\\\n"
    assert key.with_field("a, =\\\n") == str(key) + " " + r"a\,\ \=\\\n"


def test_keys_are_equal_by_value() -> None:
    one, two = SeriesKey("m", {"a": "1", "b": "2"}), SeriesKey("m", [("b", "2"), ("a", "1")])
    assert one == two
    assert hash(one) == hash(two)
    assert len({one, two, SeriesKey("m"), SeriesKey("n")}) == 3
    assert one != SeriesKey("m", {"a": "1"})
    assert one != "m,a=1,b=2"


def test_tag_that_is_added_leaves_the_key_as_it_is() -> None:
    key = SeriesKey("m", {"b": "2"})
    assert str(key.with_tag("a", "1")) == "m,a=1,b=2"
    assert str(key.with_tag("b", "3")) == "m,b=3"
    assert str(key) == "m,b=2"


@pytest.mark.parametrize("text", ["m", "", "m,=", r"a\ b,c\=d=e\,f", "m,k=", r"m,k=\n\\n", "é,ü=☃", "m,a=\\"])
def test_text_is_read_back(text: str) -> None:
    key = SeriesKey.parse(text)
    assert SeriesKey.parse(str(key)) == key


@pytest.mark.parametrize("text", ["m,a", "m,a=b=c", "m,", "m,a=1,,b=2"])
def test_text_of_no_key_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="each tag is key=value, found"):
        SeriesKey.parse(text)


def test_hostile_text_is_spelt_out() -> None:
    assert str(SeriesKey("\x1b\u2028", {"\ud800": "\r"})) == r"\\x1b\\u2028,\\ud800=\\x0d"
