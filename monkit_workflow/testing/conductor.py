"""On the event loop of an environment: what is going on, who waits, and when time may go on.

Loop and store take turns. Requests are handed over when the loop has come to
rest, all at once, so that a batch holds the same ones in every run of a test.
Workflow code runs on threads, one task at a time, and the loop is not at rest
before it has ended.
"""

from __future__ import annotations

import asyncio
import contextvars
import heapq
import inspect
import itertools
import logging
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from monkit_workflow import history as h
from monkit_workflow.converter import Converter
from monkit_workflow.errors import FailureError, QueryFailed, WorkflowError
from monkit_workflow.failures import to_error
from monkit_workflow.history import Event
from monkit_workflow.payload import Failure
from monkit_workflow.service import ActivityTask, WorkflowTask
from monkit_workflow.slices import debugged
from monkit_workflow.sqlite.calls import Call
from monkit_workflow.sqlite.state import RESET
from monkit_workflow.testing.clock import SkippingClock

__all__ = ["Conductor", "Happened", "WorkflowTaskFailed"]

LOG = logging.getLogger("monkit_workflow.testing")
_ROUNDS = 100
"""Of the loop at most, before it counts as at rest although something is always ready in it."""
_LOOK_S = 1.0
_WARN_S = 10.0
_NEVER = -1

_WORK = "work"
"""As the token of a hold: an activity is ready for a worker that has not taken it yet."""

Happened = tuple[str, str, Event]
"""Workflow id, run id, event."""

_Report = tuple[int, list[Happened], bool]
"""Number of a batch, what happened, and whether an activity is ready for a worker that is there."""


class WorkflowTaskFailed(WorkflowError):
    """The code of a workflow cannot go on, so that waiting for it is in vain; ``__cause__`` says why.

    A worker would try the task again until it is mended. In a test it is a
    fault that has to be seen.
    """

    def __init__(self, message: str, workflow_id: str, run_id: str, failure: Failure) -> None:
        super().__init__(message)
        self.workflow_id = workflow_id
        self.run_id = run_id
        self.failure = failure


class _Hold:
    """A task that code works on; time stands still meanwhile, for at most *limit_s* of the time outside."""

    def __init__(self, what: str, limit_s: float, *, is_workflow: bool) -> None:
        self.what = what
        self.limit_s = limit_s
        self.is_workflow = is_workflow
        self.since_s = time.monotonic()
        self.told = False


class _Delayed:
    """A delayed callback that runs."""

    def __init__(self) -> None:
        self.waits = 0
        """For how much of what takes time: then it does not hold time up."""


_CURRENT: contextvars.ContextVar[_Delayed | None] = contextvars.ContextVar("monkit_workflow.testing", default=None)


