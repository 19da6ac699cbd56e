"""Ending an attempt of an activity from outside of its worker."""

from __future__ import annotations

from typing import Any

from monkit_workflow.converter import Converter
from monkit_workflow.failures import to_failure
from monkit_workflow.service import ActivityName, Service

__all__ = ["ActivityHandle"]


class ActivityHandle:
    """An open attempt, most often one that its code left by `monkit_workflow.activity.complete_later`.

    Each method raises `NotFound` when the attempt is not open any more: it was
    ended, timed out, or its run is over.
    """

    def __init__(self, service: Service, converter: Converter, name: ActivityName) -> None:
        self._service = service
        self._converter = converter
        self._name = name

    async def complete(self, result: Any = None) -> None:
        """The activity returns *result*; on return it is kept."""
        payload = None if result is None else self._converter.encode(result)
        await self._service.complete_activity(self._name, payload)

    async def fail(self, error: BaseException) -> None:
        """The activity raises *error*; its retry policy decides what follows."""
        await self._service.fail_activity(self._name, to_failure(error, self._converter))

    async def cancel(self, *details: Any) -> None:
        """The activity has ended as its workflow asked it to; without such a request it fails."""
        await self._service.cancel_activity(self._name, tuple(map(self._converter.encode, details)))

    async def heartbeat(self, *details: Any) -> bool:
        """Show that the work goes on; true if the workflow gave the activity up."""
        return await self._service.heartbeat(self._name, tuple(map(self._converter.encode, details)))
