"""What the operating system knows of this process.

Parsers take text; the functions without an argument read. Whatever a platform
does not have is left out, never an error.

Series and fields follow ``environment`` of the original, whose parser loses
``proc_stat`` when the name of the process holds a space.
"""

from __future__ import annotations

import functools
import os
import sys
from binascii import crc32
from collections.abc import Callable, Iterator
from typing import Any

from monkit_core.clock import NS_PER_S, monotonic_ns
from monkit_core.environment.source import Fields

__all__ = [
    "RUSAGE_GROWING",
    "STAT_GROWING",
    "open_files",
    "parse_stat",
    "parse_statm",
    "proc_stat",
    "proc_statm",
    "process",
    "process_age",
    "program_crc",
    "program_file",
    "rusage",
    "rusage_fields",
]

STAT_FIELDS = (
    *("Pid", "State", "Ppid", "Pgrp", "Session", "TtyNr", "Tpgid", "Flags", "Minflt", "Cminflt", "Majflt", "Cmajflt"),
    *("Utime", "Stime", "Cutime", "Cstime", "Priority", "Nice", "NumThreads", "Itrealvalue", "Starttime", "Vsize"),
    *("Rss", "Rsslim", "Startcode", "Endcode", "Startstack", "Kstkesp", "Kstkeip", "Signal", "Blocked", "Sigignore"),
    *("Sigcatch", "Wchan", "Nswap", "Cnswap", "ExitSignal", "Processor", "RtPriority", "Policy"),
    *("DelayAcctBlkioTicks", "GuestTime", "CguestTime"),
)
STATM_FIELDS = ("Size", "Resident", "Share", "Text", "Lib", "Data", "Dt")
RUSAGE_FIELDS = (
    *("Maxrss", "Ixrss", "Idrss", "Isrss", "Minflt", "Majflt", "Nswap"),
    *("Inblock", "Oublock", "Msgsnd", "Msgrcv", "Nsignals", "Nvcsw", "Nivcsw"),
)
RUSAGE_GROWING = frozenset({"Minflt", "Majflt", "Inblock", "Oublock", "Nvcsw", "Nivcsw"})
STAT_GROWING = frozenset({"Minflt", "Cminflt", "Majflt", "Cmajflt", "Utime", "Stime", "Cutime", "Cstime"})
_FILE_FOLDERS = ("/proc/self/fd", "/dev/fd")
_BLOCK_BYTES = 1 << 18

_loaded_ns = monotonic_ns()


def _restart() -> None:
    global _loaded_ns
    _loaded_ns = monotonic_ns()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_restart)


def _read_text(path: str) -> str:
    """What stands in a file of ``/proc``; nothing where there is none."""
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def process() -> Iterator[tuple[str, float]]:
    """``control`` (1, to be summed up over processes), ``crc`` of the main program, ``uptime`` in seconds."""
    yield "control", 1.0
    crc = program_crc()
    if crc is not None:
        yield "crc", float(crc)
    yield "uptime", _uptime()


@functools.cache
def program_crc() -> int | None:
    """CRC-32 of the main program's file, read once in the life of the process; ``None`` without a file."""
    path = program_file(getattr(sys.modules.get("__main__"), "__file__", None), sys.executable)
    if path is None:
        return None
    crc = 0
    try:
        with open(path, "rb") as file:
            while block := file.read(_BLOCK_BYTES):
                crc = crc32(block, crc)
    except OSError:
        return None
    return crc


def program_file(main_file: object, interpreter: str | None) -> str | None:
    """Which file is the program: the script, the zip it stands in, or else the interpreter.

    Args:
        main_file: ``__file__`` of the module ``__main__``, if it has one.
        interpreter: path of the interpreter, which in a frozen program is the program.
    """
    script = main_file if isinstance(main_file, str) else ""
    paths = (script, os.path.dirname(script), interpreter or "")
    return next((path for path in paths if os.path.isfile(path)), None)


def _uptime() -> float:
    """Seconds since the process began; at least those since this module was loaded or the process forked.

    The floor holds where ``/proc`` is missing or mixes the clocks of a container and its host.
    """
    since_loaded = (monotonic_ns() - _loaded_ns) / NS_PER_S
    age = process_age(_read_text("/proc/self/stat"), _read_text("/proc/uptime"), _ticks_per_s())
    return since_loaded if age is None else max(age, since_loaded)


def _ticks_per_s() -> int:
    sysconf: Callable[[str], int] | None = getattr(os, "sysconf", None)
    return sysconf("SC_CLK_TCK") if sysconf is not None else 0


def process_age(stat: str, uptime: str, ticks_per_s: int) -> float | None:
    """Seconds since a process began, ``None`` if the texts do not tell.

    Args:
        stat: text of its ``/proc/<pid>/stat``.
        uptime: text of ``/proc/uptime``.
        ticks_per_s: the unit of times in *stat*.
    """
    started = parse_stat(stat).get("Starttime")
    try:
        now_s = float(uptime.split(maxsplit=1)[0])
    except (ValueError, IndexError):
        return None
    return now_s - started / ticks_per_s if started is not None and ticks_per_s > 0 else None


def open_files() -> Iterator[tuple[str, float]]:
    """``count`` of open file descriptors, without the one that listing them takes."""
    for folder in _FILE_FOLDERS:
        try:
            yield "count", float(len(os.listdir(folder)) - 1)
        except OSError:
            continue
        return


def rusage() -> Fields:
    """What the process has used so far, from ``getrusage``."""
    try:
        import resource  # not on every platform
    except ImportError:
        return ()
    return rusage_fields(resource.getrusage(resource.RUSAGE_SELF))


def rusage_fields(usage: Any) -> Iterator[tuple[str, float]]:
    """The fields of a ``struct_rusage``; times as whole seconds and the microseconds beside them."""
    for field, seconds in (("Utime", usage.ru_utime), ("Stime", usage.ru_stime)):
        whole, micros = divmod(round(seconds * 1e6), 1_000_000)
        yield f"{field}.Sec", float(whole)
        yield f"{field}.Usec", float(micros)
    for field in RUSAGE_FIELDS:
        yield field, float(getattr(usage, f"ru_{field.lower()}"))


def proc_stat() -> Fields:
    """The fields of ``/proc/self/stat``."""
    return parse_stat(_read_text("/proc/self/stat")).items()


def parse_stat(text: str) -> dict[str, float]:
    """Read ``/proc/<pid>/stat``: numbers, and the state as the code of its letter.

    The name of the process, which is left out, stands in parentheses and may
    itself hold spaces, parentheses and newlines: it ends at the last one.
    """
    pid, _, rest = text.partition(" (")
    _, parenthesis, behind = rest.rpartition(")")
    numbers = behind.split()
    if not parenthesis or not numbers:
        return {}
    return _numbers(STAT_FIELDS, [pid, str(ord(numbers[0][0])), *numbers[1:]])


def proc_statm() -> Fields:
    """The fields of ``/proc/self/statm``, in pages of memory."""
    return parse_statm(_read_text("/proc/self/statm")).items()


def parse_statm(text: str) -> dict[str, float]:
    """Read ``/proc/<pid>/statm``."""
    return _numbers(STATM_FIELDS, text.split())


def _numbers(fields: tuple[str, ...], values: list[str]) -> dict[str, float]:
    """Fields by their values, as far as there are both; none of them if one is no number."""
    try:
        return {field: float(value) for field, value in zip(fields, values, strict=False)}
    except ValueError:
        return {}
