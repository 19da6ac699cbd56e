"""W3C Baggage, under the headings of its text."""

from __future__ import annotations

import pytest

from monkit_core import Registry
from monkit_core.propagation import BaggageMember, inject
from monkit_core.propagation.baggage import MAX_BYTES, MAX_MEMBERS, parse_baggage
from tests.propagation_helpers import TRACEPARENT, hop


def sent_for(*texts: str) -> str | None:
    """The field that is sent on when these were received."""
    return hop([(b"baggage", text.encode("latin-1")) for text in texts]).sent.get("baggage")


def values(*texts: str) -> list[tuple[str, str]]:
    return [(member.key, member.value) for member in parse_baggage(texts)]


@pytest.mark.parametrize("name", ["baggage", "Baggage", "BAGGAGE"])
def test_header_name_is_expected_in_any_case(name: str) -> None:
    assert hop({name: "userId=alice"}).sent["baggage"] == "userId=alice"


def test_baggage_travels_without_a_trace_context_and_with_one_that_is_malformed() -> None:
    assert sent_for("userId=alice") == "userId=alice"
    outcome = hop({"traceparent": "nonsense", "baggage": "userId=alice"})
    assert outcome.restarted
    assert outcome.sent["baggage"] == "userId=alice"
    assert hop({"traceparent": TRACEPARENT, "baggage": "userId=alice"}).sent["baggage"] == "userId=alice"


def test_multiple_fields_are_combined_in_their_order() -> None:
    assert sent_for("userId=alice", "serverNode=DF%2028,isProduction=false") == (
        "userId=alice,serverNode=DF%2028,isProduction=false"
    )


def test_member_is_sent_on_as_it_came_with_its_properties() -> None:
    text = "key1=value1;property1;property2,key2 = value2,key3=value3; propertyKey=propertyValue"
    assert sent_for(text) == text


def test_duplicate_keys_keep_their_order() -> None:
    assert sent_for("a=1,b=2,a=3") == "a=1,b=2,a=3"


def test_white_space_around_key_value_and_property_is_trimmed() -> None:
    (member,) = parse_baggage(["  SomeKey \t = \t SomeValue \t ; \t SomeProp \t = \t PropVal \t "])
    assert (member.key, member.value) == ("SomeKey", "SomeValue")


def test_value_may_hold_equals_signs() -> None:
    assert values("SomeKey=SomeValue=equals==") == [("SomeKey", "SomeValue=equals==")]


def test_value_may_be_empty() -> None:
    assert values("a=,b= ;p") == [("a", ""), ("b", "")]


def test_value_is_percent_decoded_as_utf_8() -> None:
    assert values("a=DF%2028,b=%C3%A9%e2%82%ac") == [("a", "DF 28"), ("b", "é€")]


def test_octets_that_are_no_utf_8_become_the_replacement_character() -> None:
    assert values("a=x%FFy,b=%C3,c=%ED%A0%80") == [("a", "x�y"), ("b", "�"), ("c", "���")]


def test_plus_and_a_percent_sign_that_encodes_nothing_stand_for_themselves() -> None:
    assert values("a=1+1,b=100%,c=%zz,d=%2") == [("a", "1+1"), ("b", "100%"), ("c", "%zz"), ("d", "%2")]


def test_key_is_a_token_that_is_not_decoded_and_whose_case_counts() -> None:
    assert values("a%20b=1,A=2,!#$%&'*+-.^_`|~0=3") == [("a%20b", "1"), ("A", "2"), ("!#$%&'*+-.^_`|~0", "3")]


@pytest.mark.parametrize(
    "member",
    [
        "nonsense",
        "=1",
        "a b=1",
        "a(=1",
        "é=1",
        "a=é",
        "a=1 2",
        'a="1"',
        "a=1\\2",
        "a=1;",
        "a=1;b c",
        "a=1;p=x y",
        "a=\x00",
        "a=\x7f",
        "a=1\r",
        "a=1;\x1b",
    ],
)
def test_invalid_member_is_left_out_and_the_others_stay(member: str) -> None:
    assert sent_for(f"first=1,{member},last=2") == "first=1,last=2"
    assert sent_for(member) is None


