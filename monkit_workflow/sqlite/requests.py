"""What clients ask of runs: start, signal, cancel, terminate. No I/O, no clock."""

from __future__ import annotations

from monkit_workflow import history as h
from monkit_workflow.cron import check_cron
from monkit_workflow.errors import AlreadyClosed, BadRequest, MissingTimeout, NotFound, ResourceExhausted
from monkit_workflow.service import SignalRequest, StartRequest, UpdateRequest
from monkit_workflow.sqlite import lifecycle
from monkit_workflow.sqlite.attributes import refuse_attributes, refuse_memo
from monkit_workflow.sqlite.sizes import record_over
from monkit_workflow.sqlite.state import RunState
from monkit_workflow.sqlite.transition import Latest, Transition

__all__ = [
    "cancel",
    "open_run",
    "refuse_full",
    "refuse_large",
    "run_of",
    "signal",
    "signal_with_start",
    "start",
    "terminate",
]


def refuse_large(record: StartRequest | SignalRequest | UpdateRequest, limit: int) -> None:
    """Refuse a request with too large a payload.

    Raises:
        ResourceExhausted: it has one.
    """
    if size := record_over(record, limit):
        raise ResourceExhausted(f"a payload has {size} bytes, more than the {limit} that one may have")


def refuse_full(t: Transition, state: RunState) -> None:
    """Refuse news for a run that can only end.

    Raises:
        ResourceExhausted: its history is at its limit.
    """
    events = state.length + len(state.buffered)
    if events >= t.limits.history_events or state.bytes >= t.limits.history_bytes:
        raise ResourceExhausted(
            f"the history of workflow {state.workflow_id!r} is at its limit ({events} events, {state.bytes} bytes)"
        )


def run_of(t: Transition, workflow_id: str, run_id: str) -> RunState:
    """A run, open or closed; without *run_id* the current or last one.

    Raises:
        NotFound: there is none.
    """
    key = t.runs.find(workflow_id, run_id)
    if key is None:
        raise NotFound(f"there is no workflow {workflow_id!r}" + (f" with run {run_id}" if run_id else ""))
    return t.runs.get(key)


def open_run(t: Transition, workflow_id: str, run_id: str) -> RunState:
    """A run that has not ended.

    Raises:
        NotFound: there is none of that name.
        AlreadyClosed: it is over.
    """
    state = run_of(t, workflow_id, run_id)
    if not state.open:
        raise AlreadyClosed(f"run {state.run_id} of workflow {workflow_id!r} is {state.status}")
    return state


def start(t: Transition, request: StartRequest) -> str:
    """Begin a run, or find the one that the same request began.

    Raises:
        AlreadyStarted: the id is taken.
        MissingTimeout: the run would have no end.
        BadRequest: its schedule is none, or a search attribute cannot be taken.
        ResourceExhausted: a payload, the memo or the search attributes are too large.
    """
    _check_start(t, request)
    latest = t.runs.latest(request.workflow_id)
    if latest is not None and _is_same(latest, request):
        return latest.first_run_id
    lifecycle.claim(t, request.workflow_id, request.id_reuse, latest)
    return _begin(t, request).run_id


def signal_with_start(t: Transition, request: StartRequest, sent: SignalRequest) -> str:
    """Signal the open run of the id, which is begun if there is none. Raises as `start` and `signal`."""
    _check_start(t, request)
    refuse_large(sent, t.limits.payload_bytes)
    latest = t.runs.latest(request.workflow_id)
    if latest is not None and latest.status != "running" and _is_same(latest, request):
        return latest.first_run_id  # it came, was seen and the run has ended since
    if latest is not None and latest.status == "running" and request.id_reuse != "terminate":
        state = t.runs.get(latest.key)
    else:
        lifecycle.claim(t, request.workflow_id, request.id_reuse, latest)
        state = _begin(t, request)
    _send(t, state, sent)
    return state.run_id


def _check_start(t: Transition, request: StartRequest) -> None:
    if request.timeout_ns <= 0:
        raise MissingTimeout(f"workflow {request.workflow_id!r} has no execution timeout: give timeout=")
    if request.cron:
        try:
            check_cron(request.cron)
        except ValueError as problem:
            raise BadRequest(str(problem)) from None
    refuse_large(request, t.limits.payload_bytes)
    refused = refuse_memo(request.memo, t.limits) or refuse_attributes(
        request.search_attributes, t.runs.attribute_types, {}, t.limits
    )
    if refused is not None:
        kind, message = refused
        raise ResourceExhausted(message) if kind == "ResourceExhausted" else BadRequest(message)


def _is_same(latest: Latest, request: StartRequest) -> bool:
    return bool(request.request_id) and latest.request_id == request.request_id


def _begin(t: Transition, request: StartRequest) -> RunState:
    return lifecycle.start_run(
        t,
        request.workflow_id,
        t.new_id(),
        request_id=request.request_id,
        workflow_type=request.workflow_type,
        task_queue=request.task_queue,
        input=request.input,
        timeout_ns=request.timeout_ns,
        task_timeout_ns=request.task_timeout_ns,
        retry=request.retry,
        cron=request.cron,
        memo=request.memo,
        search_attributes=request.search_attributes,
        header=request.header,
        identity=request.identity,
    )


def signal(t: Transition, request: SignalRequest) -> None:
    """Deliver a signal, once for a request.

    Raises:
        NotFound: there is no such run.
        AlreadyClosed: it is over.
        ResourceExhausted: the history is full, or a payload too large.
    """
    refuse_large(request, t.limits.payload_bytes)
    _send(t, run_of(t, request.workflow_id, request.run_id), request)


def _send(t: Transition, state: RunState, request: SignalRequest) -> None:
    if request.request_id in state.request_ids:
        return
    if not state.open:
        raise AlreadyClosed(f"run {state.run_id} of workflow {request.workflow_id!r} is {state.status}")
    refuse_full(t, state)
    if request.request_id:
        state.request_ids.add(request.request_id)
        t.requests.append((state.key, request.request_id))
    t.deliver(
        state,
        h.WorkflowExecutionSignaled(
            id=0,
            time_ns=t.now_ns,
            name=request.name,
            input=request.input,
            header=request.header,
            identity=request.identity,
        ),
    )


def cancel(t: Transition, workflow_id: str, run_id: str, reason: str, identity: str) -> None:
    """Ask a run to cancel itself. Raises `NotFound` and `AlreadyClosed`."""
    lifecycle.request_cancel(t, open_run(t, workflow_id, run_id), reason=reason, identity=identity)


def terminate(t: Transition, workflow_id: str, run_id: str, reason: str, identity: str) -> None:
    """End a run without asking it. Raises `NotFound` and `AlreadyClosed`."""
    lifecycle.terminate(t, open_run(t, workflow_id, run_id), reason=reason, identity=identity)
