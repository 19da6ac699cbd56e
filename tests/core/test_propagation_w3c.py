"""Every MUST of W3C Trace Context (Recommendation of 23 November 2021), under the number of its section."""

from __future__ import annotations

import re

import pytest

from monkit_core import Registry
from monkit_core.propagation import inject
from monkit_core.propagation.w3c import parse_traceparent
from tests.propagation_helpers import PARENT, PARENT_ID, TRACE, TRACE_ID, TRACEPARENT, hop, state_of

VALID = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-0[01]")
REST = f"{TRACE}-{PARENT}-01"


@pytest.mark.parametrize("name", ["traceparent", "Traceparent", "TRACEPARENT", "tRaCePaReNt"])
def test_3_2_1_traceparent_is_expected_in_any_case(name: str) -> None:
    assert hop({name: TRACEPARENT}).went_on
    assert hop([(name.encode(), TRACEPARENT.encode())]).went_on


@pytest.mark.parametrize("name", ["trace-parent", "trace.parent", "traceparent ", "xtraceparent"])
def test_3_2_1_other_names_are_no_traceparent(name: str) -> None:
    assert hop({name: TRACEPARENT}).restarted


def test_3_2_1_names_are_sent_in_lower_case() -> None:
    assert list(hop({"TraceParent": TRACEPARENT, "TraceState": "a=1"}).sent) == ["traceparent", "tracestate"]


def test_3_2_2_1_version_ff_is_invalid() -> None:
    assert hop({"traceparent": f"ff-{REST}"}).restarted
    assert hop({"traceparent": f"ff-{REST}-more"}).restarted


def test_3_2_2_2_version_00_has_four_fields_and_no_more() -> None:
    for more in ("-", "-00", ".", "0", "-what-the-future-will-be-like"):
        assert hop({"traceparent": TRACEPARENT + more}).restarted, more


def test_3_2_2_2_white_space_around_the_value_is_no_part_of_it() -> None:
    for text in (f" {TRACEPARENT}", f"\t{TRACEPARENT} \t"):
        assert hop({"traceparent": text}).went_on, text
    assert hop({"traceparent": f"{TRACEPARENT}\n"}).restarted


@pytest.mark.parametrize(
    "trace",
    [
        "0" * 32,
        TRACE.upper(),
        TRACE[:-1],
        TRACE + "0",
        "." + TRACE[1:],
        TRACE[:-1] + "g",
        TRACE[:-1] + " ",
        TRACE[:-1] + "٣",  # a digit, but not of the alphabet that counts
        "+" + TRACE[1:],
        TRACE[:15] + "_" + TRACE[16:],  # int() would take it
    ],
)
def test_3_2_2_3_traceparent_with_an_invalid_trace_id_is_ignored(trace: str) -> None:
    outcome = hop({"traceparent": f"00-{trace}-{PARENT}-01", "tracestate": "a=1"})
    assert outcome.restarted
    assert "tracestate" not in outcome.sent


@pytest.mark.parametrize(
    "parent", ["0" * 16, PARENT.upper(), PARENT[:-1], PARENT + "0", "." + PARENT[1:], PARENT[:-1] + "g"]
)
def test_3_2_2_4_traceparent_with_an_invalid_parent_id_is_ignored(parent: str) -> None:
    outcome = hop({"traceparent": f"00-{TRACE}-{parent}-01", "tracestate": "a=1"})
    assert outcome.restarted
    assert "tracestate" not in outcome.sent


@pytest.mark.parametrize("flags", ["", "0", "1", "001", "0x", ".0", "0.", "0A", "FF", " 1"])
def test_3_2_2_5_traceparent_with_invalid_flags_is_ignored(flags: str) -> None:
    assert hop({"traceparent": f"00-{TRACE}-{PARENT}-{flags}"}).restarted


@pytest.mark.parametrize("flags", range(256))
def test_3_2_2_5_1_sampled_is_the_last_bit_whatever_the_others_are(flags: int) -> None:
    outcome = hop({"traceparent": f"00-{TRACE}-{PARENT}-{flags:02x}"})
    assert outcome.went_on
    assert outcome.context.sampled is bool(flags & 1)


@pytest.mark.parametrize("flags", range(256))
def test_3_2_2_5_1_sampled_is_sent_on_unchanged_where_nobody_decides(flags: int) -> None:
    assert hop({"traceparent": f"00-{TRACE}-{PARENT}-{flags:02x}"}).flags == f"0{flags & 1}"


def test_3_2_2_5_1_sampled_is_not_set_in_a_trace_that_begins_here() -> None:
    assert hop({}).flags == "00"


