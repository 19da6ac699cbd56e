"""Signals and updates of one run: their handlers run in their turn, and somebody is told of their ends.

Nothing here does I/O or reads a clock.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol

from monkit_workflow.commands import AcceptUpdate, CompleteUpdate, RejectUpdate
from monkit_workflow.definitions import Handler
from monkit_workflow.errors import ApplicationFailure, ConversionError, Nondeterminism, continuation
from monkit_workflow.failures import to_failure
from monkit_workflow.history import WorkflowExecutionSignaled, WorkflowExecutionUpdateAccepted
from monkit_workflow.interceptors import Call
from monkit_workflow.loop import Closed, WokeCode
from monkit_workflow.matching import ADVICE, show_event
from monkit_workflow.payload import Payloads
from monkit_workflow.runtime import Runtime
from monkit_workflow.service import Update

__all__ = ["Handlers"]


class _Told(Protocol):
    """Who is told how it goes with a handler."""

    def begins(self, values: Sequence[Any]) -> None:
        """Its turn has come; an error keeps it from running."""
        ...

    def returned(self, result: Any) -> None:
        """It has ended well."""
        ...

    def raised(self, error: BaseException) -> None:
        """It has not, or could not begin."""
        ...


class _Signal:
    """Nobody waits for a signal; its errors are the run's."""

    def __init__(self, raised: Callable[[BaseException], None]) -> None:
        self.raised = raised

    def begins(self, values: Sequence[Any]) -> None:
        """Go on."""

    def returned(self, result: Any) -> None:
        """Nobody wants it."""


class _UpdateCall:
    """One update: refused before it leaves a trace, or accepted, run and answered."""

    def __init__(self, handlers: Handlers, handler: Handler, update: Update, *, accepted: bool) -> None:
        self._handlers = handlers
        self._runtime = handlers.runtime
        self._handler = handler
        self._update = update
        self._accepted = accepted

    def begins(self, values: Sequence[Any]) -> None:
        """Ask the validator, unless history says that it agreed."""
        validator = self._handler.validator
        if validator is not None and not self._accepted:
            with self._runtime.reading(f"the validator of the update {self._update.name!r}"):
                validator(self._handlers.instance, *values)
        self._accepted = True
        update = self._update
        self._runtime.emit(
            AcceptUpdate(update_id=update.update_id, name=update.name, input=update.input, header=update.header)
        )

    def returned(self, result: Any) -> None:
        """The caller gets the result."""
        payload = None if result is None else self._runtime.converter.encode(result)
        self._runtime.emit(CompleteUpdate(update_id=self._update.update_id, result=payload))

    def raised(self, error: BaseException) -> None:
        """The caller gets what is his: a refusal, a failure, arguments that do not fit. The rest is the run's."""
        runtime, update_id = self._runtime, self._update.update_id
        is_callers = isinstance(error, ConversionError) or runtime.is_failure(error)
        if isinstance(error, WokeCode):
            self._handlers.ended_by(error)
        elif not self._accepted and isinstance(error, Exception):
            runtime.emit(RejectUpdate(update_id=update_id, failure=to_failure(error, runtime.converter)))
        elif is_callers and continuation(error) is None:
            runtime.emit(CompleteUpdate(update_id=update_id, failure=to_failure(error, runtime.converter)))
        else:
            self._handlers.ended_by(error)


class Handlers:
    """The handlers of one run. ``instance`` is the workflow's object once the run has begun."""

    def __init__(self, runtime: Runtime, ended_by: Callable[[BaseException], None]) -> None:
        self.runtime = runtime
        self.instance: Any = None
        self.ended_by = ended_by

    def signal(self, event: WorkflowExecutionSignaled) -> None:
        """A signal came: to its handler, or to the channel of its name."""
        handler = self.runtime.definition.signals.get(event.name)
        if handler is None:
            self.runtime.mailbox.channel(event.name).put(event.input)
        else:
            self._call("handle_signal", handler, event, _Signal(self.ended_by))

    def propose(self, update: Update) -> None:
        """A live task brought an update that nobody has seen yet."""
        known = self.runtime.definition.updates
        handler = known.get(update.name)
        if handler is None:
            text = f"there is no update {update.name!r}; there are: {', '.join(sorted(known)) or 'none'}"
            failure = to_failure(ApplicationFailure(text, type="NotFound"), self.runtime.converter)
            self.runtime.emit(RejectUpdate(update_id=update.update_id, failure=failure))
        else:
            self._call("handle_update", handler, update, _UpdateCall(self, handler, update, accepted=False))

    def accept(self, event: WorkflowExecutionUpdateAccepted) -> None:
        """History has an update that was accepted.

        Raises:
            Nondeterminism: the code has no handler for it.
        """
        handler = self.runtime.definition.updates.get(event.name)
        if handler is None:
            raise Nondeterminism(event.id, show_event(event), "has no handler of that name", ADVICE)
        update = Update(update_id=event.update_id, name=event.name, input=event.input, header=event.header)
        self._call("handle_update", handler, update, _UpdateCall(self, handler, update, accepted=True))

    def _call(self, kind: str, handler: Handler, message: WorkflowExecutionSignaled | Update, told: _Told) -> None:
        """Have a handler run in its turn: a plain function in one step, an async one as a task of its own."""
        loop = self.runtime.loop
        context, header = self.runtime.receive(message.header)
        if handler.is_async or self.runtime.hooks.stand_around(kind):
            coroutine = self._handle(kind, handler, message.input, header, told)
            loop.create_task(coroutine, name=handler.name, context=context)
        else:
            loop.call_soon(self._handle_at_once, handler, message.input, told, context=context)

    def _handle_at_once(self, handler: Handler, arguments: Payloads, told: _Told) -> None:
        try:
            values = handler.signature.decode(self.runtime.converter, arguments)
            told.begins(values)
            told.returned(handler.function(self.instance, *values))
        except BaseException as error:
            told.raised(error)

    async def _handle(
        self, kind: str, handler: Handler, arguments: Payloads, header: dict[str, Any], told: _Told
    ) -> None:
        try:
            values = handler.signature.decode(self.runtime.converter, arguments)
            told.begins(values)
            call = self.runtime.called(handler.name, values, header)
            told.returned(await self.runtime.hooks.through(kind, call, partial(self._run, handler)))
        except (GeneratorExit, Closed):
            raise
        except BaseException as error:
            told.raised(error)

    async def _run(self, handler: Handler, call: Call) -> Any:
        result = handler.function(self.instance, *call.args)
        return await result if handler.is_async else result
