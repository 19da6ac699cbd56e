"""Extract and inject: shapes of headers, sampling, what travels with a trace, hostile input."""

from __future__ import annotations

import dataclasses
import timeit
from collections.abc import Callable
from email.message import Message
from string import printable

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import Headers as StarletteHeaders
from starlette.datastructures import MutableHeaders

from monkit_core import Registry, without_span
from monkit_core.propagation import FORMATS, TraceContext, check_formats, extract, inject
from monkit_core.span import Trace
from tests.helpers import check_idle, fresh_scope
from tests.propagation_helpers import PARENT, PARENT_ID, TRACE, TRACE_ID, TRACEPARENT, hop


def email_headers() -> Message:
    message = Message()
    message["Traceparent"] = TRACEPARENT
    return message


SHAPES: dict[str, Callable[[], object]] = {
    "mapping": lambda: {"Traceparent": TRACEPARENT},
    "mapping of bytes": lambda: {b"Traceparent": TRACEPARENT.encode()},
    "pairs of bytes": lambda: [(b"host", b"a"), (b"Traceparent", TRACEPARENT.encode())],
    "pairs of text": lambda: (("Traceparent", TRACEPARENT),),
    "iterator": lambda: iter([(b"traceparent", TRACEPARENT.encode())]),
    "httpx": lambda: httpx.Headers({"Traceparent": TRACEPARENT}),
    "starlette": lambda: StarletteHeaders({"Traceparent": TRACEPARENT}),
    "email": email_headers,
}


@pytest.mark.parametrize("shape", SHAPES)
def test_headers_are_read_in_every_usual_shape(shape: str) -> None:
    assert hop(SHAPES[shape]()).went_on  # type: ignore[arg-type]


@pytest.mark.parametrize("make", [dict, httpx.Headers, MutableHeaders], ids=["mapping", "httpx", "starlette"])
def test_headers_are_written_in_every_usual_shape(
    make: Callable[[dict[str, str]], httpx.Headers | MutableHeaders | dict[str, str]],
) -> None:
    _, mon = fresh_scope()
    headers = make({"Accept": "*/*", "TraceParent": "old", "Tracestate": "old=1"})
    with mon.task("call") as span:
        inject(headers)
    said = {name.lower(): value for name, value in headers.items()}
    assert said == {"accept": "*/*", "traceparent": f"00-{span.trace.id:032x}-{span.id:016x}-00"}


def test_pairs_are_written_in_place_and_the_others_keep_their_order() -> None:
    _, mon = fresh_scope()
    headers = [
        (b"Host", b"a"),
        (b"TraceParent", b"old"),
        (b"cookie", b"1"),
        (b"traceparent", b"older"),
        (b"cookie", b"2"),
    ]
    with mon.task("call") as span:
        inject(headers)
    sent = f"00-{span.trace.id:032x}-{span.id:016x}-00".encode()
    assert headers == [(b"Host", b"a"), (b"cookie", b"1"), (b"cookie", b"2"), (b"traceparent", sent)]


def test_name_that_stands_twice_in_different_case_is_written_once() -> None:
    _, mon = fresh_scope()
    headers = {"traceparent": "old", "TRACEPARENT": "older"}
    with mon.task("call"):
        inject(headers)
    assert list(headers) == ["traceparent"]


def test_name_that_stands_twice_in_headers_which_drop_both_at_once_is_written_once() -> None:
    _, mon = fresh_scope()
    headers = MutableHeaders(raw=[(b"traceparent", b"old"), (b"traceparent", b"older")])
    with mon.task("call"):
        inject(headers)
    assert headers.keys() == ["traceparent"]


def test_values_that_are_no_text_are_malformed() -> None:
    assert hop({"traceparent": None}).restarted  # type: ignore[arg-type]
    assert hop({"traceparent": 1, "baggage": [], "b3": 0.5}).restarted  # type: ignore[arg-type]


def test_nothing_is_injected_without_a_current_span() -> None:
    _, mon = fresh_scope()
    headers = {"traceparent": TRACEPARENT, "tracestate": "a=1"}
    pairs = [(b"traceparent", b"x")]
    inject(headers, formats=FORMATS)
    inject(pairs, formats=FORMATS)
    with mon.task("call"), without_span():
        inject(headers, formats=FORMATS)
    assert headers == {"traceparent": TRACEPARENT, "tracestate": "a=1"}
    assert pairs == [(b"traceparent", b"x")]


def test_unknown_format_is_refused_and_the_known_ones_are_named() -> None:
    _, mon = fresh_scope()
    with pytest.raises(ValueError, match="unknown propagation format 'jaeger': known are w3c, baggage, b3, b3multi"):
        check_formats(["w3c", "jaeger"])
    with mon.task("call"), pytest.raises(ValueError, match="'zipkin'"):
        inject({}, formats="zipkin")


def test_one_format_may_be_given_as_a_text() -> None:
    assert list(hop({}, formats="b3").sent) == ["b3"]


