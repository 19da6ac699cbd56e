"""Routes: which address a path leads to."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from monkit_present.pages import Address, Page, addresses

__all__ = ["Routes"]

_READING = ("GET", "HEAD")


class Routes:
    """The addresses of a table of pages.

    A path that is in the table wins over one with a variable, so a function
    that is called ``json`` is found below ``/funcs/json/text``.

    Args:
        pages: the table.
    """

    def __init__(self, pages: Iterable[Page[Any]]) -> None:
        self._places: dict[str, Address] = {}
        self._variable: list[tuple[str, str, dict[str, Address]]] = []
        for page in pages:
            found = addresses(page)
            if page.variable is None:
                self._places.update((place.path, place) for place in found)
            else:
                prefix = page.path.rpartition("{")[0]
                ends = {place.path.removeprefix(page.path).removeprefix("/"): place for place in found}
                self._variable.append((prefix, page.variable.name, ends))

    def find(self, path: str) -> tuple[Address, dict[str, str]] | None:
        """The address at *path*, and the text of the variable in it; ``None`` if there is none."""
        place = self._places.get(path)
        if place is not None:
            return place, {}
        for prefix, name, ends in self._variable:
            if not path.startswith(prefix) or len(path) == len(prefix):
                continue
            rest = path[len(prefix) :]
            text, _, end = rest.rpartition("/")
            if text and end in ends:
                return ends[end], {name: text}
            if "" in ends:
                return ends[""], {name: rest}
        return None

    def methods(self, path: str) -> tuple[str, ...]:
        """What may be asked of *path*."""
        found = self.find(path)
        return _READING if found is None else found[0].methods

    def is_document(self, path: str) -> bool:
        """Whether a link on another site may open *path*."""
        found = self.find(path)
        return found is not None and found[0].is_document
