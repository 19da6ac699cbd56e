"""Where the code of a run waits: the stacks of suspended coroutines."""

from __future__ import annotations

import asyncio
import linecache
from collections.abc import Iterable, Iterator
from types import FrameType
from typing import Any

__all__ = ["frames", "show_stacks"]

_MOST_FRAMES = 100


def frames(coroutine: Any) -> Iterator[FrameType]:
    """The frames of a suspended coroutine, outermost first, down to what it awaits."""
    for _ in range(_MOST_FRAMES):
        frame = (
            getattr(coroutine, "cr_frame", None)
            or getattr(coroutine, "gi_frame", None)
            or getattr(coroutine, "ag_frame", None)
        )
        if frame is None:
            return
        yield frame
        coroutine = (
            getattr(coroutine, "cr_await", None)
            or getattr(coroutine, "gi_yieldfrom", None)
            or getattr(coroutine, "ag_await", None)
        )


def show_stacks(tasks: Iterable[asyncio.Task[Any]]) -> str:
    """The stacks of *tasks* as Python shows a traceback, most recent call last; frames of asyncio are left out."""
    shown = []
    for task in tasks:
        lines = [f"{task.get_name()}:"]
        for frame in frames(task.get_coro()):
            file, number = frame.f_code.co_filename, frame.f_lineno
            if frame.f_globals.get("__name__", "").startswith(("asyncio.", "monkit_workflow.")):
                continue
            lines.append(f'  File "{file}", line {number}, in {frame.f_code.co_qualname}')
            if source := linecache.getline(file, number, frame.f_globals).strip():
                lines.append(f"    {source}")
        if len(lines) > 1:
            shown.append("\n".join(lines))
    return "\n\n".join(shown)
