"""The runs in memory: a bounded number of states, read from the file when they are asked for."""

from __future__ import annotations

from itertools import islice

from monkit_workflow.sqlite.rows import Rows, Tables
from monkit_workflow.sqlite.state import RunState
from monkit_workflow.sqlite.transition import Latest

__all__ = ["RunCache"]


class RunCache:
    """Implements `monkit_workflow.sqlite.transition.Runs` over the file."""

    def __init__(self, tables: Tables, rows: Rows, bound: int) -> None:
        self._tables = tables
        self._rows = rows
        self._bound = bound
        self._states: dict[int, RunState] = {}
        self._of_workflow: dict[str, int] = {}
        """The latest run of an id, if it is known."""
        self._of_run_id: dict[str, int] = {}
        self._next_key = tables.next_key()

    def __len__(self) -> int:
        return len(self._states)

    @property
    def attribute_types(self) -> dict[str, str]:
        """The search attributes that are in use, with their types."""
        return self._rows.types

    def get(self, key: int) -> RunState:
        """The state of a run that exists."""
        state = self._states.pop(key, None)
        if state is None:
            state = self._tables.load(key)
            self._of_run_id[state.run_id] = key
        self._states[key] = state  # at the end: the first is the one that was longest not asked for
        return state

    def latest(self, workflow_id: str) -> Latest | None:
        """The current or last run of an id."""
        key = self._of_workflow.get(workflow_id)
        latest = None
        if key is None:
            latest = self._tables.latest(workflow_id)
            if latest is None:
                return None
            key = latest.key
        state = self._states.get(key)
        if state is not None:
            self._of_workflow[workflow_id] = key
            return Latest(key, state.run_id, state.started.first_run_id, state.status, state.request_id)
        return latest if latest is not None else self._tables.latest(workflow_id)

    def find(self, workflow_id: str, run_id: str) -> int | None:
        """The key of a run; an empty *run_id* means the latest."""
        if not run_id:
            latest = self.latest(workflow_id)
            return latest.key if latest is not None else None
        key = self._of_run_id.get(run_id)
        if key is not None:
            return key if self.get(key).workflow_id == workflow_id else None
        return self._tables.find(workflow_id, run_id)

    def create(self, workflow_id: str, run_id: str, parent: int | None, request_id: str) -> RunState:
        """A new run without events, from now on the latest of its id."""
        key = self._next_key
        self._next_key += 1
        state = self._states[key] = RunState(key, workflow_id, run_id, parent, request_id)
        self._of_workflow[workflow_id] = key
        self._of_run_id[run_id] = key
        self._rows.new.add(key)
        return state

    def drop(self, key: int) -> None:
        """Forget a state; what the file has of it is unchanged."""
        state = self._states.pop(key, None)
        self._rows.new.discard(key)
        if state is not None:
            self._of_run_id.pop(state.run_id, None)
            if self._of_workflow.get(state.workflow_id) == key:
                del self._of_workflow[state.workflow_id]

    def shrink(self) -> None:
        """Forget the states that were longest not asked for, down to the bound.

        A state with something that only memory knows stays: a held task, a
        heartbeat since the last write.
        """
        excess = len(self._states) - self._bound
        if excess <= 0:
            return
        idle = (key for key, state in self._states.items() if not _needed(state))
        for key in list(islice(idle, excess)):
            self.drop(key)


def _needed(state: RunState) -> bool:
    return state.held or any(activity.heartbeat_ns for activity in state.activities.values())
