"""B3 propagation, by the description in openzipkin/b3-propagation."""

from __future__ import annotations

import pytest

from monkit_core import Registry
from monkit_core.propagation import inject
from tests.propagation_helpers import PARENT, PARENT_ID, TRACE, TRACE_ID, TRACEPARENT, hop

SHORT = TRACE[16:]
OTHER = "05e3ac9a4f6e3b90"
DECISIONS = [("", None, False), ("-0", False, False), ("-1", True, False), ("-d", True, True)]


@pytest.mark.parametrize(("state", "sampled", "debug"), DECISIONS)
def test_single_header_tells_ids_and_decision(state: str, sampled: bool | None, debug: bool) -> None:
    outcome = hop({"b3": f"{TRACE}-{PARENT}{state}"})
    assert outcome.went_on
    assert (outcome.context.sampled, outcome.context.debug) == (sampled, debug)


@pytest.mark.parametrize(("state", "sampled", "debug"), DECISIONS)
def test_single_header_is_sent_with_the_decision_that_came(state: str, sampled: bool | None, debug: bool) -> None:
    outcome = hop({"b3": f"{TRACE}-{PARENT}{state}"}, formats=["b3"])
    assert outcome.sent == {"b3": f"{TRACE}-{outcome.span.id:016x}{state}"}


@pytest.mark.parametrize("state", ["-0", "-1", "-d"])
def test_single_header_may_name_the_parent_of_the_parent(state: str) -> None:
    assert hop({"b3": f"{TRACE}-{PARENT}{state}-{OTHER}"}).went_on


@pytest.mark.parametrize(("text", "sampled", "debug"), [("0", False, False), ("1", True, False), ("d", True, True)])
def test_single_header_may_hold_the_decision_alone(text: str, sampled: bool, debug: bool) -> None:
    outcome = hop({"b3": text}, formats=["b3"])
    assert outcome.restarted
    assert (outcome.context.sampled, outcome.context.debug) == (sampled, debug)
    assert outcome.sent["b3"].endswith(f"-{text}")


def test_64_bit_trace_id_is_taken_and_sent_with_zeros_before_it() -> None:
    for headers in ({"b3": f"{SHORT}-{PARENT}-1"}, {"X-B3-TraceId": SHORT, "X-B3-SpanId": PARENT}):
        outcome = hop(headers, formats=["w3c", "b3", "b3multi"])
        assert (outcome.span.trace.id, outcome.span.parent_id) == (int(SHORT, 16), PARENT_ID)
        assert outcome.sent["x-b3-traceid"] == outcome.sent["traceparent"][3:35] == "0" * 16 + SHORT
        assert outcome.sent["b3"].startswith("0" * 16 + SHORT)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2",
        "D",
        "true",
        "-",
        "x",
        f"{TRACE}",
        f"{TRACE}-",
        f"{TRACE}-{PARENT}-",
        f"{TRACE}-{PARENT}-2",
        f"{TRACE}-{PARENT}-1-",
        f"{TRACE}-{PARENT}-1-{OTHER}-",
        f"{TRACE}-{PARENT}-1-{OTHER[1:]}",
        f"{TRACE}-{PARENT}1",
        f"{TRACE}-{PARENT}-{OTHER}",
        f"{TRACE.upper()}-{PARENT}-1",
        f"{TRACE[1:]}-{PARENT}-1",
        f"{TRACE}0-{PARENT}-1",
        f"{TRACE}-{PARENT[1:]}-1",
        f"{'0' * 32}-{PARENT}-1",
        f"{'0' * 16}-{PARENT}-1",
        f"{TRACE}-{'0' * 16}-1",
        f"{TRACE}-{PARENT}-1\n",
        f"{TRACE[:24]}-{PARENT}-1",
        "é",
        "\ud800",
    ],
)
def test_malformed_single_header_says_nothing(text: str) -> None:
    outcome = hop({"b3": text})
    assert outcome.restarted
    assert outcome.context.sampled is None


def test_single_header_goes_before_the_others() -> None:
    outcome = hop({"x-b3-traceid": "1" * 32, "x-b3-spanid": "2" * 16, "x-b3-sampled": "0", "b3": f"{TRACE}-{PARENT}-1"})
    assert outcome.went_on
    assert outcome.context.sampled is True


def test_malformed_single_header_leaves_the_others_their_say() -> None:
    assert hop({"b3": "nonsense", "x-b3-traceid": TRACE, "x-b3-spanid": PARENT}).went_on


