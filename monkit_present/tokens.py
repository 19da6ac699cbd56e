"""Tokens: the secret that opens a port, kept as a hash and compared in constant time."""

from __future__ import annotations

import hashlib
import hmac
import itertools
import math
import re
import secrets
import string

__all__ = ["Token", "new_token"]

_BITS = 128
_LEAST_DIFFERENT = 8
_LONGEST = 512
_SYNTAX = re.compile(r"[A-Za-z0-9._~+/-]+=*")  # token68 of RFC 9110: what an Authorization header can hold
_ALPHABETS = tuple(
    frozenset(characters)
    for characters in (
        string.digits,
        string.digits + "abcdef",
        string.digits + "ABCDEF",
        string.ascii_lowercase,
        string.ascii_uppercase,
        string.digits + string.ascii_lowercase,
        string.digits + string.ascii_uppercase,
        string.ascii_letters,
        string.digits + string.ascii_letters,
        string.digits + string.ascii_letters + "-_",
        string.digits + string.ascii_letters + "+/",
        string.digits + string.ascii_letters + "-._~+/=",
    )
)
_ADVICE = "make one with monkit_present.new_token()"


def new_token() -> str:
    """A token of 256 random bits, 43 characters that any header can hold."""
    return secrets.token_urlsafe(32)


class Token:
    """A token to check against. Only its hash is kept.

    Args:
        text: enough for 128 bits if its characters were drawn at random: 22
            letters and digits, or 32 hexadecimal digits.

    Raises:
        TypeError: *text* is no text.
        ValueError: it is too short, too monotonous, or cannot stand in a header.
            The message never holds it.
    """

    __slots__ = ("_digest",)

    def __init__(self, text: str) -> None:
        if not isinstance(text, str):
            raise TypeError(f"token= takes text, found {type(text).__name__}; {_ADVICE}")
        problem = _weakness(text)
        if problem is not None:
            raise ValueError(f"token= {problem}; {_ADVICE}")
        self._digest = _digest(text.encode("ascii"))

    def matches(self, given: bytes) -> bool:
        """Whether *given* is the token, in a time that does not depend on where they differ."""
        return hmac.compare_digest(_digest(given), self._digest)


def _digest(text: bytes) -> bytes:
    return hashlib.sha256(text).digest()


def _weakness(text: str) -> str | None:
    """Why *text* should not be a token."""
    if len(text) > _LONGEST:
        return f"has {len(text):,} characters, at most {_LONGEST}"
    if _SYNTAX.fullmatch(text) is None:
        return "is empty or has characters other than letters, digits and - . _ ~ + / ="
    bits = _most_bits(text)
    if bits < _BITS:
        return f"can have {int(bits)} bits at the most, {_BITS} are needed"
    different = len(set(text))
    if different < _LEAST_DIFFERENT:
        return f"has {different} different characters, at least {_LEAST_DIFFERENT} are needed"
    neighbours = sum(abs(ord(one) - ord(other)) <= 1 for one, other in itertools.pairwise(text))
    if neighbours > len(text) // 2:
        return "mostly counts up, down or on the spot"
    return None


def _most_bits(text: str) -> float:
    """Bits that *text* holds if it was drawn at random out of its alphabet; of a repetition what is repeated."""
    unit = (text + text).find(text, 1)
    alphabet = min(len(characters) for characters in _ALPHABETS if characters.issuperset(text))
    return unit * math.log2(alphabet)
