"""What is logged of runs that grow towards a limit."""

from __future__ import annotations

import logging

from monkit_workflow.sqlite.state import RunState
from monkit_workflow.sqlite.transition import Transition

__all__ = ["warn_of_growth"]

_log = logging.getLogger("monkit_workflow.sqlite")


def warn_of_growth(t: Transition) -> None:
    """Tell of long histories, each run once, and of large events."""
    limits = t.limits
    for state in t.touched.values():
        is_long = state.length >= limits.warned_history_events or state.bytes >= limits.warned_history_bytes
        if is_long and not state.warned:
            state.warned = True
            _log.warning(
                "the history of %s has %s events and %s bytes; it is refused above %s and %s: continue as new in time",
                _name(state),
                state.length,
                state.bytes,
                limits.history_events,
                limits.history_bytes,
            )
    for key, event, _, body in t.events:
        if len(body) >= limits.warned_event_bytes:
            _log.warning(
                "event %s of %s has %s bytes; keep large values elsewhere and pass their names",
                event,
                _name(t.touched[key]),
                len(body),
            )


def _name(state: RunState) -> str:
    return f"workflow {state.workflow_id} ({state.started.workflow_type}, run {state.run_id})"
