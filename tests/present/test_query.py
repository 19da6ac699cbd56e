from __future__ import annotations

from urllib.parse import quote, urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monkit_core import Registry, Span
from monkit_core.text import clean
from monkit_present.parameters import BadQuery, read_query
from monkit_present.query import CAPTURE_PARAMETERS, CaptureQuery, capture_query
from tests.helpers import fresh_scope, in_fresh_context

NAMES = [item.name for item in CAPTURE_PARAMETERS]


def registry_of(*names: str) -> Registry:
    registry, scope = fresh_scope()
    for name in names:
        scope.func(name)
    return registry


def read(data: bytes, registry: Registry) -> CaptureQuery:
    return capture_query(read_query(CAPTURE_PARAMETERS, data), registry)


def parse(registry: Registry | None = None, /, **values: str) -> CaptureQuery:
    return read(urlencode(values).encode(), registry or registry_of("handle"))


def refusal(query: bytes | str, registry: Registry | None = None) -> str:
    data = query if isinstance(query, bytes) else query.encode()
    with pytest.raises(BadQuery) as caught:
        read(data, registry or registry_of("handle"))
    return str(caught.value)


def span_of(registry: Registry, name: str, trace_id: int = 1) -> Span:
    with registry.scope("shop").func(name).remote_trace(None, trace_id) as span:
        return span


def test_what_is_not_given_takes_its_default() -> None:
    query = parse(regex="handle")
    assert (query.max_spans, query.timeout_s, query.words) == (10_000, 3600.0, "regex=handle")
    defaults = {parameter.name: parameter.default_words for parameter in CAPTURE_PARAMETERS}
    assert {name: default for name, default in defaults.items() if default} == {
        "preselect": "true",
        "count": "1",
        "max_spans": "10,000",
        "timeout": "3,600",
    }
    assert (query.accept, query.count, query.trace_id) == (None, 1, None)
    assert parse(regex="handle", preselect="", max_spans="", timeout="", trace_id="").words == "regex=handle"


@pytest.mark.parametrize("query", ["", "regex=", "trace_id=", "regex=&trace_id=", "preselect=true", "timeout=1"])
def test_at_least_one_of_regex_and_trace_id_is_needed(query: str) -> None:
    assert refusal(query) == "at least one of 'regex' or 'trace_id' query parameters required"


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("regexp", '"regexp"'),
        ("Regex", '"Regex"'),
        ("regex ", '"regex "'),
        ("", '""'),
        ('a"b\\c\n\t', '"a\\"b\\\\c\\n\\t"'),
        ("\x1b\u202e", '"\\\\x1b\\\\u202e"'),
        ("x" * 500, '"' + "x" * 99 + '…"'),
    ],
)
def test_unknown_parameter_is_named_and_the_known_ones_are_listed(name: str, shown: str) -> None:
    assert refusal(f"regex=handle&{quote(name)}=1") == (
        f"unknown parameter {shown}: known are count, errors, max_spans, min_duration, preselect, regex, tag.KEY, "
        "timeout, trace_id"
    )


@pytest.mark.parametrize("name", [parameter.name for parameter in CAPTURE_PARAMETERS])
def test_parameter_given_twice_is_refused(name: str) -> None:
    assert refusal(f"{name}=1&{name}=1") == f'parameter "{name}" given twice'
    assert refusal(f"{name}=&{name}=1") == f'parameter "{name}" given twice'


@pytest.mark.parametrize("query", [b"regex=\xff", b"regex=%ff", b"regex=%ed%a0%80", b"&".join([b"regex=a"] * 51)])
def test_query_string_that_cannot_be_read_is_refused(query: bytes) -> None:
    assert refusal(query) == "the query string is not UTF-8 or has more than 50 fields"


@pytest.mark.parametrize("text", ["1", "10000", "100000", "007"])
def test_max_spans_within_its_bounds_is_taken(text: str) -> None:
    assert parse(regex="handle", max_spans=text).max_spans == int(text)


