"""Registries: all state of what is measured. Scopes, live spans, watchers."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from copy import copy
from pathlib import PurePath
from typing import Any

from monkit_core.cardinality import MAX_SERIES, SeriesLimit
from monkit_core.func import Func
from monkit_core.locks import LOCK
from monkit_core.recent import RecentTrace
from monkit_core.scope import Scope
from monkit_core.series import Series, Stat, TypedSeries, grouped, one_by_one
from monkit_core.span import FuncFilter, Live, Span, SpanObserver, Trace, TraceFilter
from monkit_core.text import name_of
from monkit_core.transform import Transformer, transformed

__all__ = ["Registry", "default_registry", "package", "scope"]


class Registry:
    """Scopes and their figures, spans that run now, and who watches.

    Most programs have one, `default_registry`.

    Args:
        max_series: how many sets of tags a name may have in a scope; further ones share one
            series tagged ``overflow=true``. ``registry.limits.max_series`` changes it.
        recent: keep trees of finished calls for `recent_traces`; false saves their memory and a few nanoseconds
            a call.
    """

    def __init__(self, *, max_series: int = MAX_SERIES, recent: bool = True) -> None:
        self.live = Live(recent)
        self.limits = SeriesLimit(max_series)
        self._scopes: dict[str, Scope] = {}
        self._transformers: tuple[Transformer, ...] = ()

    def with_transformers(self, *transformers: Transformer) -> Registry:
        """A view on the same state whose `stats` pass through *transformers*, the one given last first.

        A view of a view has both, those of the first view last. A transformer
        that keeps something between readings is one consumer's own, and so is
        the view.
        """
        view = copy(self)
        view._transformers = (*self._transformers, *transformers)
        return view

    def scope(self, name: str) -> Scope:
        """The scope of this name."""
        name = name_of(name)
        found = self._scopes.get(name)
        if found is None:
            with LOCK:
                found = self._scopes.setdefault(name, Scope(self.live, name, self.limits))
        return found

    def package(self) -> Scope:
        """The scope named after the calling module; ``monkit.package`` says how."""
        return self.scope(_module_name(sys._getframe(1).f_globals))

    def scopes(self) -> list[Scope]:
        """Scopes in the order of their names."""
        return [found for _, found in sorted(self._scopes.copy().items())]

    def funcs(self) -> list[Func]:
        """All functions, in the order of scopes, names and tags."""
        return [func for found in self.scopes() for func in found.funcs()]

    def stats(self) -> Iterable[Stat]:
        """All figures, in the order of scopes; of a view as its transformers give them."""
        return transformed(one_by_one(self._series()), self._transformers)

    def series(self) -> Iterable[Series]:
        """The same as whole series, which is what pages and dumps read."""
        return grouped(self.stats()) if self._transformers else self._series()

    def typed_series(self) -> Iterator[TypedSeries]:
        """Those with what their sources know of them; of a view that is nothing, as its transformers may change all."""
        if self._transformers:
            return (TypedSeries(row) for row in self.series())
        return (typed for found in self.scopes() for typed in found.typed_series())

    def _series(self) -> Iterator[Series]:
        return (series for found in self.scopes() for series in found.series())

    def root_spans(self) -> list[Span]:
        """Spans that run now and have no running parent here, by start: roots, remote roots, orphans."""
        return _by_start([*self.live.roots, *self.live.orphans])

    def all_spans(self) -> Iterator[tuple[int, Span]]:
        """All spans that run now with their depth, parents before children, siblings by start."""
        waiting = [(0, span) for span in reversed(self.root_spans())]
        while waiting:
            depth, span = waiting.pop()
            yield depth, span
            waiting.extend((depth + 1, child) for child in reversed(_by_start(list(span.children))))

    def thread_spans(self) -> dict[int, Span]:
        """Of each thread that started spans which still run, the one that it started last.

        That is the current span of a thread which runs a call; in a thread with an event loop it is the latest of
        all its tasks, and the task's own context says which is whose. Keys are those of `sys._current_frames`.
        """
        latest: dict[int, Span] = {}
        for _, span in self.all_spans():
            known = latest.get(span.thread_id)
            if known is None or known.start_ns <= span.start_ns:
                latest[span.thread_id] = span
        return latest

    def observe_traces(self, callback: Callable[[Trace], object]) -> Callable[[], None]:
        """Call *callback* with every new trace; returns what ends that.

        A callback that raises is logged once, counted and dropped.
        """
        return self.live.observe_traces(callback)

    def recent_traces(self, func: Func | None = None) -> list[RecentTrace]:
        """Trees of calls that ended, of all functions or of *func*, the oldest first.

        Of each function at most one a second is kept for each class of latency and each error, and no more than
        ten alike; 1,000 trees and 16 MB in all.
        """
        return [] if self.live.recent is None else self.live.recent.traces(func)

    def observe_spans(
        self, observer: SpanObserver, funcs: FuncFilter | None = None, traces: TraceFilter | None = None
    ) -> Callable[[], None]:
        """Tell *observer* of every span of every trace; returns what ends that.

        Args:
            observer: is told.
            funcs: only of spans of functions that this accepts, known now or made later; calls of the others
                cost nothing then.
            traces: only of spans of traces that this accepts; *funcs* is not asked then.

        It may see a finish whose start it did not see. An observer that raises
        is logged once, counted and dropped.
        """
        return self.live.observe_spans(observer, funcs, traces)

    @property
    def watcher_count(self) -> int:
        """How many callbacks and observers watch this registry."""
        return len(self.live.observers) + len(self.live.trace_callbacks)


def _by_start(spans: list[Span]) -> list[Span]:
    spans.sort(key=lambda span: (span.start_ns, span.id))
    return spans


def _module_name(module: Mapping[str, Any]) -> str:
    """The name of a module by its globals; of the main program what a reader would call it."""
    name = module.get("__name__")
    if isinstance(name, str) and name != "__main__":
        return name
    spec_name = getattr(module.get("__spec__"), "name", None)
    if isinstance(spec_name, str) and spec_name != "__main__":
        return spec_name.removesuffix(".__main__")
    file = module.get("__file__")
    if not isinstance(file, str) or file.startswith("<"):  # "<stdin>"
        return "main"
    path = PurePath(file)
    return path.parent.stem if path.name == "__main__.py" and path.parent.name else path.stem


default_registry = Registry()
"""The registry of the program."""


def scope(name: str) -> Scope:
    """The scope of this name in the default registry."""
    return default_registry.scope(name)


def package() -> Scope:
    """The scope in the default registry that is named after the calling module.

    Of a program run as ``__main__``: ``-m pkg.mod`` gives ``pkg.mod``, ``-m
    pkg`` gives ``pkg``, a file its stem, a folder or zip its name, standard
    input or ``-c`` gives ``main``.
    """
    return default_registry.scope(_module_name(sys._getframe(1).f_globals))