@pytest.mark.parametrize("flags", range(2, 256, 2))
def test_3_2_2_5_2_other_flags_are_sent_as_zero(flags: int) -> None:
    assert hop({"traceparent": f"00-{TRACE}-{PARENT}-{flags:02x}"}).flags == "00"


def test_level_2_random_flag_is_tolerated() -> None:
    for flags, sent in (("02", "00"), ("03", "01")):
        outcome = hop({"traceparent": f"00-{TRACE}-{PARENT}-{flags}"})
        assert outcome.went_on
        assert outcome.flags == sent


@pytest.mark.parametrize("version", ["", "0", "000", "0000", ".0", "0.", "0A", "CC", "zz", "٠٠"])
def test_3_2_4_version_that_cannot_be_parsed_restarts_the_trace(version: str) -> None:
    assert hop({"traceparent": f"{version}-{REST}"}).restarted
    assert hop({"traceparent": f"{version}{REST}"}).restarted


@pytest.mark.parametrize("version", [f"{number:02x}" for number in range(1, 255)])
def test_3_2_4_higher_version_is_parsed_as_far_as_this_one_goes(version: str) -> None:
    for more in ("", "-", "-what-the-future-will-be-like"):
        assert hop({"traceparent": f"{version}-{REST}{more}"}).went_on, more


def test_3_2_4_higher_version_shorter_than_55_characters_restarts_the_trace() -> None:
    assert parse_traceparent(f"cc-{REST}") is not None
    assert [size for size in range(55) if parse_traceparent(f"cc-{REST}"[:size]) is not None] == []


@pytest.mark.parametrize("trace", ["0" * 32, TRACE.upper(), "g" + TRACE[1:], TRACE[:-1], TRACE + "0"])
def test_3_2_4_trace_id_of_a_higher_version_is_32_hex_digits_and_a_dash(trace: str) -> None:
    assert hop({"traceparent": f"cc-{trace}-{PARENT}-01"}).restarted
    assert hop({"traceparent": f"cc-{TRACE}.{PARENT}-01"}).restarted


@pytest.mark.parametrize("parent", ["0" * 16, PARENT.upper(), "g" + PARENT[1:], PARENT[:-1], PARENT + "0"])
def test_3_2_4_parent_id_of_a_higher_version_is_16_hex_digits_and_a_dash(parent: str) -> None:
    assert hop({"traceparent": f"cc-{TRACE}-{parent}-01"}).restarted
    assert hop({"traceparent": f"cc-{TRACE}-{PARENT}.01"}).restarted


@pytest.mark.parametrize("more", [".what-the-future-will-be-like", "0", "0-1", ",", " -1", "\n"])
def test_3_2_4_flags_of_a_higher_version_are_at_the_end_or_followed_by_a_dash(more: str) -> None:
    assert hop({"traceparent": f"cc-{REST}{more}"}).restarted


def test_3_2_4_nothing_is_assumed_of_unknown_fields() -> None:
    for more in ("-" + "x" * 1000, "-\x00\x7f", "-é", "----"):
        assert hop({"traceparent": f"cc-{REST}{more}"}).went_on, more


def test_3_2_4_what_is_sent_is_of_the_highest_version_known() -> None:
    sent = hop({"traceparent": f"cc-{TRACE}-{PARENT}-09-more"}).sent["traceparent"]
    assert VALID.fullmatch(sent)
    assert sent.startswith(f"00-{TRACE}-")
    assert sent.endswith("-01")


@pytest.mark.parametrize("parent", ["", "nonsense", f"ff-{REST}", TRACEPARENT.upper(), f"00-{'0' * 32}-{PARENT}-01"])
def test_3_3_tracestate_is_not_parsed_where_traceparent_could_not_be(parent: str) -> None:
    outcome = hop({"traceparent": parent, "tracestate": "congo=t61rcWkgMzE"})
    assert outcome.context.tracestate == ""
    assert "tracestate" not in outcome.sent


def test_3_3_tracestate_is_not_parsed_without_a_traceparent() -> None:
    assert "tracestate" not in hop({"tracestate": "congo=t61rcWkgMzE"}).sent
    b3 = hop({"b3": f"{TRACE}-{PARENT}-1", "tracestate": "congo=t61rcWkgMzE"})
    assert b3.went_on
    assert "tracestate" not in b3.sent


@pytest.mark.parametrize(
    "state", ["nonsense", "=", "a", "a=", "=1", "a=1=2", "A=1", "a=é", "\x00", "a=1,a=2", "a=\ud800"]
)
def test_3_3_failure_to_parse_tracestate_does_not_affect_traceparent(state: str) -> None:
    outcome = hop({"traceparent": TRACEPARENT, "tracestate": state})
    assert outcome.went_on
    assert "tracestate" not in outcome.sent


