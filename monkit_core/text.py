"""The one place where text of unknown origin is made harmless.

Names, arguments, annotations and error texts pass here when they enter; from
then on every renderer may rely on text that UTF-8, JSON and XML can hold.
"""

from __future__ import annotations

import hashlib
import re

__all__ = ["clean", "clip", "describe", "exact", "name_of", "told"]

_NAME_LIMIT = 1000

# Control characters but newline and tab, line separators that end a line for some readers,
# bidirectional overrides that make text read as something else, lone surrogates, and the two
# code points that XML cannot hold.
_HARMFUL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]"
)
_ELLIPSIS = "…"


def _spell(match: re.Match[str]) -> str:
    code = ord(match.group())
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def clean(text: str) -> str:
    r"""Spell out what cannot be shown safely: ``\x1b``, ``\u202e``, ``\ud800``.

    Newline and tab stay; each renderer escapes them in its own way.
    """
    return text if text.isascii() and text.isprintable() else _HARMFUL.sub(_spell, text)


def clip(text: str, limit: int) -> str:
    """At most *limit* characters of *text*, the last one an ellipsis if some went."""
    return text if len(text) <= limit else text[: limit - 1] + _ELLIPSIS


def name_of(text: str) -> str:
    """*text* as a name, a tag or its value: clean, and of at most about 1,000 characters.

    A longer one ends in a hash of the whole, so that different names stay different.
    """
    if len(text) <= _NAME_LIMIT:
        return clean(text)
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
    return f"{clean(text[: _NAME_LIMIT - 17])}{_ELLIPSIS}{digest}"


def exact(text: str) -> str:
    """A subclass of `str` may have methods of its own, which may raise: the text without them."""
    return text if type(text) is str else str.__str__(text)


def told(value: object) -> str:
    """``str(value)`` as it is; a value that cannot say what it is gets named by its type.

    Runs the value's own ``__str__``, so never call this under a lock.
    """
    try:
        return str(value)
    except Exception as problem:  # the value's own code, of any kind; the measured call must not notice
        return f"<{type(value).__name__} whose __str__ raised {type(problem).__name__}>"


def describe(value: object, limit: int) -> str:
    """`told`, clean and clipped."""
    return clean(clip(told(value), limit))
