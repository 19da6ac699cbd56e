"""Names of metrics and labels: legal whatever they come from, and nothing of them is lost."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.validation import _validate_labelname, _validate_metric_name

from monkit_core.formats.metric_names import label_name, labels, metric_name, original

TEXTS = st.text(st.characters(exclude_categories=["Cs"])) | st.text("aU_09:.é-", max_size=8)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("requests", "requests"),
        ("_x9", "_x9"),
        ("shop.orders", "U__shop_2e_orders"),
        ("a_b c", "U__a__b_20_c"),
        ("a:b", "U__a_3a_b"),
        ("9lives", "U___39_lives"),
        ("", "U__"),
        ("naïve", "U__na_ef_ve"),
        ("U__x", "U__U____x"),
        ("Ux", "Ux"),
        ("\U0001f600", "U___1f600_"),
        ("٣", "U___663_"),
    ],
)
def test_name_is_spelt_as_prometheus_spells_it(text: str, name: str) -> None:
    assert metric_name(text) == name
    assert original(name) == text


@given(TEXTS)
def test_name_is_legal_and_can_be_read_back(text: str) -> None:
    for name in (metric_name(text), label_name(text), label_name(text, ("le", "quantile"))):
        assert original(name) == text
        _validate_metric_name(name)
    _validate_labelname(label_name(text))  # type: ignore[no-untyped-call]


@given(TEXTS, TEXTS)
def test_no_two_texts_have_one_name(one: str, other: str) -> None:
    assert (metric_name(one) == metric_name(other)) == (one == other)
    assert (label_name(one) == label_name(other)) == (one == other)


@pytest.mark.parametrize("name", ["U__a_", "U__a_zz_", "U__a_110000_", "U__a_2e", "U__a_2E_b"])
def test_what_was_never_spelt_out_stands_for_itself(name: str) -> None:
    assert original(name) == name


def test_labels_that_the_format_needs_itself_are_spelt_out() -> None:
    assert label_name("le", ("le",)) == "U__le"
    assert label_name("__name__") == "U______name____"
    assert label_name("le") == "le"


@given(st.dictionaries(TEXTS, st.text(st.characters(exclude_categories=["Cs", "Cc"])) | st.just('\\ "\n'), max_size=4))
def test_labels_are_read_back_and_those_without_a_value_are_left_out(tags: dict[str, str]) -> None:
    text = labels(tuple(tags.items()))
    (family,) = text_string_to_metric_families(f"a{{{text}}} 1\n")
    found = {original(key): value for key, value in family.samples[0].labels.items()}
    assert found == {key: value for key, value in tags.items() if value}
