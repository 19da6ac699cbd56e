"""The desk of the store's thread: takes requests, knows who waits, hands tasks out.

The rule of the file: nothing here writes to the file or talks to an event loop.
Requests become transitions; what they change is gathered in rows, what they
answer is given to `Answers`, and the writer lets neither pass the other.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from typing import Any

from monkit_workflow.commands import Command
from monkit_workflow.errors import AlreadyClosed, QueryFailed, ResourceExhausted
from monkit_workflow.filters import Filter
from monkit_workflow.history import Event
from monkit_workflow.payload import Failure, Payload, Payloads
from monkit_workflow.service import (
    ActivityIds,
    ActivityName,
    ActivityTask,
    Description,
    Page,
    Query,
    QueryRequest,
    ResetRequest,
    UpdateRequest,
    WorkflowTask,
)
from monkit_workflow.sqlite import answers, attempts, requests, updates
from monkit_workflow.sqlite.cache import RunCache
from monkit_workflow.sqlite.calls import PENDING, Answers, Call
from monkit_workflow.sqlite.describe import describe
from monkit_workflow.sqlite.dispatch import Agenda, Lines, Poller
from monkit_workflow.sqlite.listing import count_runs, list_runs
from monkit_workflow.sqlite.questions import Question, Questions
from monkit_workflow.sqlite.resets import reset
from monkit_workflow.sqlite.rows import Tables
from monkit_workflow.sqlite.state import Activity, RunState, Task
from monkit_workflow.sqlite.transition import Transition

__all__ = ["Desk"]


_SWEEP = 64
"""So many come before those who have gone are looked for."""


class Desk:
    """See the module. Methods that take a transition are steps of a `Call`."""

    def __init__(self, tables: Tables, runs: RunCache, out: Answers, flush: Callable[[], None], number: int) -> None:
        self.tables = tables
        self.runs = runs
        self.out = out
        self._flush = flush
        self.workflow: Lines[int | Question] = Lines()
        self.activity: Lines[tuple[int, int]] = Lines()
        self.agenda = Agenda()
        self._delayed: defaultdict[str, set[int]] = defaultdict(set)
        self._known: defaultdict[str, set[str]] = defaultdict(set)
        self._questions = Questions(out, self.workflow)
        self._watchers: defaultdict[int, list[Call]] = defaultdict(list)
        """Who waits for the end of a run."""
        self._changed: dict[int, None] = {}
        """Runs whose workflow task has changed in this batch."""
        self._closed: list[RunState] = []
        self._updates = updates.Updates(out)
        self._number = number
        """Of the last workflow task or query that was handed out: begins anew with every opening, so that
        no token of an earlier one is taken for one of this."""

    # Requests of clients.

    def start(self, t: Transition, call: Call, request: Any) -> str:
        """`Service.start`."""
        return requests.start(t, request)

    def signal_with_start(self, t: Transition, call: Call, start: Any, signal: Any) -> str:
        """`Service.signal_with_start`."""
        return requests.signal_with_start(t, start, signal)

    def signal(self, t: Transition, call: Call, request: Any) -> None:
        """`Service.signal`."""
        requests.signal(t, request)

    def cancel(self, t: Transition, call: Call, *arguments: str) -> None:
        """`Service.cancel`."""
        requests.cancel(t, *arguments)

    def terminate(self, t: Transition, call: Call, *arguments: str) -> None:
        """`Service.terminate`."""
        requests.terminate(t, *arguments)

    def reset(self, t: Transition, call: Call, request: ResetRequest) -> str:
        """`Service.reset`."""
        state = requests.run_of(t, request.workflow_id, request.run_id)
        self._flush()
        return reset(t, state, self.tables.events(state.key), request)

    def describe(self, t: Transition, call: Call, workflow_id: str, run_id: str) -> Description:
        """`Service.describe`."""
        return describe(requests.run_of(t, workflow_id, run_id))

    def list_workflows(self, t: Transition, call: Call, tree: Filter, size: int, before: int) -> Page:
        """`Service.list_workflows`: this batch is shown too, as in a history."""
        self._flush()
        tables = self.tables
        return list_runs(tables.connection, tables.namespace, tree, self.runs.attribute_types, size, before)

    def count_workflows(self, t: Transition, call: Call, tree: Filter) -> int:
        """`Service.count_workflows`."""
        self._flush()
        tables = self.tables
        return count_runs(tables.connection, tables.namespace, tree, self.runs.attribute_types)

    def history(self, t: Transition, call: Call, workflow_id: str, run_id: str, first: int) -> list[Event]:
        """`Service.history`: what this batch writes is shown too, since the answer leaves after the commit."""
        state = requests.run_of(t, workflow_id, run_id)
        self._flush()
        return self.tables.events(state.key, first)

    def wait_closed(self, t: Transition, call: Call, workflow_id: str, run_id: str) -> Any:
        """`Service.wait_closed`."""
        state = requests.run_of(t, workflow_id, run_id)
        if state.closing is not None:
            return state.closing
        watchers = self._watchers[state.key]
        if len(watchers) % _SWEEP == 0:
            watchers[:] = [watcher for watcher in watchers if not watcher.gone]
        watchers.append(call)
        return PENDING

    def query(self, t: Transition, call: Call, request: QueryRequest) -> Any:
        """`Service.query`."""
        state = requests.run_of(t, request.workflow_id, request.run_id)
        if state.delayed:
            raise QueryFailed(f"workflow {state.workflow_id!r} cannot answer: the time of this run has not come")
        query = Query(name=request.name, input=request.input, header=request.header)
        self._questions.ask(state, Question(state.key, query, call))
        return PENDING

    def update(self, t: Transition, call: Call, request: UpdateRequest) -> Any:
        """`Service.update`: it waits for the workflow task that is due, or makes one due."""
        requests.refuse_large(request, t.limits.payload_bytes)
        state = requests.run_of(t, request.workflow_id, request.run_id)
        completed_id = state.updates.get(request.update_id)
        if completed_id:
            self._flush()
            return updates.outcome(self.tables.events(state.key, completed_id)[0])
        if not state.open:
            raise AlreadyClosed(f"run {state.run_id} of workflow {request.workflow_id!r} is {state.status}")
        if completed_id == 0 and request.wait == "accepted":
            return None
        requests.refuse_full(t, state)
        if self._updates.count(state.key) >= t.limits.pending:
            raise ResourceExhausted(f"{t.limits.pending} updates of workflow {request.workflow_id!r} wait already")
        self._updates.ask(state, request, call)
        self._changed[state.key] = None
        return PENDING

    # Requests of workers.

    def poll_workflow(self, t: Transition, call: Call, queue: str, identity: str) -> Any:
        """`Service.poll_workflow_task`; a worker that is new to the queue gets at once what has failed before."""
        self.workflow.add_poller(queue, Poller(identity, call))
        if identity not in self._known[queue]:
            self._known[queue].add(identity)
            for run in self._delayed.pop(queue, ()):
                self.workflow.add_ready(queue, run)
        return PENDING

    def poll_activity(self, t: Transition, call: Call, queue: str, identity: str) -> Any:
        """`Service.poll_activity_task`."""
        self.activity.add_poller(queue, Poller(identity, call))
        return PENDING

    def stop_polling(self, t: Transition, call: Call, identity: str | None) -> None:
        """`Service.stop_polling`; ``None`` stops all."""
        for poller in self.take_pollers(identity):
            self.out.add(poller)
        for known in self._known.values():
            known.discard(identity or "")

    def take_pollers(self, identity: str | None) -> list[Call]:
        """Take out who waits for a task, of all workers with ``None``."""
        return self.workflow.take_pollers(identity) + self.activity.take_pollers(identity)

    def complete_workflow_task(
        self, t: Transition, call: Call, token: str, commands: list[Command], behaviour: int
    ) -> bool:
        """`Service.complete_workflow_task`."""
        state = t.runs.get(attempts.parse_token(token)[0])
        before = state.length
        if answers.complete_task(t, state, answers.held_task(state, token), commands, behaviour) is None:
            self._updates.take(state, commands)
        return state.length > before

    def extend_workflow_task(
        self, t: Transition, call: Call, token: str, commands: list[Command], behaviour: int
    ) -> WorkflowTask | None:
        """`Service.extend_workflow_task`; ``None`` if the answer was refused."""
        state = t.runs.get(attempts.parse_token(token)[0])
        task = answers.held_task(state, token)
        if answers.complete_task(t, state, task, commands, behaviour) is None and state.open:
            self._updates.take(state, commands)
            t.want_task(state)
            return self._workflow_task(state, task.identity, t.now_ns)
        return None

    def fail_workflow_task(self, t: Transition, call: Call, token: str, failure: Failure) -> None:
        """`Service.fail_workflow_task`."""
        state = t.runs.get(attempts.parse_token(token)[0])
        answers.fail_task(t, state, answers.held_task(state, token), failure)

    def answer_query(
        self, t: Transition, call: Call, token: str, result: Payload | None, failure: Failure | None
    ) -> None:
        """`Service.answer_query`."""
        self._questions.answer(token, result, failure)

    def complete_activity(self, t: Transition, call: Call, attempt: ActivityName, result: Payload | None) -> None:
        """`Service.complete_activity`."""
        state, activity = self._attempt(t, attempt)
        attempts.complete_attempt(t, state, activity, result)

    def fail_activity(self, t: Transition, call: Call, attempt: ActivityName, failure: Failure) -> None:
        """`Service.fail_activity`."""
        state, activity = self._attempt(t, attempt)
        attempts.fail_attempt(t, state, activity, failure)

    def cancel_activity(self, t: Transition, call: Call, attempt: ActivityName, details: Payloads) -> None:
        """`Service.cancel_activity`."""
        state, activity = self._attempt(t, attempt)
        attempts.cancel_attempt(t, state, activity, details)

    def heartbeat(self, t: Transition, call: Call, attempt: ActivityName, details: Payloads) -> bool:
        """`Service.heartbeat`."""
        _, activity = self._attempt(t, attempt)
        return attempts.heartbeat(activity, details, t.now_ns)

    def leave_open(self, t: Transition, call: Call, token: str) -> None:
        """`Service.leave_open`."""
        state, activity = self._attempt(t, token)
        t.change_activity(state, activity, left_open=True)

    def _attempt(self, t: Transition, name: ActivityName) -> tuple[RunState, Activity]:
        if isinstance(name, ActivityIds):
            state = requests.run_of(t, name.workflow_id, name.run_id)
            return state, attempts.open_activity(state, name.activity_id)
        run, event, attempt = attempts.parse_token(name)
        state = t.runs.get(run)
        return state, attempts.open_attempt(state, event, attempt)

    def give_back(self, t: Transition, call: Call, task: WorkflowTask | ActivityTask) -> None:
        """A task reached nobody: it is ready again as if it had not been handed out."""
        if isinstance(task, ActivityTask):
            attempts.undo_attempt(t, *self._attempt(t, task.token))
            return
        if self._ask_again(task.token):
            return
        state = t.runs.get(attempts.parse_token(task.token)[0])
        answers.give_back_task(t, state, answers.held_task(state, task.token))

    # What is due in memory.

    def wake(self, t: Transition, call: Call, run: int, token: str) -> None:
        """A held workflow task or a query was not answered in time, or a task that had failed is due again."""
        if self._ask_again(token):
            return
        state = t.runs.get(run)
        task = state.task
        if task is None or task.token != token:
            return
        if token:
            answers.time_out_task(t, state, task)
        elif task.visible_ns <= t.now_ns:
            self.workflow.add_ready(state.started.task_queue, run)

    def _ask_again(self, token: str) -> bool:
        """A worker has not answered a query; false if the token is of none."""
        question = self._questions.take_back(token)
        if question is not None:
            self._questions.ask(self.runs.get(question.run), question)
        return question is not None

    # Between batches.

    def note(self, t: Transition) -> None:
        """Remember what has to follow from a transition that was taken."""
        for run, event in t.tasks:
            if not event:
                self._changed[run] = None
                continue
            activity = t.touched[run].activities.get(event)
            if activity is not None and activity.phase == "scheduled":
                self.activity.add_ready(activity.scheduled.task_queue, (run, event))
        self._closed += t.closed

    def match_activities(self) -> Iterator[tuple[Poller, RunState, Activity]]:
        """Pairs of pollers and activities that may start; the caller makes the start record."""
        for line in self.activity.take_stirred():
            while line.ready and (poller := line.next_poller()):
                found = self._next_activity(line.ready)
                if found is None:
                    line.pollers.appendleft(poller)
                else:
                    yield poller, *found

    def _next_activity(self, ready: deque[tuple[int, int]]) -> tuple[RunState, Activity] | None:
        while ready:
            run, event = ready.popleft()
            state = self.runs.get(run)
            activity = state.activities.get(event)
            if activity is not None and activity.phase == "scheduled":
                return state, activity
        return None

    def committed(self, now_ns: int) -> None:
        """The batch is durable: tell who waited, hand workflow tasks out."""
        for run in self._changed:
            self._settle_task(self.runs.get(run), now_ns)
        self._changed.clear()
        for state in self._closed:
            for watcher in self._watchers.pop(state.key, ()):
                self.out.add(watcher, state.closing)
            self._updates.close(state)
        self._closed.clear()
        for line in self.workflow.take_stirred():
            while line.ready and (poller := line.next_poller()):
                task = self._next_task(line.ready, poller.identity, now_ns)
                if task is None:
                    line.pollers.appendleft(poller)
                else:
                    self.out.add(poller.call, task)

    def _settle_task(self, state: RunState, now_ns: int) -> None:
        if state.task is None and state.open and not state.delayed and self._updates.wanted(state.key):
            state.task = Task(0, 1, now_ns)
        task = state.task
        queue = state.started.task_queue
        if task is not None and not task.token:
            if task.visible_ns <= now_ns:
                self.workflow.add_ready(queue, state.key)
            else:
                self.delay(queue, state.key, task.visible_ns)
        self._questions.settle(state)

    def delay(self, queue: str, run: int, visible_ns: int) -> None:
        """Offer a workflow task later, or when a new worker comes."""
        self._delayed[queue].add(run)
        self.agenda.add(visible_ns, run, "")

    def _next_task(self, ready: deque[int | Question], identity: str, now_ns: int) -> WorkflowTask | None:
        while ready:
            entry = ready.popleft()
            if isinstance(entry, Question):
                task = self._query_task(entry, now_ns)
            else:
                task = self._workflow_task(self.runs.get(entry), identity, now_ns)
            if task is not None:
                return task
        return None

    def _query_task(self, question: Question, now_ns: int) -> WorkflowTask | None:
        if question.call.gone:
            return None
        state = self.runs.get(question.run)
        if state.task is not None:
            self._questions.ask(state, question)
            return None
        self._number += 1
        token = f"q{self._number}"
        self._questions.hand_out(token, question)
        self.agenda.add(now_ns + state.started.task_timeout_ns, state.key, token)
        return WorkflowTask(
            token=token,
            workflow_id=state.workflow_id,
            run_id=state.run_id,
            workflow_type=state.started.workflow_type,
            query=question.query,
        )

    def _workflow_task(self, state: RunState, identity: str, now_ns: int) -> WorkflowTask | None:
        task = state.task
        if task is None or task.token:
            return None  # a stale entry
        wanted = self._updates.wanted(state.key)
        if task.speculative and not wanted:
            state.task = None  # who asked has gone
            return None
        queue = state.started.task_queue
        self._delayed[queue].discard(state.key)
        self._number += 1
        token = f"{state.key}:0:{self._number}"
        known = state.sticky == identity or state.tail[0].id == 1
        events = tuple(state.tail) if known else tuple(self.tables.events(state.key))
        offered = answers.offer_task(state, task, token, identity, wanted, now_ns)
        self.agenda.add(now_ns + state.started.task_timeout_ns, state.key, token)
        return WorkflowTask(
            token=token,
            workflow_id=state.workflow_id,
            run_id=state.run_id,
            workflow_type=state.started.workflow_type,
            events=events + offered,
            attempt=task.attempt,
            timeout_ns=state.started.task_timeout_ns,
            updates=wanted,
        )

    # Beginnings and ends.

    def restore(self, tables: Tables, runs: RunCache, now_ns: int) -> list[tuple[int, int]]:
        """Read from the file what is due, after an opening; what memory knew about it is forgotten.

        Returns:
            Run and event of the attempts that are recorded as started.
        """
        self.tables, self.runs = tables, runs
        questions = self._questions.all()
        self._questions.clear()
        self.workflow.forget_ready()
        self.activity.forget_ready()
        self.agenda.clear()
        self._delayed.clear()
        self._changed.clear()
        self._closed.clear()
        started: list[tuple[int, int]] = []
        for run, event, queue, phase, visible_ns in tables.open_tasks():
            if not event and visible_ns > now_ns:
                self.delay(queue, run, visible_ns)
            elif not event:
                self.workflow.add_ready(queue, run)
            elif phase == "scheduled":
                self.activity.add_ready(queue, (run, event))
            elif phase == "started":
                started.append((run, event))
        self._changed = dict.fromkeys(self._updates.restore(runs.get))
        for question in questions:
            self._questions.ask(runs.get(question.run), question)
        for run in list(self._watchers):
            state = runs.get(run)
            if state.closing is not None:
                self._closed.append(state)
        return started

    def asked_about(self) -> set[int]:
        """Runs about which a query is open."""
        return {question.run for question in self._questions.all()}

    def waiting(self) -> list[Call]:
        """Who waits for something other than a task."""
        watchers = [call for calls in self._watchers.values() for call in calls]
        return [*(question.call for question in self._questions.all()), *watchers, *self._updates.calls()]

    def kept(self) -> set[Call]:
        """Who waits for anything."""
        return {*self.waiting(), *self.workflow.waiting(), *self.activity.waiting()}
