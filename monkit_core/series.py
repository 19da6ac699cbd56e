"""Series: the key of a time series, its tags and their escaping, and what a source of figures is.

The text form follows the line protocol of the original: measurement, then
tags in sorted order, then the field. It is escaped so that a line is always
one line and can be read back.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, ClassVar, NamedTuple, Protocol

from monkit_core.text import clean, name_of

if TYPE_CHECKING:
    from monkit_core.distribution import Distribution

__all__ = [
    "RESERVED_TAGS", "Series", "SeriesKey", "SeriesSource", "Stat", "StatSource", "Tags", "TypedSeries", "field_text",
    "grouped", "make_tags", "one_by_one",
]  # fmt: skip

Tags = tuple[tuple[str, str], ...]

RESERVED_TAGS = frozenset({"scope", "name", "kind", "error_name", "overflow", "quantile", "le"})

_MEASUREMENT = str.maketrans({"\\": "\\\\", "\n": "\\n", ",": "\\,", " ": "\\ "})
_PART = str.maketrans({"\\": "\\\\", "\n": "\\n", ",": "\\,", " ": "\\ ", "=": "\\="})


def make_tags(tags: Mapping[str, object] | None, keywords: Mapping[str, object]) -> Tags:
    """Sorted pairs of text out of the ``tags=`` and the keywords of an accessor.

    Raises:
        ValueError: a key is one of `RESERVED_TAGS`, which the engine sets itself.
    """
    if not tags and not keywords:
        return ()
    merged = {name_of(str(key)): name_of(str(value)) for key, value in {**(tags or {}), **keywords}.items()}
    refused = sorted(RESERVED_TAGS & merged.keys())
    if refused:
        raise ValueError(f"tag {refused[0]!r} is set by the engine; choose another key")
    return tuple(sorted(merged.items()))


def field_text(field: str) -> str:
    """A field as it is written behind a key."""
    return clean(field).translate(_PART)


class SeriesKey:
    r"""A measurement and its tags, an immutable value.

    >>> str(SeriesKey("requests", {"method": "GET", "host": "a b"}))
    'requests,host=a\\ b,method=GET'

    Follows ``SeriesKey`` of the original, which escapes neither backslash nor newline.
    """

    __slots__ = ("_text", "measurement", "tags")

    measurement: str
    tags: Tags

    def __init__(self, measurement: str, tags: Mapping[str, str] | Iterable[tuple[str, str]] = ()) -> None:
        self.measurement = name_of(measurement)
        pairs = dict(tags)
        self.tags = tuple(sorted((name_of(key), name_of(value)) for key, value in pairs.items())) if pairs else ()
        self._text: str | None = None

    def with_tag(self, key: str, value: str) -> SeriesKey:
        """This key with one more tag; the same tag again takes the new value."""
        key, value = name_of(key), name_of(value)
        made = SeriesKey(self.measurement)
        made.tags = tuple(sorted([*(pair for pair in self.tags if pair[0] != key), (key, value)]))
        return made

    def with_field(self, field: str) -> str:
        """The text of the key, a space, and the field."""
        return f"{self} {field_text(field)}"

    def __str__(self) -> str:
        if self._text is None:
            parts = [self.measurement.translate(_MEASUREMENT)]
            parts += [f"{key.translate(_PART)}={value.translate(_PART)}" for key, value in self.tags]
            self._text = ",".join(parts)
        return self._text

    def __repr__(self) -> str:
        return f"SeriesKey({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, SeriesKey):
            return NotImplemented
        return self.measurement == other.measurement and self.tags == other.tags

    def __hash__(self) -> int:
        return hash((self.measurement, self.tags))

    @classmethod
    def parse(cls, text: str) -> SeriesKey:
        """Read back what `str` wrote.

        Raises:
            ValueError: *text* is not the text of a key.
        """
        parts = _split(text, ",")
        pairs = [_split(part, "=") for part in parts[1:]]
        if any(len(pair) != 2 for pair in pairs):
            raise ValueError(f"each tag is key=value, found {text!r}")
        return cls(_unescape(parts[0]), [(_unescape(key), _unescape(value)) for key, value in pairs])


def _split(text: str, separator: str) -> list[str]:
    """Cut *text* at each separator that no backslash stands before."""
    parts, start, position = [], 0, 0
    while position < len(text):
        if text[position] == "\\":
            position += 2
            continue
        if text[position] == separator:
            parts.append(text[start:position])
            start = position + 1
        position += 1
    return [*parts, text[start:]]


def _unescape(text: str) -> str:
    result, characters = [], iter(text)
    for character in characters:
        if character == "\\":
            following = next(characters, "\\")
            result.append("\n" if following == "n" else following)
        else:
            result.append(character)
    return "".join(result)


class Stat(NamedTuple):
    """One figure: the series, its field, its value."""

    key: SeriesKey
    field: str
    value: float


class StatSource(Protocol):
    """Anything that yields figures: every metric, a scope, a registry, an object of your own."""

    def stats(self) -> Iterable[Stat]:
        """The figures as they are now, in a fixed order."""
        ...


Series = tuple[SeriesKey, tuple[str, ...], tuple[float, ...]]
"""All figures of a key, or some that stand together: the key, one field or more, and as many values."""


class TypedSeries(NamedTuple):
    """A series with what its source knows of it, for formats that tell kinds of figures apart.

    Attributes:
        series: the series.
        growing: the fields that only grow while the process lives.
        distribution: what its figures are of, if they are those of a distribution.
    """

    series: Series
    growing: frozenset[str] = frozenset()
    distribution: Distribution | None = None


class SeriesSource:
    """What is built in. It gives whole series, which cost a page a fraction of what its figures would one by one.

    Attributes:
        growing_fields: fields of its series that only grow while the process lives. Any source may have it.
    """

    __slots__ = ()

    growing_fields: ClassVar[frozenset[str]] = frozenset()

    def series(self) -> Iterable[Series]:
        """The series as they are now, in a fixed order."""
        raise NotImplementedError

    def typed_series(self) -> Iterator[TypedSeries]:
        """The same with what is known of them; costs a little more."""
        distribution: Distribution | None = getattr(self, "distribution", None)
        return (TypedSeries(row, self.growing_fields, distribution) for row in self.series())

    def stats(self) -> Iterator[Stat]:
        """The figures of `series`, one by one."""
        return one_by_one(self.series())


def one_by_one(rows: Iterable[Series]) -> Iterator[Stat]:
    """The figures of series."""
    for key, fields, values in rows:
        for field, value in zip(fields, values, strict=True):
            yield Stat(key, field, value)


def grouped(stats: Iterable[Stat]) -> Iterator[Series]:
    """Figures as series: those that follow each other under one key are one."""
    for key, run in groupby(stats, itemgetter(0)):
        _, fields, values = zip(*run, strict=True)
        yield key, fields, values
