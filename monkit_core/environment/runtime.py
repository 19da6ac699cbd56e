"""What the interpreter knows of this process: threads, garbage collection, memory, event loops."""

from __future__ import annotations

import gc
import os
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

from monkit_core.clock import monotonic_ns
from monkit_core.distribution import Distribution
from monkit_core.environment.source import Fields
from monkit_core.locks import LOCK

__all__ = [
    "GARBAGE_GROWING",
    "event_loops",
    "garbage",
    "gc_pauses",
    "make_pause_callback",
    "memory",
    "open_tasks",
    "pauses",
    "threads",
    "watch_pauses",
]

Callback = Callable[[str, dict[str, int]], None]

GARBAGE_GROWING = frozenset({"collections", "collected", "uncollectable"})

gc_pauses = Distribution(integral=True, scale=1e9)
"""How long collections took, of all that were watched."""

_collected_before_fork: list[dict[str, int]] = []


def _generations() -> list[dict[str, int]]:
    get_stats = getattr(gc, "get_stats", None)
    stats = get_stats() if get_stats is not None else []
    return stats if isinstance(stats, list) else []  # other interpreters than CPython give other things


def _restart() -> None:
    """The figures of a forked child are its own."""
    global _collected_before_fork
    _collected_before_fork = _generations()
    gc_pauses.reset()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_restart)


def threads() -> Iterator[tuple[str, float]]:
    """``count`` of running threads that Python knows of."""
    yield "count", float(threading.active_count())


def garbage(generation: int) -> Iterator[tuple[str, float]]:
    """``collections`` of a generation, objects ``collected`` and ``uncollectable``, since the process began."""
    for found in _generations()[generation : generation + 1]:
        before = _collected_before_fork[generation] if _collected_before_fork else {}
        for field in ("collections", "collected", "uncollectable"):
            yield field, float(found[field] - before.get(field, 0))


def make_pause_callback(observe: Callable[[int], None], now_ns: Callable[[], int] = monotonic_ns) -> Callback:
    """A callback for ``gc.callbacks`` that observes each collection once, in nanoseconds.

    It makes no object that the collector tracks. Collections never nest, so one start is all there is to
    remember. Everything it uses is bound here, because the last collections of a process run when modules are
    being emptied.
    """
    start_ns = 0

    def watch(phase: str, info: dict[str, int]) -> None:
        nonlocal start_ns
        try:
            if phase == "start":
                start_ns = now_ns()
            elif start_ns:  # else watching began in the middle of a collection
                began_ns, start_ns = start_ns, 0
                observe(now_ns() - began_ns)
        except (RecursionError, MemoryError):  # the program's doing: this one goes unseen
            start_ns = 0

    return watch


_watch = make_pause_callback(gc_pauses.observe)


def watch_pauses() -> None:
    """Observe collections from now on; again does nothing."""
    with LOCK:
        if _watch not in gc.callbacks:
            gc.callbacks.append(_watch)


def pauses() -> Fields:
    """The fields of a duration: how long the program stood still for each collection, in seconds."""
    return gc_pauses.fields()


def memory() -> Iterator[tuple[str, float]]:
    """``allocated_blocks``; while ``tracemalloc`` is on also ``traced_bytes`` and ``traced_peak_bytes``."""
    allocated_blocks = getattr(sys, "getallocatedblocks", None)
    if allocated_blocks is not None:
        yield "allocated_blocks", float(allocated_blocks())
    try:
        import tracemalloc  # not in every interpreter
    except ImportError:
        return
    if tracemalloc.is_tracing():
        current, peak = tracemalloc.get_traced_memory()
        yield "traced_bytes", float(current)
        yield "traced_peak_bytes", float(peak)


def event_loops() -> Iterator[tuple[str, float]]:
    """``loops`` that have tasks, and ``tasks`` that are not done.

    Left out in a program that does not use asyncio, and where `open_tasks` cannot tell.
    """
    tasks = open_tasks(sys.modules.get("asyncio.tasks"))
    if tasks is not None:
        yield "loops", float(len({id(task.get_loop()) for task in tasks}))
        yield "tasks", float(len(tasks))


def open_tasks(module: Any) -> list[Any] | None:
    """Tasks of all loops that are not done; ``None`` if they cannot be told from another thread.

    ``asyncio.all_tasks`` asks for a loop, and loops cannot be listed. Up to 3.13 the module keeps all tasks in
    sets, `_all_tasks` or, since 3.12, `_scheduled_tasks` and `_eager_tasks`; copying a set is one step under the
    interpreter lock. Since 3.14 the interpreter keeps tasks in lists of its own, and ``all_tasks`` is native.

    Args:
        module: ``asyncio.tasks``, or ``None`` where it was not imported.
    """
    listing = getattr(module, "all_tasks", None)
    if listing is None or getattr(listing, "__module__", None) != module.__name__:
        return None
    weak = getattr(module, "_all_tasks", None)
    if weak is None:
        weak = getattr(module, "_scheduled_tasks", None)
    references = getattr(weak, "data", None)  # iterating the weak set itself runs Python code between two steps
    if not isinstance(references, set):
        return None
    found = {reference() for reference in references.copy()} | getattr(module, "_eager_tasks", set()).copy()
    return [task for task in found if task is not None and not task.done() and not task.get_loop().is_closed()]
