"""Struct values: the latest of some objects, a field per number in it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from numbers import Real
from typing import Any

from monkit_core import faults
from monkit_core.series import Series, SeriesKey, SeriesSource
from monkit_core.text import name_of

__all__ = ["IGNORED", "StructVal"]

IGNORED: Mapping[str, object] = {"monkit": "ignore"}
"""Metadata of a field that is to be left out: ``field(metadata=monkit.IGNORED)``."""

_MOST_FIELDS = 1000
_MOST_LEVELS = 16
_MOST_LOOKS = 10_000
_NUMBERS = (int, float, Real)  # booleans are integers, numpy's numbers are registered as real


class StructVal(SeriesSource):
    """The latest dataclass, named tuple, attrs or pydantic object, or mapping.

    Its numbers and booleans are read when it is observed; those of nested
    objects are joined by dots. Text, ``None`` and everything else is left out,
    and so are fields marked with `IGNORED`. At most 1,000 fields, 16 levels deep,
    and no more than 10,000 attributes are looked at, whatever refers to what.
    """

    __slots__ = ("_figures", "key")

    def __init__(self, key: SeriesKey) -> None:
        self.key = key
        self._figures: dict[str, float] = {}

    def observe(self, value: object) -> None:
        """Take in one object; ``None`` is skipped. Never raises; what cannot be read is reported once."""
        if value is None:
            return
        try:
            figures: dict[str, float] = {}
            if not _flatten(value, "", _MOST_LEVELS, figures, iter(range(_MOST_LOOKS))):
                raise TypeError(f"an object with fields was expected, found {type(value).__name__}")
            self._figures = figures
        except Exception as problem:  # a user's object, of any kind
            faults.report(f"observing {self.key}", problem)

    def series(self) -> Iterable[Series]:
        """A field per number, in the order of the object's fields."""
        figures = self._figures
        return ((self.key, tuple(figures), tuple(figures.values())),) if figures else ()


def _flatten(value: object, prefix: str, levels: int, figures: dict[str, float], looks: Iterator[int]) -> bool:
    """Add the numbers in *value* to *figures*; false if it has no fields. Each attribute takes one of *looks*."""
    fields = _fields(value)
    if fields is None:
        return False
    for (name, item), _ in zip(fields, looks, strict=False):
        if len(figures) >= _MOST_FIELDS:
            break
        if isinstance(item, _NUMBERS):
            figures[name_of(prefix + name)] = _number(item)
        elif item is not None and levels > 1:
            _flatten(item, f"{prefix}{name}.", levels - 1, figures, looks)
    return True


def _number(item: Any) -> float:
    try:
        return float(item)
    except OverflowError:  # an integer beyond the range of floats
        return float("inf") if item > 0 else float("-inf")


def _fields(value: Any) -> Iterator[tuple[str, Any]] | None:
    """Names and values of an object of one of the kinds that are known, ``None`` of any other."""
    if isinstance(value, Mapping):
        return ((str(name), item) for name, item in value.items())
    kind = type(value)
    if dataclasses.is_dataclass(kind):
        return _unmarked(value, ((field.name, field.metadata) for field in dataclasses.fields(kind)))
    if hasattr(kind, "__attrs_attrs__"):
        return _unmarked(value, ((field.name, field.metadata) for field in kind.__attrs_attrs__))
    if hasattr(kind, "model_fields"):  # pydantic
        return _unmarked(value, ((name, field.json_schema_extra) for name, field in kind.model_fields.items()))
    if isinstance(value, tuple) and hasattr(kind, "_fields"):
        return zip(kind._fields, value, strict=True)
    return None


def _unmarked(value: object, fields: Iterable[tuple[str, object]]) -> Iterator[tuple[str, Any]]:
    """The *fields* of *value*, given with their metadata, that are not to be ignored."""
    for name, metadata in fields:
        if not (isinstance(metadata, Mapping) and metadata.get("monkit") == IGNORED["monkit"]):
            yield name, getattr(value, name, None)
