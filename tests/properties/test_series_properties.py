from __future__ import annotations

from random import Random

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from monkit_core import Registry, SeriesKey
from monkit_core.arguments import show
from monkit_core.series import RESERVED_TAGS
from monkit_core.text import clean

ANYTHING = st.text(st.characters(), max_size=30)  # with surrogates and control characters
DELIMITERS = st.text('\\,= \n\t\r"nx\u2028', max_size=10)
TEXT = st.one_of(ANYTHING, DELIMITERS)
TAGS = st.dictionaries(TEXT, TEXT, max_size=5)


@given(TEXT, TAGS)
@settings(max_examples=500, deadline=None, derandomize=True)
def test_text_of_a_key_is_one_line_and_is_read_back(measurement: str, tags: dict[str, str]) -> None:
    key = SeriesKey(measurement, tags)
    text = str(key)
    assert len(text.splitlines()) <= 1
    assert text.encode("utf-8").decode("utf-8") == text
    assert SeriesKey.parse(text) == key
    assert str(SeriesKey.parse(text)) == text


@given(TEXT, TAGS, TEXT)
@settings(max_examples=200, deadline=None, derandomize=True)
def test_field_is_what_stands_behind_the_last_bare_space(measurement: str, tags: dict[str, str], field: str) -> None:
    line = SeriesKey(measurement, tags).with_field(field)
    assert len(line.splitlines()) == 1
    bare = [index for index, letter in enumerate(line) if letter == " " and _backslashes_before(line, index) % 2 == 0]
    assert len(bare) == 1
    assert line[: bare[0]] == str(SeriesKey(measurement, tags))


def _backslashes_before(text: str, index: int) -> int:
    return index - len(text[:index].rstrip("\\"))


@given(st.lists(st.tuples(TEXT, TAGS), min_size=2, max_size=2))
@settings(max_examples=300, deadline=None, derandomize=True)
def test_keys_have_the_same_text_only_if_they_are_equal(pair: list[tuple[str, dict[str, str]]]) -> None:
    one, two = (SeriesKey(measurement, tags) for measurement, tags in pair)
    assert (str(one) == str(two)) == (one == two)
    assert one != two or hash(one) == hash(two)


@given(TEXT, st.dictionaries(TEXT.filter(lambda key: clean(key) not in RESERVED_TAGS), TEXT, max_size=5), st.randoms())
@settings(max_examples=200, deadline=None, derandomize=True)
def test_any_name_and_any_order_of_tags_is_one_series(name: str, tags: dict[str, str], random: Random) -> None:
    scope = Registry().scope("s")
    shuffled = list(tags.items())
    random.shuffle(shuffled)
    assert scope.counter(name, tags=tags) is scope.counter(name, tags=dict(shuffled))
    assert scope.func(name, tags=tags) is scope.func(name, tags=dict(shuffled))


@given(ANYTHING)
@settings(max_examples=300, deadline=None, derandomize=True)
def test_cleaning_twice_is_cleaning_once(text: str) -> None:
    cleaned = clean(text)
    assert clean(cleaned) == cleaned
    assert set(cleaned) - set(text) <= set("\\xu0123456789abcdef")


VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), ANYTHING, st.binary(max_size=20)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(st.one_of(st.integers(), ANYTHING), inner, max_size=3),
        st.frozensets(st.integers(), max_size=3),
        st.sets(st.integers(), max_size=3),
    ),
    max_leaves=15,
)


@given(VALUES)
@settings(max_examples=500, deadline=None, derandomize=True)
def test_recorded_argument_is_its_repr_clipped(value: object) -> None:
    shown, full = show("a", value), clean(f"a={value!r}")
    assume("***" not in shown)  # what is masked has tests of its own
    assert len(shown) <= len(clean("a=" + repr(value)[:200])) + 1
    if len(repr(value)) <= 190 and _depth(value) <= 5:
        assert shown == full
    else:
        common = min(len(shown), 180)
        assert shown[:common] == full[:common] or _depth(value) > 5


def _depth(value: object) -> int:
    if isinstance(value, dict):
        return 1 + max((_depth(item) for pair in value.items() for item in pair), default=0)
    if isinstance(value, list | tuple):
        return 1 + max(map(_depth, value), default=0)
    return 1 if isinstance(value, set | frozenset) else 0