@pytest.mark.parametrize("text", ["0", "-1", "100001", "1.0", "1e3", " 1", "x", "٣", "9" * 5000, "0x10", "1_0"])
def test_max_spans_outside_its_bounds_is_refused(text: str) -> None:
    message = refusal(urlencode({"regex": "handle", "max_spans": text}))
    assert message.startswith('invalid max_spans "')
    assert message.endswith('": expected a whole number from 1 to 100000')
    assert len(message) < 200


@pytest.mark.parametrize(("text", "seconds"), [("0.001", 0.001), ("1", 1), ("86400", 86_400), ("1e2", 100)])
def test_timeout_within_its_bounds_is_taken(text: str, seconds: float) -> None:
    assert parse(regex="handle", timeout=text).timeout_s == seconds


@pytest.mark.parametrize("text", ["0", "-1", "86400.1", "nan", "inf", "-inf", "x", "1s", "9" * 400, "0.0", "-0"])
def test_timeout_outside_its_bounds_is_refused(text: str) -> None:
    message = refusal(urlencode({"regex": "handle", "timeout": text}))
    assert message.startswith('invalid timeout "')
    assert message.endswith('": expected seconds above 0, at most 86400')


@pytest.mark.parametrize("text", ["1", "t", "T", "TRUE", "true", "True"])
def test_preselect_refuses_what_no_known_function_matches(text: str) -> None:
    message = refusal(urlencode({"regex": "nothing", "preselect": text}))
    assert message == "regex preselect matches 0 functions; 1 are known, see /funcs"


@pytest.mark.parametrize("text", ["0", "f", "F", "FALSE", "false", "False"])
def test_without_preselect_a_function_may_still_come(text: str) -> None:
    registry = registry_of("handle")
    query = parse(registry, regex="later", preselect=text)
    assert query.matcher(span_of(registry, "later"))
    assert not query.matcher(span_of(registry, "handle"))


@pytest.mark.parametrize("text", ["yes", "tRUE", "2", " true", "null"])
def test_preselect_that_is_no_truth_is_refused(text: str) -> None:
    assert refusal(urlencode({"regex": "handle", "preselect": text})) == (
        f'invalid preselect "{text}": expected true or false'
    )


def test_preselect_without_a_regex_is_not_looked_at() -> None:
    assert parse(trace_id="ff", preselect="bogus").words == "trace_id=ff"


def test_expression_that_cannot_be_parsed_is_named_with_the_reason() -> None:
    assert refusal("regex=%5B").startswith('invalid regex "[": error parsing regexp: missing ]')
    assert refusal("regex=a(?=b)").startswith('invalid regex "a(?=b)": error parsing regexp: ')


def test_expression_of_a_thousand_characters_is_the_longest() -> None:
    registry = registry_of("x" * 1000)
    assert parse(registry, regex="x" * 1000).words == "regex=" + "x" * 1000
    assert refusal("regex=" + "x" * 1001, registry) == (f'invalid regex "{"x" * 99}…": 1,001 characters, at most 1,000')
    assert refusal("regex=" + "x" * 1001 + "&preselect=false").endswith("at most 1,000")


def test_expression_is_found_anywhere_in_the_full_name() -> None:
    registry = registry_of("Orders.create", "Orders.list", "ship")
    for pattern, found in (
        ("shop", [True, True, True]),
        ("Orders", [True, True, False]),
        ("^shop.ship$", [False, False, True]),
        ("^Orders", None),
        ("create|ship", [True, False, True]),
    ):
        if found is None:
            assert "matches 0 functions" in refusal("regex=" + quote(pattern), registry)
            continue
        query = parse(registry, regex=pattern)
        spans = [span_of(registry, name) for name in ("Orders.create", "Orders.list", "ship")]
        assert [query.matcher(span) for span in spans] == found


def test_function_that_comes_later_is_matched_too() -> None:
    registry = registry_of("handle")
    query = parse(registry, regex="handle")
    assert query.matcher(span_of(registry, "handle_later"))
    assert not query.matcher(span_of(registry, "other"))
    assert not query.matcher(span_of(registry, "other"))


def test_no_match_names_the_nearest_functions() -> None:
    registry = registry_of("handle_http", "HandleHTTPS", "handling", "unrelated")
    assert refusal("regex=HandleHTTP2", registry) == (
        "regex preselect matches 0 functions; nearest: shop.handle_http, shop.HandleHTTPS"
    )


