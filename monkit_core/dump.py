"""Dumps: figures and functions of a program that ends before anyone looks."""

from __future__ import annotations

import atexit
import itertools
import os
from pathlib import Path

from monkit_core import faults
from monkit_core.formats import text
from monkit_core.formats.functions import func_rows
from monkit_core.registry import Registry, default_registry

__all__ = ["dump", "dump_on_exit"]

_numbers = itertools.count()  # so that dumps made at once, also of one path, write files of their own


def dump(path: str | os.PathLike[str], registry: Registry | None = None) -> None:
    """Write every series and every function to a file, as ``/stats`` and ``/funcs`` show them.

    The file is there whole or not at all: it is written beside its place and moved.

    Args:
        path: of the file; one that is there is replaced.
        registry: the default registry if not given.

    Raises:
        OSError: it cannot be written.
    """
    shown = default_registry if registry is None else registry
    place = Path(path)
    unfinished = place.with_name(f"{place.name}.{os.getpid()}.{next(_numbers)}.part")
    try:
        with unfinished.open("w", encoding="utf-8") as file:
            file.writelines(text.series(shown.series()))
            file.write("\n")
            file.writelines(text.funcs(func_rows(shown)))
        unfinished.replace(place)
    finally:
        unfinished.unlink(missing_ok=True)


def dump_on_exit(path: str | os.PathLike[str], registry: Registry | None = None) -> None:
    """Do that when the program ends in the usual way, by this process and none that it forks.

    A signal that kills it leaves no dump. What fails is logged once and never
    changes how the program ends.
    """
    process, place = os.getpid(), Path(path).absolute()

    def write() -> None:
        if os.getpid() != process:
            return
        try:
            dump(place, registry)
        except Exception as problem:  # the disk, or a source of the program's own
            faults.report(f"dump to {place}", problem)

    atexit.register(write)
