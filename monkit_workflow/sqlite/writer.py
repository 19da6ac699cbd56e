"""The store's thread: takes requests in batches, writes each batch in one transaction, then answers.

The output rule: nothing leaves before the transaction that it rests on is
durable. While one is being synced the next batch gathers; there is no delay
besides. A failed write fails its whole batch and is never repeated.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable

import apsw

from monkit_workflow.errors import ServiceError, StoreError, Unavailable, WorkflowError
from monkit_workflow.service import ActivityTask, WorkflowTask
from monkit_workflow.sqlite import attempts, due
from monkit_workflow.sqlite.cache import RunCache
from monkit_workflow.sqlite.calls import PENDING, Answers, Call
from monkit_workflow.sqlite.clock import Clock
from monkit_workflow.sqlite.desk import Desk
from monkit_workflow.sqlite.growth import warn_of_growth
from monkit_workflow.sqlite.retention import PAUSE_NS, Retention
from monkit_workflow.sqlite.rows import Rows, Tables
from monkit_workflow.sqlite.state import TimerKind
from monkit_workflow.sqlite.store import Store
from monkit_workflow.sqlite.transition import Limits, Transition

__all__ = ["Options", "Writer"]

BATCH = 1_000
"""Requests in a transaction at most."""

_PAUSE_NS = 1_000_000_000
"""Between two trials of a timer whose run cannot be read."""

_log = logging.getLogger("monkit_workflow.sqlite")


class Options:
    """What a writer is handed; see `monkit_workflow.sqlite.service.SqliteService`."""

    def __init__(
        self,
        namespace: str,
        clock: Clock,
        new_id: Callable[[], str],
        limits: Limits,
        cached_runs: int,
        retention_ns: int | None,
        open_store: Callable[[], Store],
        desk: Callable[[Tables, RunCache, Answers, Callable[[], None], int], Desk],
    ) -> None:
        self.namespace = namespace
        self.clock = clock
        self.new_id = new_id
        self.limits = limits
        self.cached_runs = cached_runs
        self.retention_ns = retention_ns
        self.open_store = open_store
        self.desk = desk


class Writer:
    """Owns the store from its opening to its closing."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._clock = options.clock
        self._condition = threading.Condition()
        self._calls: deque[Call] = deque()
        self._closing = False
        self._broken: BaseException | None = None
        self._mended = False
        """The file was read anew: there may be tasks for those who wait."""
        self._next_timer_ns: int | None = None
        self._out = Answers(self.give_back)
        self._rows = Rows(options.namespace)

    def start(self, opened: asyncio.Future[None]) -> None:
        """Begin the thread; *opened* is settled when the store is ready or could not be opened."""
        opening = Call(lambda: None, (), opened)
        threading.Thread(target=self._run, args=(opening,), name="monkit-workflow-sqlite", daemon=True).start()

    def submit(self, *calls: Call) -> None:
        """Hand in requests, from any thread; they come into the same batch as far as one holds them.

        Raises:
            Unavailable: the service is closed.
        """
        with self._condition:
            if self._closing:
                raise Unavailable("the service is closed")
            self._calls.extend(calls)
            self._condition.notify()

    def close(self, closed: asyncio.Future[None] | None) -> None:
        """Take no more requests, answer those that came, close the store and settle *closed*."""
        with self._condition:
            self._closing = True
            self._closed = Call(lambda: None, (), closed)
            self._condition.notify()

    def give_back(self, value: object) -> None:
        """A result reached nobody: a task among them is made ready again."""
        if isinstance(value, WorkflowTask | ActivityTask):
            with self._condition:
                if not self._closing:
                    self._calls.append(Call(Desk.give_back, (value,), None))
                    self._condition.notify()

    # The thread.

    def _run(self, opening: Call) -> None:
        try:
            self._open()
        except Exception as error:  # whatever it is, the one who opens shall see it
            with self._condition:
                self._closing = True
            self._out.add(opening, error=error if isinstance(error, ServiceError) else StoreError(str(error)))
            self._out.send()
            return
        self._out.add(opening)
        self._out.send()
        while True:
            calls = self._gather()
            if calls is None:
                break
            try:
                self._batch(calls)
            except Exception as error:  # a defect of ours must not leave everybody waiting
                _log.exception("a batch failed")
                self._give_up(calls, error)
        self._shut()

    def _gather(self) -> list[Call] | None:
        with self._condition:
            while not self._calls:
                if self._closing:
                    return None
                if self._mended:
                    return []
                until_ns = self._next_ns()
                if until_ns is not None and until_ns <= self._clock.now_ns():
                    return []
                self._clock.wait(self._condition, until_ns)
            if len(self._calls) <= BATCH:
                calls = list(self._calls)
                self._calls.clear()
                return calls
            return [self._calls.popleft() for _ in range(BATCH)]

    def _next_ns(self) -> int | None:
        known = (self._next_timer_ns, self._desk.agenda.next_ns(), self._retention.due_ns)
        times = [at for at in known if at is not None]
        return min(times, default=None)

    def _open(self) -> None:
        self._store = self._options.open_store()
        try:
            now_ns = self._clock.now_ns()
            tables, runs = self._readers(sweep_ns=now_ns)
            self._desk = self._options.desk(tables, runs, self._out, self._flush, now_ns)
            self._recover(self._desk.restore(tables, runs, now_ns))
        except BaseException:
            self._store.abandon()
            raise

    def _readers(self, sweep_ns: int) -> tuple[Tables, RunCache]:
        self._tables = Tables(self._store.connection, self._options.namespace)
        self._rows.types = self._tables.attribute_types()
        self._runs = RunCache(self._tables, self._rows, self._options.cached_runs)
        options = self._options
        self._retention = Retention(self._store, options.namespace, options.retention_ns, sweep_ns)
        return self._tables, self._runs

    def _recover(self, started: list[tuple[int, int]]) -> None:
        """End the attempts of a dead process, let in what it had acknowledged; all runs in slices."""
        steps = [Call(_unblock, (run,), None) for run in self._tables.runs_with_inbox()]
        steps += [Call(_lose, (run, event), None) for run, event in started]
        for first in range(0, len(steps), BATCH):
            self._decide(steps[first : first + BATCH], self._clock.now_ns())
            self._flush()
            self._store.commit()
            self._runs.shrink()
        self._next_timer_ns = self._tables.next_timer_ns()

    def _batch(self, calls: list[Call]) -> None:
        now_ns = self._clock.now_ns()
        self._mended = False
        try:
            if self._broken is not None:
                self._mend()
            self._fire(now_ns)
            self._decide(calls, now_ns)
            self._start_activities(now_ns)
            self._flush()
            tidied = self._tidy(now_ns, idle=not calls)
            self._store.commit()
        except (apsw.Error, StoreError) as error:
            self._give_up(calls, error)
            return
        if tidied:
            self._retention.rest(self._clock.now_ns())
        self._desk.committed(now_ns)
        self._runs.shrink()
        self._out.send()

    def _decide(self, calls: list[Call], now_ns: int) -> bool:
        """Let each request decide, in memory. False if one failed unexpectedly."""
        sound = True
        desk = self._desk
        out = self._out
        options = self._options
        t = Transition(now_ns, options.new_id, self._runs, options.limits)
        for call in calls:
            try:
                result = call.step(desk, t, call, *call.arguments)
                t.finish()
            except apsw.Error:
                raise
            except Exception as error:  # it is the caller's; its neighbours go on
                if not isinstance(error, WorkflowError):
                    _log.exception("a request failed unexpectedly")
                    sound = False
                self._undo(t)
                out.add(call, error=error)
            else:
                if result is not PENDING:
                    out.add(call, result)
                if not t.touched:
                    continue
                self._take(t)
            t = Transition(now_ns, options.new_id, self._runs, options.limits)
        return sound

    def _take(self, t: Transition) -> None:
        self._rows.take(t)
        self._desk.note(t)
        warn_of_growth(t)
        soonest = self._next_timer_ns
        for wanted, timer in t.timers:
            if wanted and (soonest is None or timer[0] < soonest):
                soonest = timer[0]
        self._next_timer_ns = soonest

    def _undo(self, t: Transition) -> None:
        """Forget what a failed request has touched; the rows of those before it are written, so that they are read."""
        if t.touched:
            self._flush()
            for key in t.touched:
                self._runs.drop(key)

    def _flush(self) -> None:
        if self._rows:
            self._store.begin()
            self._tables.write(self._rows)

    def _fire(self, now_ns: int) -> None:
        if self._next_timer_ns is not None and self._next_timer_ns <= now_ns:
            found = self._tables.due_timers(now_ns, BATCH)
            sound = self._decide([Call(_fire, timer, None) for timer in found], now_ns)
            self._flush()
            self._next_timer_ns = self._tables.next_timer_ns()
            if not sound and self._next_timer_ns is not None:  # the row is still due: no spinning
                self._next_timer_ns = max(self._next_timer_ns, now_ns + _PAUSE_NS)
        reminders = self._desk.agenda.take(now_ns)
        self._decide([Call(Desk.wake, reminder, None) for reminder in reminders], now_ns)

    def _start_activities(self, now_ns: int) -> None:
        for poller, state, activity in self._desk.match_activities():
            t = Transition(now_ns, self._options.new_id, self._runs, self._options.limits)
            attempts.start_attempt(t, state, activity, poller.identity)
            self._take(t)
            self._out.add(poller.call, attempts.activity_task(state, activity))

    def _tidy(self, now_ns: int, *, idle: bool) -> bool:
        """Delete some of what was kept long enough, if it is time; what was asked about waits for its answer."""
        if not self._retention.is_due(now_ns, idle=idle):
            return False
        for run in self._retention.step(now_ns, self._desk.asked_about()):
            self._runs.drop(run)
        return True

    # When a write fails.

    def _give_up(self, calls: list[Call], error: BaseException) -> None:
        """Nothing of the batch is acknowledged; whether it is in the file, the file will tell."""
        self._broken = error
        failure = StoreError(f"{self._store.name} could not be written: {error}")
        failure.__cause__ = error
        self._out.fail(failure)
        self._rows.clear()
        kept = self._desk.kept()
        for call in calls:
            if call not in kept:
                self._out.add(call, error=failure)
        self._out.send()
        try:
            self._mend()
        except StoreError:
            _log.exception("%s stays closed until the next request", self._store.name)

    def _mend(self) -> None:
        """Open the file anew and read from it what is due."""
        try:
            self._store.reopen()
            now_ns = self._clock.now_ns()
            tables, runs = self._readers(sweep_ns=now_ns + PAUSE_NS)  # a sweep may be what failed
            self._desk.restore(tables, runs, now_ns)
            self._recover([])
        except Exception as error:  # also a defect of ours: this thread goes on, and the next request tries again
            raise StoreError(f"{self._store.name} cannot be opened again: {error}") from error
        self._broken = None
        self._mended = True

    def _shut(self) -> None:
        unavailable = Unavailable("the service is closed")
        for call in self._desk.waiting():
            self._out.add(call, error=unavailable)
        for call in self._desk.take_pollers(None):
            self._out.add(call)
        self._out.send()
        error: StoreError | None = None
        try:
            self._store.close()
        except StoreError as failed:
            error = failed
        self._out.add(self._closed, error=error)
        self._out.send()


def _fire(desk: Desk, t: Transition, call: Call, due_ns: int, run: int, kind: TimerKind, event: int) -> None:
    due.fire(t, t.runs.get(run), kind, event, due_ns)


def _unblock(desk: Desk, t: Transition, call: Call, run: int) -> None:
    state = t.runs.get(run)
    if t.release(state):
        t.want_task(state)


def _lose(desk: Desk, t: Transition, call: Call, run: int, event: int) -> None:
    due.lose_attempt(t, t.runs.get(run), event)