def test_no_match_among_many_names_five_at_most_and_cuts_them() -> None:
    registry = registry_of(*("handle_http" + "x" * number for number in range(100, 110)), "handle_http" + "y" * 500)
    message = refusal("regex=HandleHTTP!", registry)
    names = message.partition("; nearest: ")[2].split(", ")
    assert len(names) == 5
    assert all(len(name) <= 200 for name in names)


def test_no_match_in_an_empty_registry_says_so() -> None:
    assert refusal("regex=handle", Registry()) == "regex preselect matches 0 functions; 0 are known, see /funcs"


@pytest.mark.parametrize(
    "digits", ["", "0x1", "g", "-1", "+1", " 1", "1" * 17, "1" * 31, "1" * 33, "١", "1_1", "deadbeef\n"]
)
def test_trace_id_that_is_no_hexadecimal_number_of_its_length_is_refused(digits: str) -> None:
    query = urlencode({"trace_id": digits})
    if digits:
        assert refusal(query).startswith("trace_id expected to be hex unsigned 64 bit number: ")
    else:
        assert "at least one of" in refusal(query)


def test_trace_id_of_up_to_16_digits_is_the_low_64_bits() -> None:
    registry = registry_of("handle")
    matcher = parse(registry, trace_id="00000000000000Ff").matcher
    assert matcher(span_of(registry, "handle", 0xFF))
    assert matcher(span_of(registry, "handle", 0xABC << 64 | 0xFF))
    assert not matcher(span_of(registry, "handle", 0x1FF))
    assert parse(registry, trace_id="ff").matcher(span_of(registry, "handle", 1 << 127 | 0xFF))


def test_trace_id_of_32_digits_is_all_of_it() -> None:
    registry = registry_of("handle")
    matcher = parse(registry, trace_id=f"{0xABC << 64 | 0xFF:032x}").matcher
    assert matcher(span_of(registry, "handle", 0xABC << 64 | 0xFF))
    assert not matcher(span_of(registry, "handle", 0xFF))


def test_regex_and_trace_id_together_mean_and() -> None:
    registry = registry_of("handle", "other")
    query = parse(registry, regex="handle", trace_id="ff")
    assert query.words == "regex=handle trace_id=ff"
    matched = {
        (name, trace_id): query.matcher(span_of(registry, name, trace_id))
        for name in ("handle", "other")
        for trace_id in (0xFF, 1)
    }
    assert [key for key, found in matched.items() if found] == [("handle", 0xFF)]


def test_words_that_are_shown_later_are_clean() -> None:
    registry = registry_of("a\x1bb")
    assert parse(registry, regex="[^x]", preselect="false").words == "regex=[^x]"
    assert parse(registry, regex="a\x1b\u202e?", preselect="false").words == "regex=a\\x1b\\u202e?"


@in_fresh_context
def test_matcher_runs_the_expression_once_a_function() -> None:
    """The answers are kept, so that a call costs one look into a dictionary."""
    registry = registry_of("handle")
    query = parse(registry, regex="handle")
    span = span_of(registry, "handle")
    span.func.scope_name = "renamed after the answer"
    span.func.short_name = "no longer"
    assert query.matcher(span)


def outcome(query: bytes) -> CaptureQuery | str:
    try:
        return read(query, registry_of("handle"))
    except BadQuery as problem:
        return str(problem)


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_no_query_string_does_more_than_to_be_refused(data: bytes) -> None:
    assert outcome(data)


@settings(deadline=None)
@given(
    st.dictionaries(
        st.sampled_from([item.name for item in CAPTURE_PARAMETERS]) | st.text(max_size=5), st.text(max_size=20)
    )
)
def test_no_values_do_more_than_to_be_refused_in_a_few_clean_words(values: dict[str, str]) -> None:
    found = outcome(urlencode(values, errors="surrogatepass").encode())
    if isinstance(found, str):
        assert found == clean(found)
        assert len(found) < 600
    else:
        assert 1 <= found.max_spans <= 100_000
        assert 0 < found.timeout_s <= 86_400
