"""The program ``dot`` of Graphviz, held on a short lead: one at a time, with limits, and nothing of ours in its hands.

It is started without a shell and gets its text by standard input, an
environment of two variables, and limits of time and memory.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import threading
from contextlib import suppress
from dataclasses import dataclass

try:
    import resource
except ImportError:  # not on Windows
    resource = None  # type: ignore[assignment]

__all__ = ["LIMITS", "DotFailed", "DotLimits", "find_dot", "run_dot"]

_ONE = threading.Lock()


def _renew() -> None:
    global _ONE
    _ONE = threading.Lock()


if hasattr(os, "register_at_fork"):  # else a fork in the middle of a run would leave it locked in the child for good
    os.register_at_fork(after_in_child=_renew)


class DotFailed(Exception):
    """It gave no answer; the message says why."""


@dataclass(frozen=True, slots=True)
class DotLimits:
    """What it is held to.

    Attributes:
        seconds: until it is killed; also how long one waits for its turn.
        memory_bytes: of address space, on Linux.
    """

    seconds: float = 5.0
    memory_bytes: int = 1 << 30


LIMITS = DotLimits()


def find_dot() -> str | None:
    """Its path, or ``None`` if it is not installed."""
    return shutil.which("dot")


def run_dot(program: str, text: str, limits: DotLimits = LIMITS) -> str:
    """Ask for places and curves in the format ``plain``. Blocks; call it in a thread.

    Args:
        program: its path.
        text: graphs in the DOT language.
        limits: what it is held to.

    Raises:
        DotFailed: it could not be started, was busy, or did not end well in time.
    """
    turn = _ONE
    if not turn.acquire(timeout=limits.seconds):
        raise DotFailed("dot was busy with other pictures")
    try:
        return _run(program, text, limits)
    except OSError as problem:
        raise DotFailed(f"dot could not be started: {problem.strerror}") from None
    finally:
        turn.release()


def _run(program: str, text: str, limits: DotLimits) -> str:
    environment = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"}
    with subprocess.Popen(
        [program, "-Tplain"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=os.sep,
        env=environment,
        encoding="ascii",
        errors="replace",
        start_new_session=True,
    ) as process:
        try:
            _limit(process.pid, limits)
            answer, _ = process.communicate(text, limits.seconds)
        except subprocess.TimeoutExpired:
            raise DotFailed(f"dot took more than {limits.seconds:g} s") from None
        finally:
            if process.poll() is None:
                _kill(process)
    if process.returncode:
        raise DotFailed(f"dot ended with status {process.returncode}")
    return answer


def _limit(pid: int, limits: DotLimits) -> None:
    """Bound its memory and its time of the processor; it has read nothing yet."""
    if resource is None or not hasattr(resource, "prlimit"):
        return
    seconds = int(limits.seconds) + 1
    with suppress(OSError, ValueError):  # it has ended already, or may have less anyway
        resource.prlimit(pid, resource.RLIMIT_AS, (limits.memory_bytes, limits.memory_bytes))
        resource.prlimit(pid, resource.RLIMIT_CPU, (seconds, seconds))


def _kill(process: subprocess.Popen[str]) -> None:
    """End it with all that it may have started, which would keep the pipes open."""
    with suppress(OSError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)  # its session is its own
        else:
            process.kill()