@pytest.mark.parametrize("name", ["tracestate", "Tracestate", "TRACESTATE", "tRaCeStAtE"])
def test_3_3_1_tracestate_is_expected_in_any_case(name: str) -> None:
    assert hop({"traceparent": TRACEPARENT, name: "congo=1"}).sent["tracestate"] == "congo=1"


def test_3_3_1_1_multiple_tracestate_fields_are_combined_in_their_order() -> None:
    assert state_of("foo=1,bar=2", "rojo=1,congo=2", "baz=3") == "foo=1,bar=2,rojo=1,congo=2,baz=3"


def test_3_3_1_1_tracestate_is_sent_as_a_single_field() -> None:
    received = [(b"traceparent", TRACEPARENT.encode()), (b"tracestate", b"a=1"), (b"tracestate", b"b=2")]
    with hop(received).context.receive(Registry().scope("shop").func("proxy")):
        inject(received)
    assert [value for name, value in received if name == b"tracestate"] == [b"a=1,b=2"]


@pytest.mark.parametrize("texts", [("",), (" \t ",), (",",), (" , ,\t",), ("", "")])
def test_3_3_1_1_empty_tracestate_is_accepted_and_not_sent(texts: tuple[str, ...]) -> None:
    assert state_of(*texts) is None


def test_3_3_1_1_empty_members_are_allowed() -> None:
    assert state_of("foo=1,", "", " ,,\tbar=2") == "foo=1,bar=2"


def test_3_3_1_2_list_has_at_most_32_members() -> None:
    members = [f"bar{number:02}=0" for number in range(33)]
    assert state_of(",".join(members[:32])) == ",".join(members[:32])
    assert state_of(",".join(members[:20]), ",".join(members[20:32])) == ",".join(members[:32])
    assert state_of(",".join(members)) is None
    assert state_of(",".join(members[:20]), ",".join(members[20:])) is None


def test_3_3_1_3_white_space_around_members_is_ignored() -> None:
    for text in ("foo=1 \t , \t bar=2, \t baz=3", "\t foo=1\t \t,\t \tbar=2,\t \tbaz=3 "):
        assert state_of(text) == "foo=1,bar=2,baz=3"


LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789_-*/"


@pytest.mark.parametrize(
    "key",
    [
        "a",
        LETTERS,
        f"{LETTERS}@a0_-*/",
        "0tenant@vendor",
        "z" * 256,
        "t" * 241 + "@" + "v" * 14,
    ],
)
def test_3_3_1_3_1_key_of_lower_case_letters_digits_and_four_signs_is_valid(key: str) -> None:
    assert state_of(f"{key}=1") == f"{key}=1"


@pytest.mark.parametrize(
    "key",
    [
        "",
        "A",
        "fOo",
        "foo.bar",
        "foo bar",
        "foo ",
        "foo\t",
        "0foo",
        "_foo",
        "-foo",
        "*foo",
        "/foo",
        "é",
        "\x00",
        "@foo",
        "foo@",
        "foo@@bar",
        "foo@bar@baz",
        "foo@0bar",
        "z" * 257,
        "t" * 242 + "@v",
        "t@" + "v" * 15,
    ],
)
def test_3_3_1_3_1_invalid_key_drops_the_whole_list(key: str) -> None:
    assert state_of(f"first=1,{key}=1,last=1") is None


def test_3_3_1_3_2_value_of_printable_ascii_but_comma_and_equals_sign_is_valid() -> None:
    value = "".join(chr(code) for code in range(0x20, 0x7F) if chr(code) not in ",=")
    assert state_of(f"foo={value}") == f"foo={value}"
    assert state_of(f"foo={'v' * 256}") == f"foo={'v' * 256}"


@pytest.mark.parametrize("value", ["", " ", "bar=baz", "v" * 257, "a\tb", "a\x00", "a\x7f", "é", "a\nb", "a\r"])
def test_3_3_1_3_2_invalid_value_drops_the_whole_list(value: str) -> None:
    assert state_of(f"first=1,foo={value},last=1") is None


def test_3_3_1_3_2_leading_spaces_of_a_value_are_preserved_and_trailing_ones_are_not_part_of_it() -> None:
    assert state_of("foo=  1  ,bar=2") == "foo=  1,bar=2"


@pytest.mark.parametrize("texts", [("foo=1,foo=1",), ("foo=1,foo=2",), ("foo=1", "foo=1"), ("foo=1", "bar=1,foo=2")])
def test_3_3_1_4_only_one_entry_a_key_is_allowed(texts: tuple[str, ...]) -> None:
    assert state_of(*texts) is None


