"""Life of what a run has asked for: one transition table a kind, and who waits for its end.

A machine is created by a call of the code, learns its event id when history
records the command (`RECORDED`), and ends when history says how it ended. The
tables are the whole truth about what may follow what; everything else here
only carries results to futures. No I/O, no clock.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Final, TypeVar

from monkit_workflow.converter import Converter
from monkit_workflow.errors import (
    ActivityFailure,
    ApplicationFailure,
    CancelledFailure,
    ChildAlreadyStarted,
    ChildFailure,
    ConversionError,
    FailureError,
    TerminatedFailure,
    TimeoutFailure,
)
from monkit_workflow.failures import decode_any, to_error
from monkit_workflow.history import (
    ActivityTaskCanceled,
    ActivityTaskCompleted,
    ActivityTaskFailed,
    ActivityTaskStarted,
    ActivityTaskTimedOut,
    ChildWorkflowExecutionCanceled,
    ChildWorkflowExecutionCompleted,
    ChildWorkflowExecutionFailed,
    ChildWorkflowExecutionStarted,
    ChildWorkflowExecutionTerminated,
    ChildWorkflowExecutionTimedOut,
    Event,
    ExternalWorkflowExecutionCancelRequested,
    ExternalWorkflowExecutionSignaled,
    RequestCancelExternalWorkflowExecutionFailed,
    SignalExternalWorkflowExecutionFailed,
    StartChildWorkflowExecutionFailed,
    TimerFired,
)
from monkit_workflow.loop import NumberedFuture, WorkflowLoop
from monkit_workflow.options import Cancellation
from monkit_workflow.payload import Failure, Payload, Payloads

__all__ = [
    "CANCEL_RECORDED",
    "ROUTES",
    "WITHDRAWN",
    "ActivityMachine",
    "ChildMachine",
    "LocalActivityMachine",
    "Machine",
    "PendingResult",
    "RequestMachine",
    "ResultMachine",
    "TimerMachine",
]

T = TypeVar("T")

# States.
CREATED: Final = "created"
"""The command is in the answer of this slice."""
WITHDRAWN: Final = "withdrawn"
"""Created and given up in one slice; a live answer has neither command."""
OPEN: Final = "open"
STARTED: Final = "started"
CANCELING: Final = "canceling"
"""Given up; what comes now interests at most those who wait for the agreement."""
DONE: Final = "done"

# Inputs.
RECORDED: Final = "recorded"
BEGUN: Final = "begun"
GIVEN_UP: Final = "given up"
CANCEL_RECORDED: Final = "cancel recorded"
ENDED: Final = "ended"

Table = Mapping[str, Mapping[str, str]]

ACTIVITY: Final[Table] = {
    CREATED: {RECORDED: OPEN, GIVEN_UP: WITHDRAWN},
    # Some SDKs send both commands all the same, and their histories go on.
    WITHDRAWN: {RECORDED: CANCELING},
    OPEN: {BEGUN: STARTED, GIVEN_UP: CANCELING, ENDED: DONE},
    STARTED: {GIVEN_UP: CANCELING, ENDED: DONE},
    CANCELING: {CANCEL_RECORDED: CANCELING, BEGUN: CANCELING, ENDED: DONE},
    DONE: {},
}
TIMER: Final[Table] = {
    CREATED: {RECORDED: OPEN, GIVEN_UP: WITHDRAWN},
    WITHDRAWN: {RECORDED: CANCELING},
    OPEN: {GIVEN_UP: CANCELING, ENDED: DONE},
    # It may fire while the answer is on its way; Cadence says then that there was nothing to cancel.
    CANCELING: {CANCEL_RECORDED: DONE, ENDED: DONE},
    DONE: {},
}
CHILD: Final[Table] = {
    CREATED: {RECORDED: OPEN, GIVEN_UP: WITHDRAWN},
    WITHDRAWN: {RECORDED: CANCELING},
    OPEN: {BEGUN: STARTED, GIVEN_UP: CANCELING, ENDED: DONE},
    STARTED: {GIVEN_UP: CANCELING, ENDED: DONE},
    CANCELING: {BEGUN: CANCELING, ENDED: DONE},
    DONE: {},
}
REQUEST: Final[Table] = {CREATED: {RECORDED: OPEN}, OPEN: {ENDED: DONE}, DONE: {}}
LOCAL_ACTIVITY: Final[Table] = {CREATED: {GIVEN_UP: WITHDRAWN, ENDED: DONE}, WITHDRAWN: {ENDED: DONE}, DONE: {}}


class PendingResult(NumberedFuture[T]):
    """A future of the code whose cancellation its machine decides about."""

    def __init__(self, loop: WorkflowLoop, on_cancel: Callable[[], bool]) -> None:
        super().__init__(loop=loop)
        self._on_cancel = on_cancel

    def cancel(self, msg: object = None) -> bool:
        """Give up: the machine says whether the wait ends at once."""
        if self.done():
            return False
        if self._on_cancel():
            super().cancel(msg)
        return True

    def end_cancelled(self) -> None:
        """The other side agreed."""
        super().cancel()


class Machine:
    """Something asked for.

    ``event_id`` is 0 until history records it; ``name`` is its type and ``id``
    its id, which history decides. *tell* is called when the code gives it up,
    to send what has to be sent.
    """

    __slots__ = ("_tell", "event_id", "id", "name", "state")
    table: ClassVar[Table]

    def __init__(self, name: str, given_id: str, tell: Callable[[Machine], None]) -> None:
        self.name = name
        self.id = given_id
        self.event_id = 0
        self.state: str = CREATED
        self._tell = tell

    def move(self, given: str) -> None:
        """Take one step of the table.

        Raises:
            ValueError: it has no such step; the history contradicts itself.
        """
        following = self.table[self.state].get(given)
        if following is None:
            raise ValueError(f"{self.name} {self.id} is {self.state}, which cannot be followed by {given!r}")
        self.state = following

    def recorded(self, event_id: int, given_id: str) -> None:
        """History has the command; its ids are adopted."""
        self.move(RECORDED)
        self.event_id = event_id
        self.id = given_id

    def give_up(self, how: Cancellation) -> bool:
        """The code does not want it any more; true if its wait is over at once."""
        if how == "abandon":
            return True
        if GIVEN_UP in self.table[self.state]:
            self.move(GIVEN_UP)
            self._tell(self)
        return how == "try" or self.state == WITHDRAWN

    def settle(self, event: Event) -> None:
        """History says how it went on; after a give-up perhaps nobody waits."""
        raise NotImplementedError


class TimerMachine(Machine):
    """One timer of the loop."""

    __slots__ = ("_fire",)
    table = TIMER

    def __init__(self, name: str, given_id: str, tell: Callable[[Machine], None], fire: Callable[[], None]) -> None:
        super().__init__(name, given_id, tell)
        self._fire = fire

    def settle(self, event: Event) -> None:
        """See `Machine`."""
        wanted = self.state == OPEN
        self.move(ENDED)
        if wanted:
            self._fire()


class ResultMachine(Machine):
    """What has a result: an activity, a child. ``future`` is what the code awaits."""

    __slots__ = ("_converter", "_hint", "future")

    def __init__(
        self,
        name: str,
        given_id: str,
        tell: Callable[[Machine], None],
        loop: WorkflowLoop,
        converter: Converter,
        hint: Any,
        how: Cancellation,
    ) -> None:
        super().__init__(name, given_id, tell)
        self.future: PendingResult[Any] = PendingResult(loop, lambda: self.give_up(how))
        self._converter = converter
        self._hint = hint

    def _return(self, payload: Payload | None) -> None:
        """An absent result is None, whatever the annotation says."""
        if payload is None:
            self.future.set_result(None)
            return
        try:
            self.future.set_result(self._converter.decode(payload, self._hint))
        except ConversionError as problem:
            self.future.set_exception(problem)

    def _canceled(self, details: Payloads) -> None:
        """The other side was cancelled: as the code wished, or by somebody else."""
        if self.state == CANCELING:
            self.future.end_cancelled()
        else:
            self.future.set_exception(
                self._wrap(CancelledFailure("cancelled", *(decode_any(self._converter, item) for item in details)))
            )

    def _wrap(self, cause: FailureError) -> FailureError:
        raise NotImplementedError


class ActivityMachine(ResultMachine):
    """One activity, all its attempts."""

    __slots__ = ()
    table = ACTIVITY

    def settle(self, event: Event) -> None:
        """See `Machine`."""
        if type(event) is ActivityTaskStarted:
            self.move(BEGUN)
            return
        if not self.future.done():
            self._end(event)
        self.move(ENDED)

    def _end(self, event: Event) -> None:
        match event:
            case ActivityTaskCompleted():
                self._return(event.result)
            case ActivityTaskCanceled():
                self._canceled(event.details)
            case ActivityTaskFailed():
                self.future.set_exception(self._wrap(to_error(event.failure, self._converter)))
            case ActivityTaskTimedOut():
                details = [decode_any(self._converter, item) for item in event.details]
                cause = TimeoutFailure(f"{event.timeout.replace('_', '-')} time-out", event.timeout, *details)
                if event.failure is not None:
                    cause.__cause__ = to_error(event.failure, self._converter)
                self.future.set_exception(self._wrap(cause))

    def _wrap(self, cause: FailureError) -> FailureError:
        error = ActivityFailure(f"activity {self.name} failed: {cause}", self.name, self.id)
        error.__cause__ = cause
        return error


class LocalActivityMachine(ActivityMachine):
    """An activity that the worker runs beside the workflow task; its result is a marker."""

    __slots__ = ()
    table = LOCAL_ACTIVITY

    def end(self, value: Payload | None, failure: Failure | None) -> None:
        """Its result is there."""
        if not self.future.done():
            if failure is None:
                self._return(value)
            else:
                self.future.set_exception(self._wrap(to_error(failure, self._converter)))
        self.move(ENDED)


class ChildMachine(ResultMachine):
    """One child workflow. ``started`` ends when it runs, ``future`` when it is over."""

    __slots__ = ("run_id", "started")
    table = CHILD

    def __init__(
        self,
        name: str,
        given_id: str,
        tell: Callable[[Machine], None],
        loop: WorkflowLoop,
        converter: Converter,
        hint: Any,
        how: Cancellation,
    ) -> None:
        super().__init__(name, given_id, tell, loop, converter, hint, how)
        self.started: PendingResult[None] = PendingResult(loop, lambda: self.give_up(how))
        self.run_id = ""

    def give_up(self, how: Cancellation) -> bool:
        """See `Machine`; also who waits for the start is told."""
        over = super().give_up(how)
        if over:
            for future in (self.started, self.future):
                if not future.done():
                    future.end_cancelled()
        return over

    def settle(self, event: Event) -> None:
        """See `Machine`."""
        if isinstance(event, ChildWorkflowExecutionStarted):
            self.move(BEGUN)
            self.run_id = event.run_id
            if not self.started.done():
                self.started.set_result(None)
            return
        if isinstance(event, StartChildWorkflowExecutionFailed):
            if not self.started.done():
                self.started.set_exception(
                    ChildAlreadyStarted(f"the workflow id {self.id!r} is taken", self.name, self.id)
                )
            self.future.end_cancelled()  # nobody has it: the handle was never given out
        elif not self.future.done():
            self._end(event)
        self.move(ENDED)

    def _end(self, event: Event) -> None:
        match event:
            case ChildWorkflowExecutionCompleted():
                self._return(event.result)
            case ChildWorkflowExecutionFailed():
                self.future.set_exception(self._wrap(to_error(event.failure, self._converter)))
            case ChildWorkflowExecutionCanceled():
                self._canceled(event.details)
            case ChildWorkflowExecutionTimedOut():
                self.future.set_exception(self._wrap(TimeoutFailure("its time was over", "start_to_close")))
            case ChildWorkflowExecutionTerminated():
                self.future.set_exception(self._wrap(TerminatedFailure("terminated")))

    def _wrap(self, cause: FailureError) -> FailureError:
        error = ChildFailure(f"child workflow {self.name} failed: {cause}", self.name, self.id, self.run_id)
        error.__cause__ = cause
        return error


class RequestMachine(Machine):
    """A signal or a cancel request to another execution."""

    __slots__ = ("future",)
    table = REQUEST

    def __init__(self, name: str, given_id: str, loop: WorkflowLoop) -> None:
        super().__init__(name, given_id, lambda _: None)
        self.future: NumberedFuture[None] = NumberedFuture(loop=loop)

    def settle(self, event: Event) -> None:
        """See `Machine`."""
        self.move(ENDED)
        if self.future.done():
            return
        if isinstance(event, SignalExternalWorkflowExecutionFailed | RequestCancelExternalWorkflowExecutionFailed):
            text = f"{self.name}: there is no open execution {self.id!r} ({event.cause})"
            self.future.set_exception(ApplicationFailure(text, type="NotFound"))
        else:
            self.future.set_result(None)


ROUTES: Final[Mapping[type[Event], str]] = {
    ActivityTaskStarted: "scheduled_id",
    ActivityTaskCompleted: "scheduled_id",
    ActivityTaskFailed: "scheduled_id",
    ActivityTaskTimedOut: "scheduled_id",
    ActivityTaskCanceled: "scheduled_id",
    TimerFired: "started_id",
    StartChildWorkflowExecutionFailed: "initiated_id",
    ChildWorkflowExecutionStarted: "initiated_id",
    ChildWorkflowExecutionCompleted: "initiated_id",
    ChildWorkflowExecutionFailed: "initiated_id",
    ChildWorkflowExecutionCanceled: "initiated_id",
    ChildWorkflowExecutionTimedOut: "initiated_id",
    ChildWorkflowExecutionTerminated: "initiated_id",
    SignalExternalWorkflowExecutionFailed: "initiated_id",
    ExternalWorkflowExecutionSignaled: "initiated_id",
    RequestCancelExternalWorkflowExecutionFailed: "initiated_id",
    ExternalWorkflowExecutionCancelRequested: "initiated_id",
}
"""Under which field an event carries the id of the event that its machine was recorded by."""
