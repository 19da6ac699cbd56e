"""Values that code got from outside: versions, side effects, mutable side effects.

In a live task the value is made and recorded; in a replay it is taken from the
markers of the task that is replayed, which are read ahead.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from monkit_workflow.commands import Command, RecordMarker
from monkit_workflow.converter import Converter
from monkit_workflow.errors import Nondeterminism
from monkit_workflow.history import Event, MarkerRecorded
from monkit_workflow.matching import ADVICE
from monkit_workflow.payload import Payload

__all__ = ["DEFAULT_VERSION", "RecordedValues"]

DEFAULT_VERSION = -1
"""The version of a change in runs that passed its place before there was a call of ``version``."""


class RecordedValues:
    """The recorded values of one run."""

    def __init__(
        self, converter: Converter, emit: Callable[[Command], object], demand_writable: Callable[[], None]
    ) -> None:
        self.replaying = False
        self._converter = converter
        self._emit = emit
        self._demand_writable = demand_writable
        self._versions: dict[str, int] = {}
        self._recorded_versions: dict[str, MarkerRecorded] = {}
        self._side_effects: deque[MarkerRecorded] = deque()
        self._changes: dict[str, deque[MarkerRecorded]] = {}
        self._values: dict[str, Payload] = {}
        self._calls: dict[str, int] = {}
        self._task_end = 0

    def preload(self, batch: Sequence[Event] | None, started_id: int) -> None:
        """Read ahead over the events that the next slice's answer made; ``None`` if it is live."""
        self.replaying = batch is not None
        self._task_end = started_id
        self._side_effects.clear()
        self._changes.clear()
        for event in batch or ():
            if not isinstance(event, MarkerRecorded):
                continue
            if event.name == "Version":
                self._recorded_versions[event.key] = event
            elif event.name == "SideEffect":
                self._side_effects.append(event)
            elif event.name == "MutableSideEffect":
                self._changes.setdefault(event.key, deque()).append(event)

    def version(self, change_id: str, least: int, most: int) -> int:
        """The version of a change that this run goes by.

        Raises:
            Nondeterminism: the run goes by one that the code does not have any more, or not yet.
            ValueError: *least* is above *most*.
        """
        if least > most:
            raise ValueError(f"version({change_id!r}): the least version {least} is above the most {most}")
        chosen = self._versions.get(change_id)
        if chosen is None:
            chosen = self._choose(change_id, most)
            self._versions[change_id] = chosen
        if not least <= chosen <= most:
            marker = self._recorded_versions.get(change_id)
            raise Nondeterminism(
                marker.id if marker else self._task_end,
                f"version {chosen} of the change {change_id!r}",
                f"knows the versions {least} to {most}",
                "Keep the code for a version as long as runs that go by it are open.",
            )
        return chosen

    def _choose(self, change_id: str, most: int) -> int:
        self._demand_writable()
        if self.replaying:
            marker = self._recorded_versions.get(change_id)
            return DEFAULT_VERSION if marker is None or marker.version is None else marker.version
        self._emit(RecordMarker(name="Version", key=change_id, version=most))
        return most

    def side_effect(self, function: Callable[[], Any], hint: Any) -> Any:
        """What *function* returned when this place was first reached.

        Raises:
            Nondeterminism: history has no side effect here.
        """
        self._demand_writable()
        if not self.replaying:
            payload = self._converter.encode(function())
        elif self._side_effects:
            payload = self._side_effects.popleft().value or self._converter.encode(None)
        else:
            raise Nondeterminism(self._task_end, "no side effect in this task", "asked for one", ADVICE)
        self._emit(RecordMarker(name="SideEffect", value=payload))
        return self._converter.decode(payload, hint)

    def mutable_side_effect(self, key: str, function: Callable[[], Any], hint: Any) -> Any:
        """What *function* returned, recorded only when it changed.

        Raises:
            Nondeterminism: history has no value yet.
        """
        self._demand_writable()
        count = self._calls[key] = self._calls.get(key, 0) + 1
        before = self._values.get(key)
        payload = self._changed(key, count) if self.replaying else self._converter.encode(function())
        if payload is None:
            if before is None:
                raise Nondeterminism(self._task_end, f"no value of {key!r} yet", "asked for it", ADVICE)
            payload = before
        elif payload != before:
            self._values[key] = payload
            self._emit(RecordMarker(name="MutableSideEffect", key=key, count=count, value=payload))
        return self._converter.decode(payload, hint)

    def _changed(self, key: str, count: int) -> Payload | None:
        changes = self._changes.get(key)
        # Cadence does not count calls: there the first call of the task sees the change.
        if not changes or changes[0].count not in (None, count):
            return None
        return changes.popleft().value
