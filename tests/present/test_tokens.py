"""Line 3 of the security checklist: what may be a token."""

from __future__ import annotations

import secrets

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monkit_present import new_token
from monkit_present.tokens import Token, _weakness
from tests.http_helpers import TOKEN


def refusal(text: str) -> str:
    with pytest.raises(ValueError, match=r"^token= .*; make one with monkit_present.new_token\(\)$") as caught:
        Token(text)
    return str(caught.value)


def test_line_3_new_token_has_256_bits_and_fits_a_header() -> None:
    tokens = {new_token() for _ in range(1000)}
    assert len(tokens) == 1000
    assert {len(token) for token in tokens} == {43}  # 32 bytes in base64
    for token in tokens:
        assert Token(token).matches(token.encode())


@pytest.mark.parametrize(
    "text",
    [
        "3f8a1c5e7b9d0246f1e3d5c7b9a80f2e",
        "3F8A1C5E7B9D0246F1E3D5C7B9A80F2E",
        "Zq8-_mB2xT7Lp0vKcY5dRw",
        "Zq8+/mB2xT7Lp0vKcY5dRw==",
        "6c1f0f5e-2c1b-4a5d-9b8e-7d3a2f1e0c9b",
        TOKEN,
    ],
)
def test_line_3_token_of_128_bits_is_taken(text: str) -> None:
    assert Token(text).matches(text.encode())


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "is empty"),
        ("secret", "bits at the most, 128 are needed"),
        ("0123456789abcdef0123456789abcde", "124 bits at the most"),
        ("8f3a9c5b7e1d2f4a6c8e0b3d5f7a9c1", "124 bits at the most"),
        ("Zq8-_mB2xT7Lp0vKcY5dR", "126 bits at the most, 128 are needed"),
        ("password" * 8, "37 bits at the most"),
        ("a1b2c3d4" * 8, "32 bits at the most"),
        ("x" * 100, "4 bits at the most"),
        ("ab" * 60 + "c", "3 different characters"),
        ("abcdefghijklmnopqrstuvwxyz0123456789", "mostly counts up"),
        ("zyxwvutsrqponmlkjihgfedcba9876543210", "mostly counts up, down"),
        ("aaaaaaaaaaaaaaaaaaaabcdefghX", "mostly counts"),
        ("with space and length enough to hold 128 bits", "characters other than letters"),
        ("ünïcode-ünïcode-ünïcode-ünïcode-0123456789", "characters other than"),
        ("line\nbreak-line-break-line-break-0123456789", "characters other than"),
        ("=" * 40, "characters other than"),
        (secrets.token_urlsafe(400), "characters, at most 512"),
    ],
)
def test_line_3_weak_token_is_refused_with_the_reason_and_never_repeated(text: str, why: str) -> None:
    message = refusal(text)
    assert why in message
    assert not text or text not in message


@pytest.mark.parametrize("text", [None, b"bytes-bytes-bytes-bytes-bytes-0123456789", 12345678901234567890123456789])
def test_line_3_token_that_is_no_text_is_refused(text: object) -> None:
    with pytest.raises(TypeError, match=r"^token= takes text, found (NoneType|bytes|int); make one"):
        Token(text)  # type: ignore[arg-type]


def test_line_3_only_the_hash_of_a_token_is_kept() -> None:
    token = Token(TOKEN)
    kept = [getattr(token, name) for name in Token.__slots__]
    assert all(TOKEN.encode() not in value for value in kept)
    assert TOKEN not in repr(token)
    assert not hasattr(token, "__dict__")


@given(st.binary(max_size=100))
def test_line_3_nothing_but_the_token_matches(given_bytes: bytes) -> None:
    assert Token(TOKEN).matches(given_bytes) == (given_bytes == TOKEN.encode())


@pytest.mark.parametrize("given_text", [TOKEN[:-1], TOKEN + "x", TOKEN.swapcase(), "", TOKEN + "\0", " " + TOKEN])
def test_line_3_what_is_nearly_the_token_does_not_match(given_text: str) -> None:
    assert not Token(TOKEN).matches(given_text.encode())


@given(st.text(max_size=60))
def test_line_3_any_text_is_taken_or_refused_by_a_clear_error(text: str) -> None:
    if _weakness(text) is None:
        assert len(text) >= 22
        assert Token(text).matches(text.encode())
    else:
        refusal(text)


def test_line_3_random_tokens_of_128_bits_are_practically_never_refused() -> None:
    for _ in range(2000):
        Token(secrets.token_hex(16))
        Token(secrets.token_urlsafe(24))
