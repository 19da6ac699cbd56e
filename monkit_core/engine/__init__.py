"""The hot path behind one face: compiled where it was built, else in plain Python.

Everything else takes what calls use and change from here, never from the
modules that implement it. ``MONKIT_ENGINE=pure`` or ``native`` in the
environment chooses; otherwise the compiled one is taken if it is there.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from monkit_core.engine.asyncgen import async_generator_monitor

__all__ = [
    "CURRENT",
    "MUTED",
    "CounterCore",
    "DistributionCore",
    "DurationValCore",
    "FloatValCore",
    "FuncCore",
    "IntValCore",
    "LiveCore",
    "MeterCore",
    "Span",
    "Trace",
    "finish",
    "monitor_async_generator",
    "monitor_coroutine",
    "monitor_function",
    "monitor_generator",
    "name",
    "start",
]


def _choose(wanted: str | None) -> str:
    """Which engine runs, by what the environment says.

    Raises:
        ImportError: the compiled one is asked for and is not there.
        ValueError: there is no such engine.
    """
    if wanted not in (None, "", "native", "pure"):
        raise ValueError(f"MONKIT_ENGINE is {wanted!r}; it can be 'native' or 'pure'")
    if wanted == "pure":
        return "pure"
    try:
        import monkit_core.engine.native  # noqa: F401
    except ImportError as problem:
        if wanted == "native":
            raise ImportError(f"MONKIT_ENGINE=native, but the compiled engine cannot be loaded: {problem}") from problem
        return "pure"
    return "native"


name = _choose(os.environ.get("MONKIT_ENGINE"))
"""Which engine runs: ``native`` or ``pure``."""

if TYPE_CHECKING or name == "pure":
    from monkit_core.engine.pure import (
        CURRENT,
        MUTED,
        CounterCore,
        DistributionCore,
        DurationValCore,
        FloatValCore,
        FuncCore,
        IntValCore,
        LiveCore,
        MeterCore,
        Span,
        Trace,
        finish,
        monitor_coroutine,
        monitor_function,
        monitor_generator,
        start,
    )
else:
    from monkit_core.engine.native import (
        CURRENT,
        MUTED,
        CounterCore,
        DistributionCore,
        DurationValCore,
        FloatValCore,
        FuncCore,
        IntValCore,
        LiveCore,
        MeterCore,
        Span,
        Trace,
        finish,
        monitor_coroutine,
        monitor_function,
        monitor_generator,
        start,
    )

monitor_async_generator = async_generator_monitor(start, finish, CURRENT)
