"""The lock that lets one process at a time use a file.

It is an advisory lock of the operating system on ``<file>.lock``: free as soon
as its holder is dead, however it died. A fork does not inherit it.
"""

from __future__ import annotations

import fcntl
import os
import weakref

from monkit_workflow.errors import StoreError

__all__ = ["FileLock"]

_held: weakref.WeakSet[FileLock] = weakref.WeakSet()


class FileLock:
    """An exclusive lock beside *path*, taken at once or refused.

    Raises:
        StoreError: somebody holds it; the message names the process.
    """

    def __init__(self, path: str) -> None:
        name = path + ".lock"
        try:
            self._fd = os.open(name, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise StoreError(f"cannot open the lock file {name}: {error.strerror}") from error
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(self._fd, 32, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(self._fd)
            raise StoreError(f"{path} is in use by process {holder}; one process at a time may open it") from error
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, b"%d\n" % os.getpid(), 0)
        _held.add(self)

    def release(self) -> None:
        """Let the next one have the file; the lock file stays, since removing it would race with its opening."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def _let_go_in_child() -> None:
    # The descriptor is shared with the parent: kept open, it would hold the lock after the parent's death.
    for lock in list(_held):
        lock.release()


os.register_at_fork(after_in_child=_let_go_in_child)
