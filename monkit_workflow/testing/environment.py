"""The environment of a test: the embedded service in memory, with a clock that skips."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any

from monkit_workflow.client import Client
from monkit_workflow.converter import Converter, JsonConverter
from monkit_workflow.history import Event
from monkit_workflow.info import moment
from monkit_workflow.options import nanoseconds
from monkit_workflow.propagators import Propagator
from monkit_workflow.testing.conductor import Conductor
from monkit_workflow.testing.mocks import Mock, MockWorker
from monkit_workflow.testing.service import ConductedService
from monkit_workflow.worker import Worker

__all__ = ["Environment"]

_START = datetime(2030, 1, 1, tzinfo=UTC)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NOT_GIVEN: Any = object()


class Environment:
    """Where a test runs workflows, inside ``async with``.

    Its clock stands still, and skips to what is due next when two things are
    true: somebody waits for it, in ``handle.result()``, in an update or in
    `sleep`, and nothing is going on: no workflow code runs or could, no
    activity runs in code, no delayed callback runs. An activity in code holds
    the clock for as long as its own time-out (or that of its heartbeats) lasts
    on the watch of the world outside; then the clock skips to that time-out.

    It belongs to the event loop that enters it, and is entered once. The same
    test has the same histories, run ids included, in every run, as long as
    its activities are async or mocked and do not wait for the world outside:
    those on threads end when their threads do.

    Args:
        start: what the clock shows at first, with a time zone.
        converter: of the client, JSON by default.
        interceptors: of the client, see `monkit_workflow.connect`; mocks are called without those of activities.
        propagators: of the client, see `monkit_workflow.connect`.
        fail_fast: whether waiting raises `WorkflowTaskFailed` while the task
            of a run fails. Without, time passes and workers try again, as in production.

    Raises:
        ValueError: *start* has no time zone.
    """

    task_queue = "tests"
    """That of `worker`, if it is not given one."""

    def __init__(
        self,
        *,
        start: datetime = _START,
        converter: Converter | None = None,
        interceptors: Iterable[object] = (),
        propagators: Iterable[Propagator] = (),
        fail_fast: bool = True,
    ) -> None:
        if start.tzinfo is None:
            raise ValueError(
                f"start= takes a datetime with a time zone, such as datetime(2030, 1, 1, tzinfo=UTC): {start}"
            )
        converter = converter or JsonConverter()
        mocks: dict[tuple[str, str], Mock] = {}
        start_ns = (start - _EPOCH) // timedelta(microseconds=1) * 1000
        self._conductor = Conductor(start_ns, converter, fail_fast=fail_fast)
        service = ConductedService(self._conductor, lambda kind, name: (kind, name) in mocks)
        self.client = Client(
            service, converter=converter, identity="test", interceptors=interceptors, propagators=propagators
        )
        """Starts workflows and speaks with them; a worker of the test's own takes it too."""
        self._mocks = MockWorker(service, converter, mocks)
        self._conductor.listeners.append(self._mocks.note)
        self._entered = False

    async def __aenter__(self) -> Environment:
        if self._entered:
            raise RuntimeError("an Environment is entered once; make another one")
        self._entered = True
        await self.client.__aenter__()
        self._mocks.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._conductor.stop()
        await self._mocks.stop()
        await self.client.__aexit__(kind, error, trace)
        if error is None and self._conductor.problems:
            raise self._conductor.problems[0]

    def worker(
        self,
        task_queue: str | None = None,
        *,
        workflows: Iterable[Any] = (),
        activities: Iterable[Callable[..., Any]] = (),
        **options: Any,
    ) -> Worker:
        """A worker, to be entered; arguments, options and errors are those of `monkit_workflow.Worker`."""
        queue = task_queue or self.task_queue
        return Worker(self.client, queue, workflows=workflows, activities=activities, **options)

    def mock(
        self,
        target: str | Callable[..., Any],
        /,
        *,
        returns: Any = _NOT_GIVEN,
        raises: BaseException | type[BaseException] = _NOT_GIVEN,
        call: Callable[..., Any] = _NOT_GIVEN,
        waits: bool = False,
    ) -> Mock:
        """Stand in for an activity or a workflow, by its name, on every task queue, from now on.

        No worker has to have it. Arguments and results pass through the
        converter, and arguments are checked against the signature of *target*
        if it is no string. Told nothing, the mock returns ``None``; a second
        mock of a name takes the place of the first. Local activities run in
        their worker and are not replaced: give it another function of that name.

        Args:
            target: the activity, the workflow, its ``run``, or a name, which stands for both kinds.
            returns: the result.
            raises: how it fails.
            call: a plain or async function that is given the arguments and does either.
            waits: it does not end: an activity runs into its time-outs, a
                workflow into its own; both end when they are cancelled.

        Raises:
            TypeError: *target* is neither, or more than one answer is given.
        """
        given = {"returns": returns, "raises": raises, "call": call}
        answers = {name: value for name, value in given.items() if value is not _NOT_GIVEN}
        return self._mocks.add(target, answers, waits=waits)

    def now(self) -> datetime:
        """What the clock shows, in UTC."""
        return moment(self._conductor.clock.now_ns())

    async def sleep(self, duration: timedelta) -> None:
        """Let time pass, and everything happen that is due until then; with ``timedelta(0)`` what is due now.

        Raises:
            WorkflowTaskFailed: the code of a workflow failed, see *fail_fast*.
            Exception: what a delayed callback or a listener raised.
            ValueError: *duration* is negative.
        """
        await self._conductor.sleep(self._conductor.clock.now_ns() + nanoseconds("sleep", duration))

    def after(self, delay: timedelta, callback: Callable[[], object], /) -> None:
        """Call *callback* when *delay* has passed, and await what it returns if that can be awaited.

        It happens after everything else that is due at that time. What it
        raises is raised where somebody waits, or by the end of ``async with``.

        Raises:
            ValueError: *delay* is negative.
        """
        self._conductor.call_at(self._conductor.clock.now_ns() + nanoseconds("after", delay), callback)

    def listen(self, callback: Callable[[str, str, Event], object], /) -> None:
        """Call *callback* with workflow id, run id and event for every event of every run from now on.

        Events come in the order in which they became history, and before time
        passes again. For what it raises see `after`.
        """
        self._conductor.listeners.append(callback)