MULTI = [
    ({}, None, False),
    ({"X-B3-Sampled": "1"}, True, False),
    ({"X-B3-Sampled": "0"}, False, False),
    ({"X-B3-Sampled": "true"}, True, False),
    ({"X-B3-Sampled": "False"}, False, False),
    ({"X-B3-Sampled": "2"}, None, False),
    ({"X-B3-Sampled": "d"}, None, False),
    ({"X-B3-Flags": "1"}, True, True),
    ({"X-B3-Flags": "1", "X-B3-Sampled": "0"}, True, True),
    ({"X-B3-Flags": "0", "X-B3-Sampled": "0"}, False, False),
    ({"X-B3-Flags": "3"}, None, False),
]


@pytest.mark.parametrize(("headers", "sampled", "debug"), MULTI)
def test_several_headers_tell_ids_and_decision(headers: dict[str, str], sampled: bool | None, debug: bool) -> None:
    outcome = hop({"X-B3-TraceId": TRACE, "X-B3-SpanId": PARENT, "X-B3-ParentSpanId": OTHER, **headers})
    assert outcome.went_on
    assert (outcome.context.sampled, outcome.context.debug) == (sampled, debug)


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ("", {}),
        ("-0", {"x-b3-sampled": "0"}),
        ("-1", {"x-b3-sampled": "1"}),
        ("-d", {"x-b3-flags": "1"}),  # and no x-b3-sampled with it
    ],
)
def test_several_headers_are_sent_with_the_decision_that_came(state: str, said: dict[str, str]) -> None:
    outcome = hop({"b3": f"{TRACE}-{PARENT}{state}"}, formats=["b3multi"])
    assert outcome.sent == {"x-b3-traceid": TRACE, "x-b3-spanid": f"{outcome.span.id:016x}", **said}


@pytest.mark.parametrize(
    ("trace", "span"),
    [
        (TRACE, ""),
        ("", PARENT),
        (TRACE.upper(), PARENT),
        (TRACE, PARENT.upper()),
        (TRACE[1:], PARENT),
        (TRACE, PARENT[1:]),
        ("0" * 32, PARENT),
        (TRACE, "0" * 16),
        (TRACE + "\n", PARENT),
    ],
)
def test_malformed_id_in_several_headers_restarts_the_trace(trace: str, span: str) -> None:
    outcome = hop({"x-b3-traceid": trace, "x-b3-spanid": span, "x-b3-sampled": "1"})
    assert outcome.restarted
    assert outcome.context.sampled is None


def test_deny_alone_is_kept_for_the_trace_that_begins_here() -> None:
    outcome = hop({"X-B3-Sampled": "0"}, formats=["b3multi"])
    assert outcome.restarted
    assert outcome.sent["x-b3-sampled"] == "0"


def test_first_field_of_a_name_counts() -> None:
    fields = [(b"x-b3-traceid", TRACE.encode()), (b"x-b3-spanid", PARENT.encode()), (b"x-b3-traceid", b"1" * 32)]
    assert hop(fields).went_on
    assert hop([(b"b3", f"{TRACE}-{PARENT}-1".encode()), (b"b3", b"0")]).went_on


@pytest.mark.parametrize("b3", [f"{'1' * 32}-{PARENT}-0", "0"])
def test_w3c_goes_before_b3(b3: str) -> None:
    outcome = hop({"b3": b3, "traceparent": TRACEPARENT})
    assert outcome.went_on
    assert outcome.context.sampled is True


def test_malformed_traceparent_restarts_the_trace_also_beside_b3() -> None:
    assert hop({"b3": f"{TRACE}-{PARENT}-1", "traceparent": "nonsense"}).restarted


def test_a_decision_of_this_process_goes_before_debug() -> None:
    with hop({"b3": f"{TRACE}-{PARENT}-d"}).context.receive(Registry().scope("shop").func("http GET")) as span:
        span.trace.set("sampled", False)
        sent: dict[str, str] = {}
        inject(sent, formats=["b3"])
    assert sent["b3"] == f"{TRACE}-{span.id:016x}-0"


def test_headers_of_an_earlier_hop_are_replaced_in_whatever_case_and_encoding_they_are() -> None:
    received = {"B3": "0", "X-B3-TraceId": "1" * 32, "X-B3-ParentSpanId": OTHER, "X-B3-Flags": "1", "Accept": "*/*"}
    with hop({"b3": f"{TRACE}-{PARENT}-1"}).context.receive(Registry().scope("shop").func("http GET")) as span:
        inject(received, formats=["b3"])
    assert received == {"Accept": "*/*", "b3": f"{TRACE}-{span.id:016x}-1"}
    assert span.trace.id == TRACE_ID
