"""Starting workflows and finding them again."""

from __future__ import annotations

import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from datetime import timedelta
from types import TracebackType
from typing import Any, Required, TypedDict, TypeVar, TypeVarTuple, Unpack, overload
from uuid import uuid4

from monkit_workflow.activity_handle import ActivityHandle
from monkit_workflow.converter import Converter, JsonConverter
from monkit_workflow.cron import check_cron
from monkit_workflow.definitions import message_target, target, workflow_definition
from monkit_workflow.errors import MissingTimeout
from monkit_workflow.handles import WorkflowHandle, signal_request
from monkit_workflow.history import IdReuse
from monkit_workflow.hooks import Hooks
from monkit_workflow.interceptors import Call
from monkit_workflow.notes import encode_memo
from monkit_workflow.options import Retry, nanoseconds
from monkit_workflow.payload import Payloads
from monkit_workflow.propagators import Propagator
from monkit_workflow.runs import RunSummary, summary
from monkit_workflow.search_attributes import SearchValue, encode_attributes
from monkit_workflow.service import ActivityIds, Service, StartRequest

__all__ = ["Client", "StartOptions"]

R = TypeVar("R")
Q = TypeVar("Q")
Ts = TypeVarTuple("Ts")


_PAGE = 100
"""Runs that are asked for at a time."""


class StartOptions(TypedDict, total=False):
    """Options of a start."""

    id: Required[str]
    """The workflow id: of those that run there is one of each."""
    task_queue: Required[str]
    """Whose workers shall run it."""
    timeout: Required[timedelta]
    """How long a run may take, its children included; continue-as-new restarts it."""
    task_timeout: timedelta
    """How long a worker may take for one step of the code."""
    id_reuse: IdReuse
    """What a workflow that had the id before means: ``failed_only`` (start if it did not complete), ``allow``,
    ``reject``, or ``terminate`` it if it runs."""
    retry: Retry
    """Without it a run that failed or timed out is not tried again; ``attempts`` or ``expiration`` is required."""
    cron: str
    """When runs begin, such as ``"0 9 * * MON-FRI"``, ``"@every 1h30m"``, ``"CRON_TZ=Europe/Berlin 0 9 * * *"``."""
    memo: Mapping[str, Any]
    """Notes for people, shown with the run."""
    search_attributes: Mapping[str, SearchValue]
    """What it can be found by, see `Client.list`; the type of a name is fixed by its first use."""


def _start_call(name: str, args: tuple[Any, ...], options: dict[str, Any]) -> Call:
    workflow_id = options.pop("id", "")
    return Call(name=name, args=args, options=options, workflow_id=workflow_id)


