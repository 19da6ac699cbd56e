"""Unix sockets: bound in a folder of ours, readable by us alone, asked by nobody else.

Linux and macOS; where the system does not tell the user of the other side,
the modes of folder and socket are what keeps others out.
"""

from __future__ import annotations

import errno
import os
import socket
import stat
import struct
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

__all__ = ["bind_unix", "may_ask", "peer_uid", "remove_unix"]

_LOCK_S = 1.0
_PROBE_S = 0.2
_UCRED = struct.Struct("3i")  # pid, uid, gid
_SOL_LOCAL, _LOCAL_PEERCRED = 0, 1  # <sys/un.h> of macOS and FreeBSD
_XUCRED = struct.Struct("=2I")  # its version, then the uid; more follows

Identity = tuple[int, int]


def bind_unix(path: str | os.PathLike[str]) -> tuple[socket.socket, Path, Identity]:
    """Listen on a socket file; in a folder, on ``monkit-<pid>.sock`` in it.

    The folder is made if it is missing (not those above it). A socket that
    is there already is removed if it is ours and nobody answers on it.

    Returns:
        The listener, the path of the file, and what it can be told by.

    Raises:
        PermissionError: others can write to the folder, or the file is not ours.
        OSError: somebody listens there, it is no socket, or it cannot be made.
    """
    if not hasattr(socket, "AF_UNIX"):
        raise OSError(errno.EAFNOSUPPORT, "this system has no Unix sockets")
    wanted = Path(os.path.abspath(path))
    if wanted.is_dir() or os.fspath(path).endswith(os.sep):
        wanted /= f"monkit-{os.getpid()}.sock"
    folder = _private_folder(wanted.parent)
    place = folder / wanted.name
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with _locked(folder):
            _remove_stale(place)
            listener.bind(os.fspath(place))
            os.chmod(place, 0o600)  # before it listens: until then nobody can connect
            listener.listen(128)
        listener.setblocking(False)
        return listener, place, _identity(os.lstat(place))
    except BaseException:
        listener.close()
        raise


def remove_unix(place: Path, identity: Identity, owner_pid: int) -> None:
    """Remove the file of a socket, if it is still that one; a child of fork leaves it to its parent."""
    if os.getpid() != owner_pid:
        return
    with suppress(OSError):
        if _identity(os.lstat(place)) == identity:
            os.unlink(place)


def _identity(found: os.stat_result) -> Identity:
    return found.st_dev, found.st_ino


def _private_folder(folder: Path) -> Path:
    """The folder, made if it is missing, by its real path."""
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    real = folder.resolve(strict=True)
    found = os.stat(real)
    if found.st_uid not in (os.geteuid(), 0):
        raise PermissionError(
            errno.EPERM, f"the folder of a socket must be ours, it is of user {found.st_uid}", str(real)
        )
    if found.st_mode & 0o022:
        words = "the folder of a socket must not be writable by others; make it mode 0700"
        raise PermissionError(errno.EPERM, words, str(real))
    return real


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Keep other processes from making or removing sockets here meanwhile."""
    import fcntl  # not on Windows

    handle = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        deadline = time.monotonic() + _LOCK_S
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise
                time.sleep(0.005)
        yield
        fcntl.flock(handle, fcntl.LOCK_UN)  # a child that was forked meanwhile would hold it for as long as it lives
    finally:
        os.close(handle)


def _remove_stale(place: Path) -> None:
    try:
        found = os.lstat(place)
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise FileExistsError(errno.EEXIST, "this is no socket", str(place))
    if found.st_uid != os.geteuid():
        raise PermissionError(errno.EPERM, f"this socket is of user {found.st_uid}", str(place))
    if _somebody_answers(place):
        raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE), str(place))
    os.unlink(place)


def _somebody_answers(place: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(_PROBE_S)
        try:
            probe.connect(os.fspath(place))
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except OSError:  # such as a queue that is full: somebody is there
            return True
        return True


def may_ask(connection: socket.socket) -> bool:
    """Whether the other side runs as our user, as far as the system tells."""
    try:
        uid = peer_uid(connection)
    except OSError:
        return False
    return uid is None or uid == os.geteuid()


def peer_uid(connection: socket.socket) -> int | None:
    """The user that the other side ran as when it connected; ``None`` where the system does not tell.

    Raises:
        OSError: it should tell and does not.
    """
    if sys.platform == "linux":
        _, uid, _ = _UCRED.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
        return int(uid)
    if sys.platform == "darwin" or sys.platform.startswith("freebsd"):
        _, uid = _XUCRED.unpack_from(connection.getsockopt(_SOL_LOCAL, _LOCAL_PEERCRED, 128))
        return int(uid)
    return None