def test_all_formats_can_be_sent_at_once() -> None:
    outcome = hop({"traceparent": TRACEPARENT, "tracestate": "a=1", "baggage": "b=2"}, formats=FORMATS)
    span = f"{outcome.span.id:016x}"
    assert outcome.sent == {
        "traceparent": f"00-{TRACE}-{span}-01",
        "tracestate": "a=1",
        "baggage": "b=2",
        "b3": f"{TRACE}-{span}-1",
        "x-b3-traceid": TRACE,
        "x-b3-spanid": span,
        "x-b3-sampled": "1",
    }


def test_headers_without_a_trace_start_one() -> None:
    context = extract({"Host": "a"})
    assert context == TraceContext()
    assert hop({"Host": "a"}).restarted


def test_context_is_frozen_and_has_no_further_attributes() -> None:
    context = extract({"traceparent": TRACEPARENT})
    assert (context.trace_id, context.parent_id) == (TRACE_ID, PARENT_ID)
    with pytest.raises(dataclasses.FrozenInstanceError):
        context.trace_id = 1  # type: ignore[misc]
    assert not hasattr(context, "__dict__")


def test_receiving_span_is_a_root_with_a_remote_parent_whatever_is_current() -> None:
    registry, mon = fresh_scope()
    with mon.task("other") as other:
        with extract({"traceparent": TRACEPARENT}).receive(mon.func("http GET")) as span, mon.task("inner") as inner:
            assert registry.root_spans() == [other, span]
        with mon.task("after") as after:
            pass
    assert (span.parent, span.parent_id, span.trace.id) == (None, PARENT_ID, TRACE_ID)
    assert (inner.parent_id, inner.trace) == (span.id, span.trace)
    assert after.parent_id == other.id
    check_idle(registry)


def test_receiving_block_works_across_await_as_any_block() -> None:
    registry, mon = fresh_scope()
    context = extract({"baggage": "k=1", "traceparent": TRACEPARENT}, record_baggage=["k"])
    with pytest.raises(ValueError, match="no"), context.receive(mon.func("http GET")) as span:
        raise ValueError("no")
    assert span.error_name == "ValueError"
    check_idle(registry)


def test_two_requests_of_one_trace_share_its_id_and_nothing_else() -> None:
    _, mon = fresh_scope()
    context = extract({"traceparent": TRACEPARENT})
    with context.receive(mon.func("http GET")) as first, context.receive(mon.func("http GET")) as second:
        first.trace.set("mine", 1)
    assert first.trace.id == second.trace.id == TRACE_ID
    assert second.trace.get("mine") is None


SAMPLINGS = [
    ({"traceparent": TRACEPARENT}, True),
    ({"traceparent": TRACEPARENT[:-1] + "0"}, False),
    ({"b3": f"{TRACE}-{PARENT}"}, None),
    ({"b3": f"{TRACE}-{PARENT}-d"}, True),
    ({"x-b3-sampled": "0"}, False),
    ({}, None),
]


@pytest.mark.parametrize(("headers", "sampled"), SAMPLINGS)
def test_decision_of_the_sender_is_kept_but_turns_nothing_on(headers: dict[str, str], sampled: bool | None) -> None:
    outcome = hop(headers)
    remote = outcome.span.trace.get("remote")
    assert outcome.span.trace.get("sampled") is None
    assert outcome.context.sampled is sampled
    assert remote is (outcome.context if headers else None)


@pytest.mark.parametrize(("headers", "sampled"), SAMPLINGS)
def test_decision_of_the_sender_holds_where_it_is_honoured(headers: dict[str, str], sampled: bool | None) -> None:
    assert hop(headers, honour_sampling=True).span.trace.get("sampled") is sampled


@pytest.mark.parametrize("headers", [headers for headers, _ in SAMPLINGS])
@pytest.mark.parametrize("decided", [True, False])
def test_flag_that_is_sent_is_what_the_trace_says(headers: dict[str, str], decided: bool) -> None:
    _, mon = fresh_scope()
    with extract(headers).receive(mon.func("http GET")) as span:
        span.trace.set("sampled", decided)
        sent: dict[str, str] = {}
        inject(sent, formats=["w3c", "b3multi"])
    assert sent["traceparent"].endswith("-01" if decided else "-00")
    assert (sent.get("x-b3-sampled") == "1" or sent.get("x-b3-flags") == "1") is decided


def test_trace_marked_as_sampled_here_says_so() -> None:
    _, mon = fresh_scope()
    with mon.task("call") as span:
        span.trace.set("sampled", True)
        sent: dict[str, str] = {}
        inject(sent, formats=["w3c", "b3"])
    assert sent["traceparent"].endswith("-01")
    assert sent["b3"].endswith("-1")


def test_value_remote_that_a_program_has_set_for_itself_does_no_harm() -> None:
    _, mon = fresh_scope()
    with mon.task("call") as span:
        span.trace.set("remote", "mine")
        sent: dict[str, str] = {}
        inject(sent)
    assert list(sent) == ["traceparent"]


@pytest.mark.parametrize("trace_id", [0, 1 << 128])
def test_trace_made_by_hand_whose_id_no_header_can_say_is_not_sent(trace_id: int) -> None:
    _, mon = fresh_scope()
    sent: dict[str, str] = {}
    with mon.func("job").remote_trace(1, trace_id):
        inject(sent, formats=FORMATS)
    assert sent == {}