class Client:
    """A namespace of a service, to start workflows and to find them again. `monkit_workflow.connect` makes it."""

    def __init__(
        self,
        service: Service,
        *,
        converter: Converter | None = None,
        identity: str | None = None,
        interceptors: Iterable[object] = (),
        propagators: Iterable[Propagator] = (),
    ) -> None:
        self.service = service
        self.converter: Converter = converter or JsonConverter()
        self.hooks = Hooks(self.converter, interceptors, propagators)
        self.identity = identity or f"{os.getpid()}@{socket.gethostname()}"

    async def __aenter__(self) -> Client:
        await self.service.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.service.__aexit__(kind, error, trace)

    def encode(self, values: tuple[Any, ...]) -> Payloads:
        """The payloads of some values."""
        return tuple(self.converter.encode(value) for value in values)

    @overload
    async def start(
        self, workflow: Callable[[*Ts], Awaitable[R]], /, *args: *Ts, **options: Unpack[StartOptions]
    ) -> WorkflowHandle[R]: ...
    @overload
    async def start(
        self, workflow: Callable[[Any, *Ts], Awaitable[R]], /, *args: *Ts, **options: Unpack[StartOptions]
    ) -> WorkflowHandle[R]: ...
    @overload
    async def start(
        self, workflow: str, /, *args: Any, returns: type[R], **options: Unpack[StartOptions]
    ) -> WorkflowHandle[R]: ...
    @overload
    async def start(self, workflow: str, /, *args: Any, **options: Unpack[StartOptions]) -> WorkflowHandle[Any]: ...
    async def start(self, workflow: Any, /, *args: Any, returns: Any = Any, **options: Any) -> WorkflowHandle[Any]:  # type: ignore[misc]  # mypy does not see that Any takes Ts
        """Start a workflow. On return it is kept: it will run, also if this process dies now.

        Args:
            workflow: its ``run`` method, the function, or its registered name.
            args: its arguments.
            returns: the type of the result where a name is given.
            options: see `StartOptions`.

        Raises:
            AlreadyStarted: the workflow id is taken.
            MissingTimeout: ``timeout`` is not given.
            TypeError: the arguments do not fit, or it is no workflow.
            ValueError: an option has a value that makes no sense.
        """
        name, hint = target(workflow, workflow_definition, args, returns)
        request_id = str(uuid4())  # the same if an interceptor tries again

        async def send(call: Call) -> WorkflowHandle[Any]:
            request = self._start_request(call, request_id, **call.options)
            run_id = await self.service.start(request)
            return WorkflowHandle(self, request.workflow_id, hint=hint, first=run_id)

        handle: WorkflowHandle[Any] = await self.hooks.through("start", _start_call(name, args, options), send)
        return handle

    @overload
    async def signal_with_start(
        self,
        workflow: Callable[[*Ts], Awaitable[R]],
        /,
        *args: *Ts,
        signal: str | Callable[..., Any],
        signal_args: tuple[Any, ...] = (),
        **options: Unpack[StartOptions],
    ) -> WorkflowHandle[R]: ...
    @overload
    async def signal_with_start(
        self,
        workflow: Callable[[Any, *Ts], Awaitable[R]],
        /,
        *args: *Ts,
        signal: str | Callable[..., Any],
        signal_args: tuple[Any, ...] = (),
        **options: Unpack[StartOptions],
    ) -> WorkflowHandle[R]: ...
    @overload
    async def signal_with_start(
        self,
        workflow: str,
        /,
        *args: Any,
        signal: str | Callable[..., Any],
        signal_args: tuple[Any, ...] = (),
        **options: Unpack[StartOptions],
    ) -> WorkflowHandle[Any]: ...
    async def signal_with_start(  # type: ignore[misc]  # mypy does not see that Any takes Ts
        self,
        workflow: Any,
        /,
        *args: Any,
        signal: str | Callable[..., Any],
        signal_args: tuple[Any, ...] = (),
        returns: Any = Any,
        **options: Any,
    ) -> WorkflowHandle[Any]:
        """Signal the workflow of that id; if none is open, start it first. Both or nothing happens.

        Args:
            workflow: as for `start`.
            args: of the workflow, if it has to be started.
            signal: the handler, such as ``OrderWorkflow.approve``, or its name.
            signal_args: its arguments.
            returns: as for `start`.
            options: see `StartOptions`.

        Raises:
            AlreadyStarted: none is open, and ``id_reuse`` protects the last one.
            MissingTimeout: ``timeout`` is not given.
            TypeError: arguments do not fit, or something is no workflow or no signal.
            ValueError: an option has a value that makes no sense.
        """
        name, hint = target(workflow, workflow_definition, args, returns)
        signal_name, _ = message_target(signal, "signal", signal_args)
        options.update(signal=signal_name, signal_args=signal_args)
        request_id = str(uuid4())

        async def send(call: Call) -> WorkflowHandle[Any]:
            given = dict(call.options)
            said = call.replace(name=given.pop("signal"), args=given.pop("signal_args"))
            request = self._start_request(call, request_id, **given)
            run_id = await self.service.signal_with_start(request, signal_request(self, said, request_id))
            return WorkflowHandle(self, request.workflow_id, hint=hint, first=run_id)

        call = _start_call(name, args, options)
        handle: WorkflowHandle[Any] = await self.hooks.through("signal_with_start", call, send)
        return handle

    def _start_request(
        self,
        call: Call,
        request_id: str,
        *,
        task_queue: str | None = None,
        timeout: timedelta | None = None,
        task_timeout: timedelta = timedelta(seconds=10),
        id_reuse: IdReuse = "failed_only",
        retry: Retry | None = None,
        cron: str = "",
        memo: Mapping[str, Any] | None = None,
        search_attributes: Mapping[str, SearchValue] | None = None,
    ) -> StartRequest:
        if timeout is None:
            raise MissingTimeout(f"the workflow {call.name!r} needs timeout= (how long a run may take)")
        if not call.workflow_id or not task_queue:
            raise TypeError(f"the workflow {call.name!r} needs id= and task_queue=")
        return StartRequest(
            workflow_id=call.workflow_id,
            workflow_type=call.name,
            task_queue=task_queue,
            timeout_ns=nanoseconds("timeout", timeout),
            task_timeout_ns=nanoseconds("task_timeout", task_timeout),
            id_reuse=id_reuse,
            retry=None if retry is None else retry.bounded_policy(),
            cron=check_cron(cron) if cron else "",
            input=self.encode(call.args),
            memo=encode_memo(self.converter, memo),
            search_attributes=encode_attributes(search_attributes),
            header=self.hooks.send(call.header),
            request_id=request_id,
            identity=self.identity,
        )

    @overload
    def handle(self, id: str, *, run_id: str = "") -> WorkflowHandle[Any]: ...
    @overload
    def handle(self, id: str, *, run_id: str = "", workflow: Callable[..., Awaitable[R]]) -> WorkflowHandle[R]: ...
    def handle(self, id: str, *, run_id: str = "", workflow: Any = None) -> WorkflowHandle[Any]:
        """Find a workflow again; nothing is asked of the service yet.

        Args:
            id: the workflow id.
            run_id: one of its runs, by default the current or last one.
            workflow: its ``run`` method or function, for the type of the result.
        """
        hint = Any if workflow is None else workflow_definition(workflow).signature.result
        return WorkflowHandle(self, id, run_id, hint)

    @overload
    def activity(self, *, token: str) -> ActivityHandle: ...
    @overload
    def activity(self, *, workflow_id: str, activity_id: str, run_id: str = "") -> ActivityHandle: ...
    def activity(
        self, *, token: str = "", workflow_id: str = "", activity_id: str = "", run_id: str = ""
    ) -> ActivityHandle:
        """An open attempt, to end it from here.

        Args:
            token: of the attempt, from ``activity.info().token``.
            workflow_id: instead of a token the workflow, with
            activity_id: the id of its activity, by the option ``id=`` or from ``activity.info()``, and
            run_id: a run, by default the current one.

        Raises:
            TypeError: neither a token nor both ids are given.
        """
        if bool(token) == bool(workflow_id and activity_id):
            raise TypeError("an activity is named by token=, or by workflow_id= and activity_id=")
        name = token or ActivityIds(workflow_id=workflow_id, activity_id=activity_id, run_id=run_id)
        return ActivityHandle(self.service, self.converter, name)

    async def list(self, query: str = "", *, limit: int | None = None) -> AsyncIterator[RunSummary]:
        """The runs that a filter lets through, the newest start first, read page by page.

        Args:
            query: such as ``WorkflowType = 'Order' AND ExecutionStatus = 'Running'``; empty lets all through.
            limit: how many at most.

        Raises:
            BadQuery: the filter cannot be read, or names what is not there.
        """
        token = ""
        while limit is None or limit > 0:
            page = await self.service.list_workflows(query, min(limit or _PAGE, _PAGE), token)
            for listed in page.runs:
                yield summary(self, listed)
            token = page.next_token
            if not token:
                return
            if limit is not None:
                limit -= len(page.runs)

    async def count(self, query: str = "") -> int:
        """How many runs a filter lets through. Raises as `list`."""
        return await self.service.count_workflows(query)
