"""The hot path behind one face.

Everything else takes `start`, `finish` and the two wrappers from here, never
from the module that implements them.
"""

from monkit_core.engine.pure import Recorder, finish, monitor_coroutine, monitor_function, start

__all__ = ["Recorder", "finish", "monitor_coroutine", "monitor_function", "name", "start"]

name = "pure"
"""Which engine runs."""
