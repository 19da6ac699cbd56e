"""Who called: whether a frame is the standard library, an installed package, monkit or a user's own code.

Files are told apart by where they lie. Everything here runs only for calls
that the guard has already caught, so it is written to be right, not fast.
"""

from __future__ import annotations

import os
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import FrameType
from typing import Any, Literal

import monkit_core
from monkit_workflow.guard_names import Rule

__all__ = ["Place", "is_own", "is_spared", "kind_of_file", "own", "place_of"]

Kind = Literal["stdlib", "installed", "monkit", "own"]

_INSTALLED_FOLDERS = frozenset(("site-packages", "dist-packages"))
_CONDUITS = frozenset(
    (
        *("bz2", "gzip", "lzma", "tarfile", "zipfile"),
        *("codecs", "configparser", "fileinput", "io", "os", "pathlib", "shutil", "tempfile", "tokenize"),
        *("random", "secrets", "uuid"),
    )
)
"""Modules of the standard library that read files or draw numbers for whoever called them."""
_ZONES = ("/usr/share/zoneinfo", "/usr/lib/zoneinfo", "/usr/share/lib/zoneinfo", "/etc/zoneinfo")
_READING = frozenset("rbtU")  # what a mode may consist of
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND

_owned: set[str] = set()


def own(module: str) -> None:
    """Count the top-level package of *module* as workflow code, wherever it is installed.

    For registration: a program that is deployed as a wheel lies among the
    installed packages, whose clock reads would go through.
    """
    package = module.partition(".")[0]
    if not package.startswith("monkit_"):
        _owned.add(package)


@dataclass(frozen=True, slots=True)
class Place:
    """Where in workflow code a call came from; ``through`` is the library's line that made it, if one did."""

    filename: str
    line: int
    through: str = ""

    def __str__(self) -> str:
        through = f", through {self.through}" if self.through else ""
        return f"{os.path.basename(self.filename)}:{self.line}{through}"


def _folders(*names: str) -> tuple[str, ...]:
    found = {path for name in names if (path := sysconfig.get_path(name))}
    return tuple(os.path.normcase(path) + os.sep for path in {*found, *map(os.path.realpath, found)})


_STDLIB = _folders("stdlib", "platstdlib")
_PACKAGES = _folders("purelib", "platlib")
_MONKIT = tuple(
    os.path.normcase(folder / name) + os.sep
    for folder in {Path(__file__).parents[1], Path(monkit_core.__file__).parents[1]}
    for name in ("monkit_core", "monkit_workflow", "monkit_present", "monkit_plugins")
)


@lru_cache(4096)
def kind_of_file(filename: str) -> Kind:
    """Whose file this is, by its path alone; frozen modules are the standard library's."""
    if filename.startswith("<frozen "):
        return "stdlib"
    path = os.path.normcase(os.path.abspath(filename))
    if path.startswith(_MONKIT):
        return "monkit"
    if path.startswith(_PACKAGES) or not _INSTALLED_FOLDERS.isdisjoint(Path(path).parts):
        return "installed"
    return "stdlib" if path.startswith(_STDLIB) else "own"


def _kind(frame: FrameType) -> Kind:
    if _module(frame).partition(".")[0] in _owned:
        return "own"
    filename = frame.f_code.co_filename
    if filename.startswith("<") and not filename.startswith("<frozen "):
        # Generated code, such as the __init__ of a dataclass, belongs to the module whose globals it has.
        filename = frame.f_globals.get("__file__") or filename
    return kind_of_file(filename)


def _module(frame: FrameType) -> str:
    name = frame.f_globals.get("__name__")
    return name if isinstance(name, str) else ""


def _outwards(frame: FrameType, base: FrameType | None) -> Iterator[FrameType]:
    """The frames from *frame* to that of the slice, both included."""
    at: FrameType | None = frame
    while at is not None:
        yield at
        at = None if at is base else at.f_back


def is_own(module: str, filename: str) -> bool:
    """Whether code of this module and file is a user's own."""
    return module.partition(".")[0] in _owned or kind_of_file(filename) == "own"


def is_spared(
    rule: Rule, frame: FrameType, base: FrameType | None, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> bool:
    """Whether a call made by *frame* goes through for the sake of who makes it.

    Besides what the rule spares, that is code which runs in this thread by
    chance and whose results do not reach the workflow: logging with all its
    handlers, the body of a module that is being imported, and finalizers,
    which run in whichever thread the collector happens to start.
    """
    if rule.spares != "nobody":
        kind: Kind = "own"
        for caller in _outwards(frame, base):
            kind = _kind(caller)
            if kind != "stdlib" or _module(caller).partition(".")[0] not in _CONDUITS:
                break
        if kind != "own" and (rule.spares == "libraries" or _only_reads(kind, args, kwargs)):
            return True
    return any(_is_incidental(caller) for caller in _outwards(frame, base))


def _is_incidental(frame: FrameType) -> bool:
    module = _module(frame)
    return (
        module == "importlib._bootstrap"
        or frame.f_code.co_name == "__del__"
        or (module.partition(".")[0] == "logging" and _kind(frame) == "stdlib")
    )


def _only_reads(kind: Kind, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether a library opens a file for reading, and an installed package one that was installed as well.

    An installed package that reads anything else does so for the workflow, which may not.
    """
    how = args[1] if len(args) > 1 else kwargs.get("mode", kwargs.get("flags", "r"))
    if how & _WRITES if isinstance(how, int) else not _READING.issuperset(how):
        return False
    if kind != "installed":
        return True
    file = args[0] if args else kwargs.get("file", kwargs.get("path", ""))
    try:
        path = os.path.abspath(os.fsdecode(file))
    except TypeError:  # a descriptor: of what, nobody knows
        return False
    return kind_of_file(path) != "own" or path.startswith(_ZONES)


def place_of(frame: FrameType, base: FrameType | None) -> Place:
    """The innermost line of the user's own code, or the caller's if there is none."""
    for caller in _outwards(frame, base):
        if _kind(caller) == "own":
            through = "" if caller is frame else f"{os.path.basename(frame.f_code.co_filename)}:{frame.f_lineno}"
            return Place(caller.f_code.co_filename, caller.f_lineno, through)
    return Place(frame.f_code.co_filename, frame.f_lineno)
