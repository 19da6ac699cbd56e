"""Headers in the shapes in which programs hold them: read the few that matter, write a few.

Names are compared without regard to case. Nothing here knows what a value means.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Protocol

__all__ = ["Carrier", "Found", "HasItems", "Headers", "Writable", "pick", "put"]


class HasItems(Protocol):
    """Has ``items()``, as dictionaries and the headers of most libraries do; a name may come more than once."""

    def items(self) -> Iterable[tuple[str | bytes, str | bytes]]:
        """Pairs of name and value."""
        ...


class Writable(Protocol):
    """What `put` needs of a mapping of text; not all that libraries have is a ``MutableMapping``."""

    def __iter__(self) -> Iterator[str]: ...

    def __contains__(self, name: object, /) -> bool: ...

    def __setitem__(self, name: str, value: str, /) -> None: ...

    def __delitem__(self, name: str, /) -> None: ...


Headers = HasItems | Iterable[tuple[str | bytes, str | bytes]]
"""What can be read: a mapping, or pairs as ASGI has them."""

Carrier = Writable | list[tuple[bytes, bytes]]
"""What can be written."""

Found = Mapping[str, list[str]]
"""Header fields by their name in lower case; the values of each in their order."""


def pick(headers: Headers, wanted: Mapping[str | bytes, str]) -> Found:
    """The header fields whose name, in lower case, is a key of *wanted*; its value is what they are called here."""
    found: dict[str, list[str]] = {}
    for name, value in headers.items() if hasattr(headers, "items") else headers:
        known = wanted.get(name.lower())
        if known is not None:
            found.setdefault(known, []).append(_text(value))
    return found


def _text(value: object) -> str:
    """A value as text in which bytes above 127, which no format allows, stay such."""
    if isinstance(value, bytes):
        return value.decode("latin-1")
    return value if isinstance(value, str) else "?"  # which no format can read


def put(headers: Carrier, owned: frozenset[str], fields: Mapping[str, str]) -> None:
    """Take the fields called *owned* out of *headers*, in whatever case, then add *fields* that are not there.

    Args:
        headers: changed in place.
        owned: names in lower case.
        fields: by their name in lower case, all ASCII.
    """
    if isinstance(headers, list):
        names = {name: name.lower().decode("latin-1") for name, _ in headers}
        headers[:] = [pair for pair in headers if names[pair[0]] not in owned]
        present = set(names.values()) - owned
        headers += [(name.encode(), value.encode()) for name, value in fields.items() if name not in present]
        return
    kept = set()
    for name in list(headers):
        lower = name.lower()
        if lower not in owned:
            kept.add(lower)
        elif name in headers:  # a mapping that itself ignores case may have dropped both with the first
            del headers[name]
    for name, value in fields.items():
        if name not in kept:
            headers[name] = value
