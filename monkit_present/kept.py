"""Kept: what is made again only when what it is made of has changed."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any, TypeVar

__all__ = ["Kept"]

_MOST = 20_000

T = TypeVar("T")


class Kept:
    """Parts of pages by name, the latest used ones. To be used in one thread."""

    def __init__(self, most: int = _MOST) -> None:
        self._most = most
        self._values: OrderedDict[str, tuple[object, Any]] = OrderedDict()

    def value(self, name: str, made_of: object, make: Callable[[], T]) -> T:
        """What is called *name*, as *make* makes it out of *made_of*."""
        found = self._values.get(name)
        if found is None or found[0] != made_of:
            found = self._values[name] = (made_of, make())
            if len(self._values) > self._most:
                self._values.popitem(last=False)
        self._values.move_to_end(name)
        made: T = found[1]
        return made
