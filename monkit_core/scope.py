"""Scopes: a named home for series and functions, one per module."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar, overload

from monkit_core.cardinality import BoundedSeries, SeriesLimit
from monkit_core.chain import Chained
from monkit_core.func import Func
from monkit_core.locks import LOCK
from monkit_core.meters import Counter, DiffMeter, Gauge, Meter, Timer
from monkit_core.raw import Aggregation, RawVal
from monkit_core.series import Series, SeriesKey, SeriesSource, StatSource, TypedSeries, grouped, make_tags
from monkit_core.span import Live
from monkit_core.structs import StructVal
from monkit_core.task import Task, monitor
from monkit_core.text import name_of
from monkit_core.values import BoolVal, DurationVal, FloatVal, IntVal

__all__ = ["Scope"]

S = TypeVar("S", bound=SeriesSource)
F = TypeVar("F", bound=Callable[..., Any])
TagMap = Mapping[str, object] | None

_OVERFLOW = ("total",)
_OVERFLOW_FIELDS = frozenset(_OVERFLOW)


class Scope(SeriesSource):
    """Makes and keeps the series and functions of one name.

    Every accessor gets what is there or makes it. Keywords are tags, and so is
    ``tags={...}`` for keys that are no identifiers; values are turned into text.

    All accessors raise `ValueError` for a tag that the engine sets itself and
    `TypeError` where the name and tags are those of another kind of source.
    """

    def __init__(self, live: Live, name: str, limit: SeriesLimit) -> None:
        self.name = name_of(name)
        self._live = live
        self._sources: BoundedSeries[SeriesSource] = BoundedSeries(limit)
        self._funcs: BoundedSeries[Func] = BoundedSeries(limit)
        self._chained: tuple[Chained, ...] = ()

    def _source(
        self, kind: type[S], name: str, tags: TagMap, keywords: Mapping[str, object], make: Callable[[SeriesKey], S]
    ) -> S:
        source = self._sources.get(
            name_of(name),
            make_tags(tags, keywords),
            kind,
            lambda name, tags: make(SeriesKey(name, [*tags, ("scope", self.name)])),
        )
        if type(source) is not kind:
            raise TypeError(
                f"{name!r} in scope {self.name!r} is a {type(source).__name__} already; "
                f"a {kind.__name__} needs another name or other tags"
            )
        return source

    def counter(self, name: str, /, *, tags: TagMap = None, **keywords: object) -> Counter:
        """A number that goes up and down."""
        return self._source(Counter, name, tags, keywords, Counter)

    def gauge(self, name: str, read: Callable[[], float], /, *, tags: TagMap = None, **keywords: object) -> Gauge:
        """A number that *read* gives when somebody looks; replaces the function of an earlier gauge of the name."""
        gauge = self._source(Gauge, name, tags, keywords, lambda key: Gauge(key, read))
        gauge.read = read
        return gauge

    def meter(self, name: str, /, *, tags: TagMap = None, **keywords: object) -> Meter:
        """How many, and how many a second."""
        return self._source(Meter, name, tags, keywords, Meter)

    def event(self, name: str, /, *, tags: TagMap = None, **keywords: object) -> None:
        """Mark a meter by one."""
        self._source(Meter, name, tags, keywords, Meter).mark(1)

    def diff_meter(
        self, name: str, meter1: Meter, meter2: Meter, /, *, tags: TagMap = None, **keywords: object
    ) -> DiffMeter:
        """The difference of two meters, *meter1* less *meter2*."""
        return self._source(DiffMeter, name, tags, keywords, lambda key: DiffMeter(key, meter1, meter2))

    def timer(self, name: str, /, *, tags: TagMap = None, **keywords: object) -> Timer:
        """Durations of blocks: ``with scope.timer("decode"): ...``."""
        return self._source(Timer, name, tags, keywords, Timer)

    def int_val(self, name: str, /, *, tags: TagMap = None, **keywords: object) -> IntVal:
        """Whole numbers, with quantiles."""
        return self._source(IntVal, name, tags, keywords, IntVal)

    def float_val(self, name: str, /, *, tags: TagMap = None, **keywords: object) -> FloatVal:
        """Floating-point numbers, with quantiles."""
        return self._source(FloatVal, name, tags, keywords, FloatVal)

    def bool_val(self, name: str, /, *, tags: TagMap = None, **keywords: object) -> BoolVal:
        """Booleans: how often true and false."""
        return self._source(BoolVal, name, tags, keywords, BoolVal)

    def duration_val(self, name: str, /, *, tags: TagMap = None, **keywords: object) -> DurationVal:
        """Durations (seconds or `timedelta`), with quantiles."""
        return self._source(DurationVal, name, tags, keywords, DurationVal)

    def struct_val(self, name: str, /, *, tags: TagMap = None, **keywords: object) -> StructVal:
        """The latest of some objects, a field per number in it."""
        return self._source(StructVal, name, tags, keywords, StructVal)

    def raw_val(
        self, name: str, /, *aggregations: Callable[[], Aggregation], tags: TagMap = None, **keywords: object
    ) -> RawVal:
        """The latest of some numbers, with what *aggregations* (such as ``Count``, ``Sum``) make of all of them."""
        return self._source(RawVal, name, tags, keywords, lambda key: RawVal(key, *aggregations))

    def func(self, name: str, /, *, tags: TagMap = None, **keywords: object) -> Func:
        """The record of a function. Functions have names of their own and never clash with metrics."""
        return self._funcs.get(
            name_of(name), make_tags(tags, keywords), Func, lambda name, tags: Func(self._live, self.name, name, tags)
        )

    @overload
    def task(self, function: F, /) -> F: ...

    @overload
    def task(
        self,
        name: str | None = None,
        /,
        *,
        args: Iterable[str] | Mapping[str, object] = (),
        tags: TagMap = None,
        **keywords: object,
    ) -> Task: ...

    def task(
        self,
        name: str | Callable[..., Any] | None = None,
        /,
        *,
        args: Iterable[str] | Mapping[str, object] = (),
        tags: TagMap = None,
        **keywords: object,
    ) -> Any:
        """Monitor a function, a coroutine function, a method or a block.

        ``@scope.task``, ``@scope.task(args=("user_id",), tier="edge")``,
        ``scope.task("name")(callable_without_a_name)``,
        ``with scope.task("name"):`` and ``async with scope.task("name"):``.

        Args:
            name: the function to monitor, or a name instead of the function's own.
            args: parameters to record on the span; of a block a mapping of values.
            tags: tags that make a series of their own.
            **keywords: tags too.

        Raises:
            TypeError: what is declared cannot be monitored; says why.
        """
        sorted_tags = make_tags(tags, keywords)
        if name is None or isinstance(name, str):
            return Task(self, name, args, sorted_tags)
        if args or sorted_tags:
            raise TypeError("write @mon.task(args=…, tag=…) above the function, or mon.task(…)(function)")
        return monitor(self, name, None, (), ())

    def chain(self, source: StatSource, /) -> None:
        """Show the figures of *source* too, tagged with this scope; the same object again does nothing.

        A source that raises is reported once and never breaks the page.

        Raises:
            TypeError: *source* has no ``stats()``.
        """
        if not callable(getattr(source, "stats", None)):
            raise TypeError(f"a source has a method stats(), found {type(source).__name__} without it")
        with LOCK:
            if all(chained.source is not source for chained in self._chained):
                self._chained = (*self._chained, Chained(source, self.name, len(self._chained) + 1))

    def funcs(self) -> list[Func]:
        """Functions in the order of their names and tags."""
        return self._funcs.sorted()

    def series(self) -> Iterator[Series]:
        """Metrics in the order of their names and tags, functions, sources as they were chained, overflows.

        ``series_overflow total`` says how often a set of tags beyond the limit of a name was asked for.
        """
        for source in self._sources.sorted():
            yield from source.series()
        for func in self.funcs():
            yield from func.series()
        for chained in self._chained:
            yield from grouped(chained.stats())
        yield from self._overflows()

    def typed_series(self) -> Iterator[TypedSeries]:
        """See `SeriesSource`; in the order of `series`."""
        for source in self._sources.sorted():
            yield from source.typed_series()
        for func in self.funcs():
            yield from func.typed_series()
        for chained in self._chained:
            yield from chained.typed_series()
        yield from (TypedSeries(row, _OVERFLOW_FIELDS) for row in self._overflows())

    def _overflows(self) -> Iterator[Series]:
        for kind, series in (("metric", self._sources), ("function", self._funcs)):
            for name, count in sorted(series.overflowed.copy().items()):
                key = SeriesKey("series_overflow", [("kind", kind), ("name", name), ("scope", self.name)])
                yield key, _OVERFLOW, (float(count),)

    def __repr__(self) -> str:
        return f"<Scope {self.name}>"
