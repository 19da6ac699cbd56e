from __future__ import annotations

import sys
import xml.etree.ElementTree as ET

import pytest

from monkit_core.text import clean, clip, describe, name_of

HOSTILE = [
    ("\x00", "\\x00"),
    ("\x1b[31m", "\\x1b[31m"),
    ("\r", "\\x0d"),
    ("\x7f\x85\x9b", "\\x7f\\x85\\x9b"),
    ("\ud800", "\\ud800"),
    ("\udfff", "\\udfff"),
    ("\u2028\u2029", "\\u2028\\u2029"),
    ("\u202eevil\u2066", "\\u202eevil\\u2066"),
    ("\u200e\u200f\u061c", "\\u200e\\u200f\\u061c"),
    ("\ufffe\uffff", "\\ufffe\\uffff"),
]


@pytest.mark.parametrize(("text", "wanted"), HOSTILE, ids=[wanted for _, wanted in HOSTILE])
def test_what_cannot_be_shown_is_spelt_out(text: str, wanted: str) -> None:
    assert clean(text) == wanted
    assert clean(f"é{text}☃") == f"é{wanted}☃"


@pytest.mark.parametrize("text", ["", "plain", "tab\tnewline\n", "é☃😀", "<script>&\"'", "a\u200db", "\U0001d11e"])
def test_what_can_be_shown_stays(text: str) -> None:
    assert clean(text) is text or clean(text) == text


def test_clean_text_is_one_that_utf8_xml_and_readers_can_hold() -> None:
    everything = "".join(map(chr, range(sys.maxunicode + 1)))
    cleaned = clean(everything)
    assert cleaned.encode("utf-8").decode("utf-8") == cleaned
    assert clean(cleaned) == cleaned
    assert len(cleaned.splitlines()) == 2  # the newline itself
    escaped = cleaned.replace("&", "&amp;").replace("<", "&lt;")
    assert ET.fromstring(f"<x>{escaped}</x>").text == cleaned


def test_clip_ends_in_an_ellipsis() -> None:
    assert clip("12345", 5) == "12345"
    assert clip("123456", 5) == "1234…"


def test_describe_is_clean_clipped_and_never_raises() -> None:
    class Unspeakable:
        def __str__(self) -> str:
            raise RuntimeError

    class NoText:
        def __str__(self) -> str:
            return 5  # type: ignore[return-value]

    assert describe(5, 10) == "5"
    assert describe("\x1b" * 20, 10) == "\\x1b" * 9 + "…"
    assert describe(Unspeakable(), 100) == "<Unspeakable whose __str__ raised RuntimeError>"
    assert describe(NoText(), 100) == "<NoText whose __str__ raised TypeError>"


def test_long_names_are_cut_and_different_ones_stay_different() -> None:
    first, second = name_of("a" * 5000), name_of("a" * 5001)
    assert first != second
    assert max(len(first), len(second)) <= 1000
    assert name_of("a" * 1000) == "a" * 1000
