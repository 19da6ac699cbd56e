"""The hot path behind one face.

Everything else takes `start`, `finish` and the wrappers from here, never
from the module that implements them.
"""

from monkit_core.engine.pure import (
    Recorder,
    finish,
    monitor_async_generator,
    monitor_coroutine,
    monitor_function,
    monitor_generator,
    start,
)

__all__ = [
    "Recorder",
    "finish",
    "monitor_async_generator",
    "monitor_coroutine",
    "monitor_function",
    "monitor_generator",
    "name",
    "start",
]

name = "pure"
"""Which engine runs."""
