"""Figures of the process, of the system about it and of the interpreter, as series of a registry.

```python
monkit.environment.register()
```

They are read when somebody looks and cost nothing until then, except for two
clock readings at each garbage collection. What a platform does not have is
left out.
"""

from __future__ import annotations

from functools import partial

from monkit_core.environment import process, runtime
from monkit_core.environment.source import Source
from monkit_core.registry import Registry, default_registry
from monkit_core.series import SeriesKey

__all__ = ["SCOPE", "SOURCES", "register"]

SCOPE = "monkit_core.environment"
"""Name of the scope that the series are in."""

SOURCES: tuple[Source, ...] = (
    Source(SeriesKey("process"), process.process),
    Source(SeriesKey("fds"), process.open_files),
    Source(SeriesKey("rusage"), process.rusage, process.RUSAGE_GROWING),
    Source(SeriesKey("proc_stat"), process.proc_stat, process.STAT_GROWING),
    Source(SeriesKey("proc_statm"), process.proc_statm),
    Source(SeriesKey("threads"), runtime.threads),
    Source(SeriesKey("gc", {"generation": "0"}), partial(runtime.garbage, 0), runtime.GARBAGE_GROWING),
    Source(SeriesKey("gc", {"generation": "1"}), partial(runtime.garbage, 1), runtime.GARBAGE_GROWING),
    Source(SeriesKey("gc", {"generation": "2"}), partial(runtime.garbage, 2), runtime.GARBAGE_GROWING),
    Source(SeriesKey("gc_pause"), runtime.pauses, distribution=runtime.gc_pauses),
    Source(SeriesKey("memory"), runtime.memory),
    Source(SeriesKey("asyncio"), runtime.event_loops),
)


def register(registry: Registry | None = None) -> None:
    """Put the environment's series into the scope `SCOPE` of a registry; again does nothing.

    From the first call on, pauses of the garbage collector are observed, once
    for all registries. The file of the main program is read here, so that its
    ``crc`` tells the program that runs and not one that replaced it since.

    Args:
        registry: the default registry if not given.
    """
    process.program_crc()
    runtime.watch_pauses()
    scope = (registry if registry is not None else default_registry).scope(SCOPE)
    for source in SOURCES:
        scope.chain(source)
