"""The engine's one lock, taken for rare structural changes and by readers.

One lock for all of it keeps two promises cheaply: nothing can be taken in the
wrong order, and a forked child finds it free. It is re-entrant, because a
finaliser or a signal handler may use a metric while its own thread holds it,
and no code of a user runs under it. A monitored call never waits for it.
"""

from __future__ import annotations

import os
import threading

__all__ = ["LOCK"]

LOCK = threading.RLock()

if hasattr(os, "register_at_fork"):
    # Held across the fork, so the child never inherits it from a thread that it does not have.
    os.register_at_fork(before=LOCK.acquire, after_in_parent=LOCK.release, after_in_child=LOCK.release)
