"""JSON by the standard library, as UTF-8 can hold it whatever is in a text."""

from __future__ import annotations

import json
import re

__all__ = ["dumps"]

_SURROGATE = re.compile("[\ud800-\udfff]")
_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


def dumps(value: object) -> str:
    r"""*value* on one line. A lone surrogate, which UTF-8 cannot hold, is spelt out: ``\ud800`` as six characters.

    Raises:
        ValueError: a number in it is not finite.
        TypeError: something in it is nothing that JSON has.
    """
    text = _encode(value)
    return text if text.isascii() else _SURROGATE.sub(_spell, text)


def _spell(match: re.Match[str]) -> str:
    return f"\\\\u{ord(match.group()):04x}"
