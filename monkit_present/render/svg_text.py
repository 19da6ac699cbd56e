"""Text in a drawing: made safe, cut to length, measured.

Every string that comes from outside passes `escape` on its way into a picture.
It makes well-formed XML of any ``str``, also of one that holds control
characters or lone surrogates.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache

from monkit_core.text import clip

LETTER_PX = 6.65
"""Width of a letter of the 11 px monospaced face, the widest of the list in the style."""

ELLIPSIS = "\N{HORIZONTAL ELLIPSIS}"

# What cannot stand as it is: mark-up, line breaks, what XML 1.0 cannot hold at all, and the
# controls of writing direction, which would turn round the figures that follow a name.
_SPECIAL = re.compile('[\x00-\x1f&<>"\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]')
_WRITTEN = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "\n": " ", "\t": " "}
_UNWRITABLE = "\N{REPLACEMENT CHARACTER}"


def escape(text: str) -> str:
    """Make *text* one line that may stand in an element or a double-quoted attribute."""
    return _SPECIAL.sub(_written, text)


def _written(match: re.Match[str]) -> str:
    return _WRITTEN.get(match[0], _UNWRITABLE)


def columns(text: str) -> int:
    """Count the columns *text* takes in a monospaced face: two for a wide letter."""
    if text.isascii():
        return len(text)
    return len(text) + sum(unicodedata.east_asian_width(letter) in "WF" for letter in text)


def fit_name(scope: str, name: str, limit: int) -> tuple[str, str]:
    """Cut a scope and a name to *limit* characters together.

    The scope gives way first and from its front, so that ``shop.orders.`` turns
    into ``…rders.`` and then into nothing; only then is the name cut.

    Returns:
        The scope with the dot that follows it, and the name.
    """
    prefix = scope + "." if scope else ""
    if len(prefix) + len(name) <= limit:
        return prefix, name
    room = limit - len(name)
    if room < 4:
        return "", clip(name, limit)
    return ELLIPSIS + prefix[1 - room :], name


@cache
def px(tenths: int) -> str:
    """Write tenths of a pixel: ``12.5``, ``12``.

    The answers are kept: a drawing 1,280 wide knows some 12,800 of them.
    """
    whole, rest = divmod(tenths, 10)
    return f"{whole}.{rest}" if rest else str(whole)
