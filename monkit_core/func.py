"""Functions: what is known of one monitored function. Calls, errors, times, callers."""

from __future__ import annotations

from collections.abc import Iterator

from monkit_core import ids
from monkit_core.block import Block, RootBlock
from monkit_core.distribution import Distribution
from monkit_core.engine import FuncCore
from monkit_core.series import Series, SeriesKey, SeriesSource, Tags, TypedSeries
from monkit_core.span import Live, Trace, current_span

__all__ = ["Func"]

_CALLS = ("current", "highwater", "successes")
_ERROR = ("count",)
_FAILURES = ("errors", "panics", "failures", "total")


class Func(FuncCore, SeriesSource):
    """The record of one function.

    Attributes:
        id: 63 bits, the same in every process that has a function of this name and tags.
        scope_name: ``shop.orders``.
        short_name: ``Orders.create``.
        tags: pairs that make a series of their own.
        current: calls that run now.
        highwater: the most that ever ran at once.
        panics: calls that ended by a panic.
        success_times: distribution of nanoseconds; its count is the number of successes.
        failure_times: the same of errors and panics.
        errors: how many errors of each name, in the order of the names.
        callers: how many calls came from which function; ``None`` stands for outside.
        live: the live spans of its registry.
    """

    __slots__ = ("_error_keys", "_keys", "id", "scope_name", "short_name", "tags")

    growing_fields = frozenset({"successes", *_ERROR, *_FAILURES})

    def __init__(self, live: Live, scope_name: str, short_name: str, tags: Tags = ()) -> None:
        super().__init__(live, Distribution(integral=True, scale=1e9), Distribution(integral=True, scale=1e9))
        self.scope_name = scope_name
        self.short_name = short_name
        self.tags = tags
        self.id = ids.func_id(scope_name, short_name, tags)
        pairs = [*tags, ("name", short_name), ("scope", scope_name)]
        times = SeriesKey("function_times", pairs)
        self._keys = (
            SeriesKey("function", pairs),
            times.with_tag("kind", "success"),
            times.with_tag("kind", "failure"),
        )
        self._error_keys: dict[str, SeriesKey] = {}  # by error name
        live.add_func(self)

    @property
    def full_name(self) -> str:
        """Scope and short name, joined by a dot."""
        return f"{self.scope_name}.{self.short_name}"

    def reset_trace(self) -> Block:
        """A block of this function that starts a new trace, whatever is current."""
        return RootBlock(self, lambda: Trace(self.live), None)

    def remote_trace(self, parent_id: int | None, trace: Trace | int | None = None) -> Block:
        """A block of this function whose parent is a span of another process.

        Args:
            parent_id: id of the remote span, up to 64 bits.
            trace: the trace or its id (up to 128 bits); ``None`` takes the
                current trace, or a new one.
        """

        def choose() -> Trace:
            if isinstance(trace, Trace):
                return trace
            current = current_span()
            if trace is None and current is not None:
                return current.trace
            return Trace(self.live, trace)

        return RootBlock(self, choose, parent_id)

    def reset(self) -> None:
        """Forget figures and callers; calls that run now stay counted as running."""
        self.reset_counts()
        self._error_keys = {}
        self.success_times.reset()
        self.failure_times.reset()

    def series(self) -> Iterator[Series]:
        """Measurement ``function``, then ``function_times`` of successes and of failures."""
        counts, success_key, failure_key = self._keys
        success_fields, success = self.success_times.published()
        failure_fields, failure = self.failure_times.published()
        errors, panics, successes = self.errors, self.panics, success[0]
        error_count = sum(errors.values())
        failures = error_count + panics
        yield counts, _CALLS, (float(self.current), float(self.highwater), successes)
        for name, count in errors.items():
            yield self._error_key(name), _ERROR, (float(count),)
        yield counts, _FAILURES, (float(error_count), float(panics), float(failures), successes + failures)
        yield success_key, success_fields, success
        yield failure_key, failure_fields, failure

    def typed_series(self) -> Iterator[TypedSeries]:
        """See `SeriesSource`."""
        *counts, success, failure = self.series()
        yield from (TypedSeries(row, self.growing_fields) for row in counts)
        yield TypedSeries(success, distribution=self.success_times)
        yield TypedSeries(failure, distribution=self.failure_times)

    def _error_key(self, name: str) -> SeriesKey:
        key = self._error_keys.get(name)
        if key is None:
            key = self._error_keys[name] = self._keys[0].with_tag("error_name", name)
        return key

    def __repr__(self) -> str:
        return f"<Func {self.full_name}>"
