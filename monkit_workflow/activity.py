"""What activity code may use.

An activity is a plain or an async function that may touch the world. Async
ones run on the worker's event loop, plain ones on its threads or in its processes.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NoReturn, Protocol, TypeVar, overload

from monkit_workflow.definitions import define_activity
from monkit_workflow.errors import WorkflowError

__all__ = ["ActivityInfo", "CompleteLater", "complete_later", "define", "heartbeat", "info", "is_cancelled", "logger"]

F = TypeVar("F", bound=Callable[..., Any])

logger = logging.getLogger("monkit_workflow.activity")
"""For activity code."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ActivityInfo:
    """Facts of one attempt."""

    namespace: str
    workflow_id: str
    run_id: str
    workflow_type: str
    activity_id: str
    activity_type: str
    task_queue: str
    attempt: int
    """From 1."""
    token: str
    """Names this attempt to the service; empty for a local one."""
    is_local: bool = False
    """Whether it runs inside a workflow task, by ``workflow.execute_local_activity``."""
    scheduled_at: datetime
    started_at: datetime
    start_to_close: timedelta | None
    schedule_to_close: timedelta | None
    heartbeat: timedelta | None
    heartbeat_details: tuple[Any, ...]
    """What the attempt before told last."""


class Attempt(Protocol):
    """What a worker lets the code of an attempt ask for."""

    info: ActivityInfo

    @property
    def cancelled(self) -> bool:
        """Whether the workflow gave it up."""
        ...

    def heartbeat(self, details: tuple[Any, ...]) -> None:
        """Show that the attempt lives."""
        ...


CURRENT: ContextVar[Attempt | None] = ContextVar("monkit_workflow.activity", default=None)


def _current() -> Attempt:
    attempt = CURRENT.get()
    if attempt is None:
        raise WorkflowError("this may be called in an activity only")
    return attempt


@overload
def define(function: F, /) -> F: ...
@overload
def define(*, name: str | None = None, process: bool = False) -> Callable[[F], F]: ...
def define(function: Any = None, /, *, name: str | None = None, process: bool = False) -> Any:
    """Make a function or method an activity; it is returned unchanged and can be called as before.

    Args:
        function: an async function runs on the worker's event loop, a plain one on its threads.
        name: under which it is registered, by default its ``__name__``.
        process: for a plain function that computes: it runs in a process, which
            is killed when its time is over. The function has to be at the top of
            a module; arguments and result travel by `pickle`.

    Raises:
        TypeError: it is no function, or an async one for a process.
    """

    def decorate(function: F) -> F:
        define_activity(function, name, in_process=process)
        return function

    return decorate if function is None else decorate(function)


def info() -> ActivityInfo:
    """Facts of the attempt that runs.

    Raises:
        WorkflowError: none does.
    """
    return _current().info


def heartbeat(*details: Any) -> None:
    """Show that the attempt lives; *details* are given to the next attempt if this one dies.

    May be called as often as one likes: it is sent at most every 80 % of the
    heartbeat time-out. Works in threads too.

    Raises:
        CancelledFailure: in a plain function: the workflow gave the activity
            up. An async one gets `asyncio.CancelledError` where it waits.
    """
    _current().heartbeat(details)


class CompleteLater(BaseException):
    """Raised by `complete_later`; no `Exception`, so that no handler swallows it."""


def complete_later() -> NoReturn:
    """Leave this attempt open: somebody else ends it, by ``client.activity(...)`` from anywhere.

    Keep ``info().token`` for them, or let them name workflow and activity id.
    The worker's slot is free again. The attempt outlives the worker, and is
    bound by the activity's time-outs only.

    Raises:
        CompleteLater: always; let it pass.
        WorkflowError: no attempt runs, or a local one does.
    """
    if _current().info.is_local:
        raise WorkflowError("a local activity is part of a workflow task: it cannot be completed later")
    raise CompleteLater


def is_cancelled() -> bool:
    """Whether a heartbeat was told that the workflow gave this activity up."""
    return _current().cancelled