class Conductor:
    """See the module. All methods are called on the loop, but `report`."""

    def __init__(self, start_ns: int, converter: Converter, *, fail_fast: bool) -> None:
        self.clock = SkippingClock(start_ns, self._moved)
        self.loop: asyncio.AbstractEventLoop | None = None
        self.listeners: list[Callable[[str, str, Event], object]] = []
        self.problems: list[BaseException] = []
        """What delayed callbacks and listeners raised and nobody was told."""
        self._converter = converter
        self._fail_fast = fail_fast
        self._hand_over: Callable[[], None] | None = None
        self._handed_at = _NEVER
        """The store's last batch when it was handed something: what it asked up to there is out of date."""
        self._resting = False
        self._idle_since: int | None = None
        """The last batch, if the store has nothing to do since."""
        self._holds: dict[str, _Hold] = {}
        self._turn = asyncio.Lock()
        self._turn_of = ""
        self._waits: dict[asyncio.Future[Any], None] = {}
        """Who waits for something that may take time."""
        self._queries: dict[asyncio.Future[Any], str] = {}
        self._alarms: list[tuple[int, int, asyncio.Future[None] | Callable[[], Any]]] = []
        """When, number, and who sleeps until then or what is called then."""
        self._numbers = itertools.count()
        self._delayed: dict[asyncio.Task[None], _Delayed] = {}
        self._failing: dict[str, tuple[str, Failure]] = {}
        self._is_work_waiting = False
        self._look: asyncio.TimerHandle | None = None

    # On the store's thread.

    def report(self, events: list[Happened], *, is_work_waiting: bool) -> tuple[Call, _Report]:
        """Count a batch; its answers have to bring this along, so that the loop knows that it has seen them."""
        assert self.loop is not None
        self.clock.batch += 1
        future: asyncio.Future[_Report] = self.loop.create_future()
        future.add_done_callback(self._note_batch)
        return Call(lambda: None, (), future), (self.clock.batch, events, is_work_waiting)

    def _moved(self, batch: int) -> None:
        assert self.loop is not None
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self.loop.call_soon_threadsafe(self._decide_at_rest, batch)

    # What is going on.

    def hand_over_at_rest(self, hand_over: Callable[[], None]) -> None:
        """Call *hand_over* when everything that is ready in the loop has run, and no workflow code runs."""
        self._hand_over = hand_over
        self._rest_soon()

    def handing_over(self) -> None:
        """The store is about to get something to do."""
        self._handed_at = self.clock.batch
        self._idle_since = None

    @property
    def is_turn_taken(self) -> bool:
        """Whether workflow code runs."""
        return bool(self._turn_of)

    async def take_turn(self, token: str) -> None:
        """Wait until no other workflow code runs."""
        await self._turn.acquire()
        self._turn_of = token

    def end_turn(self, token: str) -> None:
        """The code has ended; its answer may not be known to the store yet."""
        if token and token == self._turn_of:
            self._turn_of = ""
            self._turn.release()

    def pass_turn_on(self, token: str, following: str) -> None:
        """The same code goes on with another task."""
        self._holds.pop(token, None)
        if token == self._turn_of:
            self._turn_of = following

    def hold_for_attempt(self, task: ActivityTask) -> None:
        """The code of an activity runs from now on."""
        limits_ns = filter(None, (task.start_to_close_ns, task.schedule_to_close_ns, task.heartbeat_ns))
        what = f"activity {task.activity_type!r} of workflow {task.workflow_id!r}"
        self._holds[task.token] = _Hold(what, min(limits_ns) / 1e9, is_workflow=False)

    def hold_for_code(self, task: WorkflowTask) -> None:
        """The code of a workflow runs from now on. The worker gives it up after its time-out, and says so."""
        what = f"the code of workflow {task.workflow_id!r}"
        self._holds[task.token] = _Hold(what, 2 * task.timeout_ns / 1e9, is_workflow=True)

    def renew(self, token: str) -> None:
        """It shows that it lives."""
        if (hold := self._holds.get(token)) is not None:
            hold.since_s = time.monotonic()

    def release(self, token: str) -> None:
        """The task was answered."""
        self._holds.pop(token, None)
        self.end_turn(token)

    def waits_for(self, future: asyncio.Future[Any]) -> None:
        """Somebody waits for *future*, and time may pass for it."""
        self._waits[future] = None
        delayed = _CURRENT.get()
        if delayed is not None:
            delayed.waits += 1

        def ended(_: object) -> None:
            self._waits.pop(future, None)
            if delayed is not None:
                delayed.waits -= 1

        future.add_done_callback(ended)

    def asks(self, future: asyncio.Future[Any], workflow_id: str) -> None:
        """Somebody waits for the answer of a worker to a query."""
        self._queries[future] = workflow_id
        future.add_done_callback(lambda done: self._queries.pop(done, None))

    # What happens as time passes.

    async def sleep(self, until_ns: int) -> None:
        """Wait until then, and until everything that is due then has happened."""
        assert self.loop is not None
        future = self.loop.create_future()
        heapq.heappush(self._alarms, (until_ns, next(self._numbers), future))
        self.waits_for(future)
        self._rest_soon()
        await future

    def call_at(self, at_ns: int, callback: Callable[[], Any]) -> None:
        """Call *callback* then, and await what it returns."""
        heapq.heappush(self._alarms, (at_ns, next(self._numbers), callback))

    async def _run(self, callback: Callable[[], Any], delayed: _Delayed) -> None:
        _CURRENT.set(delayed)
        try:
            result = callback()
            if inspect.isawaitable(result):
                await result
        except (asyncio.CancelledError, KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # it belongs to the test, which is told where it waits
            self.problems.append(error)

    async def stop(self) -> None:
        """End the delayed callbacks that run."""
        if self._look is not None:
            self._look.cancel()
        for task in self._delayed:
            task.cancel()
        if self._delayed:
            await asyncio.wait(list(self._delayed))

    # What the store says.

    def _note_batch(self, done: asyncio.Future[_Report]) -> None:
        batch, events, is_work_waiting = done.result()
        if is_work_waiting != self._is_work_waiting:
            self._is_work_waiting = is_work_waiting
            self._holds.pop(_WORK, None)
            if is_work_waiting:
                self._holds[_WORK] = _Hold("the wait of an activity for its worker", _WARN_S, is_workflow=False)
        for workflow_id, run_id, event in events:
            if isinstance(event, h.WorkflowTaskFailed) and event.failure.type not in _HARMLESS:
                self._failing[run_id] = (workflow_id, event.failure)
            elif isinstance(event, _SOUND):
                self._failing.pop(run_id, None)
            for listener in self.listeners:
                try:
                    listener(workflow_id, run_id, event)
                except (KeyboardInterrupt, SystemExit):
                    raise
                except BaseException as error:  # as of a delayed callback
                    self.problems.append(error)
        self._decide_at_rest(batch)

    def _decide_at_rest(self, batch: int) -> None:
        """The store has nothing to do since *batch*, unless it was handed something."""
        if batch > self._handed_at:
            self._idle_since = batch
            self._rest_soon()

    # The decision.

    def _rest_soon(self) -> None:
        if not self._resting:
            self._resting = True
            assert self.loop is not None
            self.loop.call_soon(self._rest, _ROUNDS)

    def _rest(self, rounds: int) -> None:
        assert self.loop is not None
        if rounds and getattr(self.loop, "_ready", True):  # asyncio's own loop can tell
            self.loop.call_soon(self._rest, rounds - 1)
            return
        self._resting = False
        if self._hand_over is not None:
            if self._turn_of:  # its answer comes into the same batch
                self._look_later()
            else:
                self._give()
        elif self._idle_since is not None:
            self._decide(self._idle_since)

    def _give(self) -> None:
        hand_over, self._hand_over = self._hand_over, None
        if hand_over is not None:
            self.handing_over()
            hand_over()

    def _decide(self, batch: int) -> None:
        """The store has nothing to do, and neither has the loop."""
        if self._is_busy():
            self._look_later()
        elif self._fail_waits() or (self._waits and self._fire()):
            self._rest_soon()
        elif self._waits:
            self._idle_since = None  # it will say what comes of it
            self.clock.grant(batch, self._alarms[0][0] if self._alarms else None)

    def _is_busy(self) -> bool:
        return bool(self._holds) or any(not delayed.waits for delayed in self._delayed.values())

    def _fail_waits(self) -> bool:
        """Tell those who wait in vain. False if nobody does."""
        for future, workflow_id in list(self._queries.items()):
            if not future.done():
                future.set_exception(QueryFailed(f"no worker is there to answer for workflow {workflow_id!r}"))
                return True
        waiting = [future for future in self._waits if not future.done()]
        if not waiting:
            return False
        error: BaseException
        if self.problems:
            error = self.problems.pop(0)
        elif self._fail_fast and self._failing:
            error = self._failure()
        else:
            return False
        for future in waiting:
            future.set_exception(error)
        return True

    def _failure(self) -> WorkflowTaskFailed:
        run_id, (workflow_id, failure) = next(iter(self._failing.items()))
        cause: FailureError = to_error(failure, self._converter)
        error = WorkflowTaskFailed(
            f"the code of workflow {workflow_id!r} failed with {failure.type or failure.kind}: {failure.message}",
            workflow_id,
            run_id,
            failure,
        )
        error.__cause__ = cause
        if failure.stack:
            error.add_note(f"It happened here:\n{failure.stack}")
        return error

    def _fire(self) -> bool:
        """Let the first happen of what is due. False if nothing is."""
        while self._alarms and isinstance(gone := self._alarms[0][2], asyncio.Future) and gone.done():
            heapq.heappop(self._alarms)
        if not self._alarms or self._alarms[0][0] > self.clock.now_ns():
            return False
        _, _, wanted = heapq.heappop(self._alarms)
        if isinstance(wanted, asyncio.Future):
            wanted.set_result(None)
            return True
        assert self.loop is not None
        delayed = _Delayed()
        task = self.loop.create_task(self._run(wanted, delayed))
        self._delayed[task] = delayed
        task.add_done_callback(self._end_callback)
        return True

    def _end_callback(self, task: asyncio.Task[None]) -> None:
        del self._delayed[task]
        self._rest_soon()

    # What takes time outside.

    def _look_later(self) -> None:
        if self._look is None:
            assert self.loop is not None
            now_s = time.monotonic()
            left_s = (hold.since_s + hold.limit_s - now_s for hold in self._holds.values())
            soonest_s = min([_LOOK_S, *(left for left in left_s if left > 0)])
            self._look = self.loop.call_later(soonest_s, self._look_at_holds)

    def _look_at_holds(self) -> None:
        """Let go what took all the time that it has; say what takes long."""
        self._look = None
        now_s = time.monotonic()
        for token, hold in list(self._holds.items()):
            took_s = now_s - hold.since_s
            if hold.is_workflow and debugged():
                continue
            if took_s >= hold.limit_s:
                self.release(token)
            elif took_s >= _WARN_S and not hold.told:
                hold.told = True
                LOG.warning("time stands still, since %s has been running for %d s", hold.what, took_s)
        self._give()  # perhaps the workflow code waits for it
        self._rest_soon()


_HARMLESS = ("UnhandledEvents", RESET)
"""Failures of workflow tasks that the service makes and that the next attempt mends."""

_SOUND = (
    h.WorkflowTaskCompleted,
    h.WorkflowExecutionCompleted,
    h.WorkflowExecutionFailed,
    h.WorkflowExecutionTimedOut,
    h.WorkflowExecutionCanceled,
    h.WorkflowExecutionTerminated,
    h.WorkflowExecutionContinuedAsNew,
)
"""After these a run's task does not fail any more."""