def test_limits_180_members_are_passed_on_and_later_ones_dropped() -> None:
    members = [f"key{number}=v" for number in range(MAX_MEMBERS + 1)]
    assert MAX_MEMBERS == 180
    assert sent_for(",".join(members[:-1])) == ",".join(members[:-1])
    assert sent_for(",".join(members)) == ",".join(members[:-1])


def test_limits_8192_bytes_are_passed_on() -> None:
    assert MAX_BYTES == 8192
    one = "a=" + "0" * (MAX_BYTES - 2)
    assert sent_for(one) == one
    assert sent_for(one + "0") is None
    many = ",".join(f"{number:03}={'v' * 59}" for number in range(128))  # 128 times 63, and 127 commas
    assert len(many) == MAX_BYTES - 1
    assert sent_for(many) == many


def test_limits_members_beyond_8192_bytes_are_dropped_whole() -> None:
    text = ",".join(f"{number:03}={'v' * 100}" for number in range(100))
    sent = sent_for(text)
    assert sent is not None
    assert len(sent) <= MAX_BYTES
    assert text.startswith(sent + ",")
    assert len(sent) + 105 > MAX_BYTES  # one more would not have fitted


def test_limits_what_is_left_out_takes_no_room() -> None:
    good = "a=" + "0" * (MAX_BYTES - 2)
    assert sent_for(f"b=\\,,{'no ' * 100},{good}") == good


def test_list_is_read_as_far_as_four_times_what_is_passed_on() -> None:
    assert sent_for(f"a=1,{' ' * (4 * MAX_BYTES)},b=2") == "a=1"
    assert sent_for(f"a=1,{' ' * (4 * MAX_BYTES - 6)}b=2345") == "a=1"  # the member that is cut is not read


def test_nothing_is_recorded_unless_it_is_on_the_list() -> None:
    assert hop({"baggage": "userId=alice,secret=1"}).span.annotations == ()


def test_keys_on_the_list_are_recorded_decoded_as_annotations_of_the_receiving_span() -> None:
    outcome = hop({"baggage": "userId=DF%2028,secret=1,userId=bob,UserId=no"}, record_baggage=["userId", "absent"])
    assert outcome.span.annotations == (("baggage.userId", "DF 28"), ("baggage.userId", "bob"))


def test_one_key_may_be_given_as_a_text() -> None:
    assert hop({"baggage": "userId=1,u=2"}, record_baggage="userId").span.annotations == (("baggage.userId", "1"),)


def test_recorded_text_is_made_harmless_and_clipped() -> None:
    (annotation,) = hop({"baggage": "k=%1b%00" + "v" * 2000}, record_baggage=["k"]).span.annotations
    assert annotation[1].startswith(r"\x1b\x00vvv")
    assert annotation[1].endswith("…")


def test_recorded_baggage_is_there_each_time_the_block_is_entered() -> None:
    context = hop({"baggage": "k=1"}, record_baggage=["k"]).context
    block = context.receive(Registry().scope("shop").func("http GET"))
    with block as first:
        pass
    with block as second:
        pass
    assert first.annotations == second.annotations == (("baggage.k", "1"),)


def test_field_of_the_program_itself_stays() -> None:
    context = hop({"baggage": "k=1"}).context
    with context.receive(Registry().scope("shop").func("http GET")):
        headers = {"Baggage": "own=2"}
        inject(headers)
        pairs = [(b"Baggage", b"own=2")]
        inject(pairs)
    assert headers["Baggage"] == "own=2"
    assert [pair for pair in pairs if pair[0].lower() == b"baggage"] == [(b"Baggage", b"own=2")]
    assert "baggage" not in headers


def test_baggage_is_not_sent_where_its_format_is_left_out() -> None:
    assert "baggage" not in hop({"baggage": "k=1"}, formats=["w3c"]).sent


def test_member_is_a_record_of_key_and_text() -> None:
    assert parse_baggage(["a = 1;p"]) == (BaggageMember("a", "a = 1;p"),)