def test_trace_id_beyond_128_bits_is_sent_by_its_low_ones() -> None:
    registry, mon = fresh_scope()
    sent: dict[str, str] = {}
    with mon.func("job").remote_trace(1, Trace(registry.live, (1 << 128) | TRACE_ID)):
        inject(sent)
    assert sent["traceparent"][3:35] == TRACE


@given(
    st.integers(1, (1 << 128) - 1),
    st.integers(1, (1 << 64) - 1),
    st.sampled_from([None, False, True]),
    st.sampled_from(["w3c", "b3", "b3multi"]),
)
def test_round_trip_keeps_trace_id_and_decision(trace: int, parent: int, sampled: bool | None, via: str) -> None:
    mon = Registry().scope("shop")
    with TraceContext(trace, parent, sampled).receive(mon.func("http GET")) as span:
        sent: dict[str, str] = {}
        inject(sent, formats=[via])
    there = extract(sent)
    assert (there.trace_id, there.parent_id) == (trace, span.id)
    assert there.sampled is (bool(sampled) if via == "w3c" else sampled)  # W3C cannot say that it is open
    assert (span.parent_id, span.trace.id) == (parent, trace)


KEYS = st.from_regex(r"[a-z][a-z0-9_\-*/]{0,20}", fullmatch=True)
VALUES = st.from_regex(r"[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,20}[\x21-\x2b\x2d-\x3c\x3e-\x7e]", fullmatch=True)


@given(st.dictionaries(KEYS, VALUES, max_size=12))
def test_round_trip_keeps_tracestate_and_its_order(members: dict[str, str]) -> None:
    state = ",".join(f"{key}={value}" for key, value in members.items())
    outcome = hop({"traceparent": TRACEPARENT, "tracestate": state})
    assert outcome.sent.get("tracestate", "") == state
    assert hop(outcome.sent).sent.get("tracestate", "") == state


NAMES = st.sampled_from(["traceparent", "tracestate", "baggage", "b3", "x-b3-traceid", "x-b3-spanid", "X-B3-Sampled"])
PIECES = st.one_of(
    st.text(),  # lone surrogates, control characters and all
    st.text(printable),
    st.sampled_from([TRACEPARENT, TRACE, PARENT, "-", "01", "ff-", "a=1", ",", "=", ";", " ", "\t", "%", "%ff", "d"]),
)
TEXTS = st.lists(PIECES, max_size=8).map("".join)


@given(st.lists(st.tuples(NAMES, TEXTS), max_size=6), st.booleans())
def test_no_text_in_the_headers_raises_and_what_is_sent_on_is_valid(
    fields: list[tuple[str, str]], honour: bool
) -> None:
    outcome = hop(fields, formats=FORMATS, honour_sampling=honour, record_baggage=["a"])
    again = hop(outcome.sent, formats=FORMATS)
    assert again.span.trace.id == outcome.span.trace.id
    assert again.span.parent_id == outcome.span.id
    for name in ("tracestate", "baggage"):
        assert again.sent.get(name) == outcome.sent.get(name)
    assert all(text.isascii() and text.replace("\t", "").isprintable() for text in outcome.sent.values())


@given(st.lists(st.tuples(NAMES.map(str.encode), st.binary(max_size=80)), max_size=6))
def test_no_bytes_in_the_headers_raise(fields: list[tuple[bytes, bytes]]) -> None:
    outcome = hop(fields, formats=FORMATS)
    assert outcome.sent["traceparent"].isascii()


HOSTILE = {
    "zeros": "0",
    "commas": ",",
    "spaces": " ",
    "members": "a=1,",
    "properties": "a=1;",
    "equals": "=",
    "percents": "%",
    "percent-encoded": "%ff",
    "dashes": "-",
    "traceparents": TRACEPARENT,
    "surrogates": "\ud800",
    "controls": "\x00",
    "spaced": "k = 1 ,\t",
}


@pytest.mark.parametrize("field", ["traceparent", "tracestate", "baggage", "b3", "x-b3-traceid", "x-b3-sampled"])
@pytest.mark.parametrize("pattern", HOSTILE)
def test_a_megabyte_costs_no_more_than_linear_time(field: str, pattern: str) -> None:
    text = HOSTILE[pattern]
    headers = {} if field == "traceparent" else {"traceparent": TRACEPARENT}
    long = {**headers, field: text * (1_000_000 // len(text))}
    # A quadratic step over a megabyte takes minutes, a linear one some milliseconds.
    assert min(timeit.repeat(lambda: extract(long, record_baggage=["k"]), number=1, repeat=3)) < 0.5
    hop(long, record_baggage=["k"])


def test_many_fields_of_one_name_cost_no_more_than_linear_time() -> None:
    fields = [(b"tracestate", b"a=1"), (b"baggage", b"b=2"), (b"b3", b"0")] * 50_000
    assert min(timeit.repeat(lambda: extract(fields), number=1, repeat=3)) < 1
    assert len(hop(fields).context.baggage) == 180
