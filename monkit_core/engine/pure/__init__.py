"""The engine in plain Python, which is the specification and runs everywhere."""

from monkit_core.engine.pure.calls import (
    Recorder,
    finish,
    monitor_coroutine,
    monitor_function,
    monitor_generator,
    start,
)
from monkit_core.engine.pure.numbers import (
    CounterCore,
    DistributionCore,
    DurationValCore,
    FloatValCore,
    IntValCore,
    MeterCore,
)
from monkit_core.engine.pure.spans import CURRENT, MUTED, FuncCore, LiveCore, Span, Trace

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
    "Recorder",
    "Span",
    "Trace",
    "finish",
    "monitor_coroutine",
    "monitor_function",
    "monitor_generator",
    "start",
]
