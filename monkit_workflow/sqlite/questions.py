"""Queries on their way: those that wait for a workflow task, and those that a worker has. Only in memory."""

from __future__ import annotations

from collections import defaultdict

from monkit_workflow.errors import NotFound, QueryFailed
from monkit_workflow.payload import Failure, Payload
from monkit_workflow.service import Query
from monkit_workflow.sqlite.calls import Answers, Call
from monkit_workflow.sqlite.dispatch import Lines
from monkit_workflow.sqlite.state import RunState

__all__ = ["Question", "Questions"]


class Question:
    """A query: who asked, and what."""

    __slots__ = ("call", "query", "run")

    def __init__(self, run: int, query: Query, call: Call) -> None:
        self.run = run
        self.query = query
        self.call = call


class Questions:
    """All queries without an answer. Answers go to *out*, what a worker may take to *lines*."""

    def __init__(self, out: Answers, lines: Lines[int | Question]) -> None:
        self._out = out
        self._lines = lines
        self._asked: dict[str, Question] = {}
        """Those that a worker has, by token."""
        self._waiting: defaultdict[int, list[Question]] = defaultdict(list)
        """Those that wait for the end of a workflow task, by run."""

    def __contains__(self, token: str) -> bool:
        return token in self._asked

    def ask(self, state: RunState, question: Question) -> None:
        """A question waits until no workflow task is due, so that it sees the latest state."""
        task = state.task
        if task is None:
            self._lines.add_ready(state.started.task_queue, question)
        elif task.failure is not None and task.fails_here:
            self._out.add(question.call, error=_unanswerable(state, task.failure))
        else:
            self._waiting[state.key].append(question)

    def settle(self, state: RunState) -> None:
        """The run's workflow task has changed: ask again what waits for it, if it is over or fails."""
        task = state.task
        if state.key in self._waiting and (task is None or task.fails_here):
            for question in self._waiting.pop(state.key):
                self.ask(state, question)

    def hand_out(self, token: str, question: Question) -> None:
        """A worker gets it."""
        self._asked[token] = question

    def take_back(self, token: str) -> Question | None:
        """The worker has it no more; ``None`` if the token is of no question."""
        return self._asked.pop(token, None)

    def answer(self, token: str, result: Payload | None, failure: Failure | None) -> None:
        """The worker answered.

        Raises:
            NotFound: it does not have the question any more.
        """
        question = self.take_back(token)
        if question is None:
            raise NotFound("the query is not open any more")
        self._out.add(question.call, result, None if failure is None else _query_failed(failure.message, failure))

    def all(self) -> list[Question]:
        """Everything that has no answer yet."""
        found = [*self._asked.values(), *(item for items in self._waiting.values() for item in items)]
        for line in self._lines.lines():
            found += [entry for entry in line.ready if isinstance(entry, Question)]
        return found

    def clear(self) -> None:
        """Forget where they are."""
        self._asked.clear()
        self._waiting.clear()


def _query_failed(message: str, failure: Failure) -> QueryFailed:
    error = QueryFailed(message)
    error.failure = failure
    return error


def _unanswerable(state: RunState, failure: Failure) -> QueryFailed:
    return _query_failed(
        f"workflow {state.workflow_id!r} cannot answer: its workflow task fails, "
        f"last with {failure.type or failure.kind}: {failure.message}",
        failure,
    )
