"""Names of metrics and labels as Prometheus takes them, out of any text and back.

A legal name stays what it is. Any other is spelt the way Prometheus itself
does where UTF-8 is not taken (its escaping scheme ``values``): ``U__`` before
it, an underscore doubled, and each character that is not allowed as its code
in hexadecimal between underscores. ``shop.orders`` is ``U__shop_2e_orders``.
A legal name that begins with ``U__`` is spelt so too, so nothing is lost and
no two names become one.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from functools import lru_cache

__all__ = ["label_name", "labels", "metric_name", "original"]

_METRIC = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_LABEL = re.compile(r"(?!__)[a-zA-Z_][a-zA-Z0-9_]*")
_MARK = "U__"
_ESCAPED = re.compile(r"__|_([0-9a-f]{1,6})_|([^_])", re.DOTALL)
_VALUE = str.maketrans({"\\": "\\\\", "\n": "\\n", '"': '\\"'})


def metric_name(text: str) -> str:
    """*text* as the name of a metric. A colon, which is for rules of the server, is spelt out."""
    return text if _METRIC.fullmatch(text) and not text.startswith(_MARK) else _spell(text)


@lru_cache(maxsize=4096)
def label_name(text: str, reserved: tuple[str, ...] = ()) -> str:
    """*text* as the name of a label; *reserved* ones and those beginning with ``__`` are spelt out too."""
    if _LABEL.fullmatch(text) and not text.startswith(_MARK) and text not in reserved:
        return text
    return _spell(text)


def _spell(text: str) -> str:
    spelt = [_MARK]
    for place, character in enumerate(text):
        if character == "_":
            spelt.append("__")
        elif character.isascii() and (character.isalpha() or (character.isdigit() and place)):
            spelt.append(character)
        else:
            spelt.append(f"_{ord(character):x}_")
    return "".join(spelt)


def original(name: str) -> str:
    """The text that a name stands for; a name that was never spelt out stands for itself."""
    if not name.startswith(_MARK):
        return name
    parts, place = [], len(_MARK)
    while place < len(name):
        match = _ESCAPED.match(name, place)
        if match is None or (match[1] and int(match[1], 16) > 0x10FFFF):
            return name
        parts.append(chr(int(match[1], 16)) if match[1] else match[2] or "_")
        place = match.end()
    return "".join(parts)


def labels(tags: Collection[tuple[str, str]], reserved: tuple[str, ...] = ()) -> str:
    """Tags as they stand between braces: ``a="b",c="d"``.

    A tag without a value is left out: to Prometheus that is the same, and two series may not differ by it.
    """
    return ",".join(f'{label_name(key, reserved)}="{value.translate(_VALUE)}"' for key, value in tags if value)