def test_3_3_1_5_512_characters_are_passed_on() -> None:
    text = ",".join(f"k{number:02}={'v' * 27}" for number in range(16))  # 16 times 31, and 15 commas
    assert len(text + "v") == 512
    assert state_of(text + "v") == text + "v"


def test_3_3_1_5_truncation_takes_whole_entries_from_the_end() -> None:
    members = [f"k{number:02}={'v' * 28}" for number in range(16)]
    assert state_of(",".join(members)) == ",".join(members[:15])


def test_3_3_1_5_truncation_takes_entries_above_128_characters_first() -> None:
    first, long, last = "a=" + "v" * 126, "long=" + "v" * 200, "z=" + "v" * 126
    more = "m=" + "v" * 100
    assert (len(first), len(last)) == (128, 128)
    assert state_of(",".join([first, long, more, last])) == ",".join([first, more, last])


def test_3_3_1_5_truncation_takes_no_more_than_it_must() -> None:
    long = [f"{name}={'v' * 200}" for name in "abc"]
    assert state_of(",".join([*long, "z=1"])) == ",".join([*long[:2], "z=1"])


def test_3_4_received_traceparent_is_sent_on_with_a_new_parent_id() -> None:
    outcome = hop({"traceparent": TRACEPARENT})
    assert outcome.sent["traceparent"] == f"00-{TRACE}-{outcome.span.id:016x}-01"
    assert outcome.span.id != PARENT_ID


def test_3_4_parent_id_sent_is_that_of_the_span_which_is_current_not_of_its_caller() -> None:
    mon = Registry().scope("shop")
    with mon.task("caller") as caller, mon.task("call") as call:
        sent: dict[str, str] = {}
        inject(sent)
    assert sent["traceparent"] == f"00-{caller.trace.id:032x}-{call.id:016x}-00"


def test_3_4_trace_id_is_sent_whole() -> None:
    for trace_id in (1, TRACE_ID, (1 << 128) - 1, 1 << 127):
        sent = hop({"traceparent": f"00-{trace_id:032x}-{PARENT}-01"}).sent
        assert sent["traceparent"][3:35] == f"{trace_id:032x}"


def test_3_4_sampled_flag_changes_only_together_with_the_parent_id() -> None:
    mon = Registry().scope("shop")
    with hop({"traceparent": TRACEPARENT}).context.receive(mon.func("http GET")) as span:
        span.trace.set("sampled", False)
        sent: dict[str, str] = {}
        inject(sent)
    assert sent["traceparent"] == f"00-{TRACE}-{span.id:016x}-00"
    assert span.id != PARENT_ID


def test_3_4_restart_generates_all_fields_and_drops_tracestate() -> None:
    received = {"traceparent": TRACEPARENT[:-1], "tracestate": "congo=1"}
    outcome = hop(received)
    assert outcome.restarted
    assert VALID.fullmatch(outcome.sent["traceparent"])
    assert TRACE not in outcome.sent["traceparent"]
    assert "tracestate" not in outcome.sent


def test_3_4_a_trace_that_is_reset_takes_nothing_along() -> None:
    func = Registry().scope("shop").func("job")
    context = hop({"traceparent": TRACEPARENT, "tracestate": "congo=1", "baggage": "a=1"}).context
    with context.receive(func), func.reset_trace() as span:
        sent: dict[str, str] = {}
        inject(sent)
    assert sent == {"traceparent": f"00-{span.trace.id:032x}-{span.id:016x}-00"}


def test_3_5_received_tracestate_is_sent_on_in_its_order() -> None:
    assert state_of("rojo=00f067aa0ba902b7,congo=t61rcWkgMzE,a=1") == "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE,a=1"


def test_4_1_request_without_traceparent_starts_a_trace() -> None:
    outcome = hop({})
    assert outcome.restarted
    assert VALID.fullmatch(outcome.sent["traceparent"])


@pytest.mark.parametrize("second", [TRACEPARENT, f"00-{TRACE[::-1]}-{PARENT}-00", "", "nonsense"])
def test_4_1_traceparent_that_is_there_twice_restarts_the_trace(second: str) -> None:
    fields = [(b"traceparent", TRACEPARENT.encode()), (b"tracestate", b"congo=1"), (b"Traceparent", second.encode())]
    outcome = hop(fields)
    assert outcome.restarted
    assert "tracestate" not in outcome.sent
    assert hop({"traceparent": f"{TRACEPARENT},{TRACEPARENT}"}).restarted


def test_6_2_nothing_of_ours_goes_into_tracestate() -> None:
    assert "tracestate" not in hop({}).sent
    assert state_of("congo=1") == "congo=1"
