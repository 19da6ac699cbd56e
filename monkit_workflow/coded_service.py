"""The border to a service: payloads pass through codecs on their way out, and back through them on their way in.

Every payload of every record is covered, wherever it stands, those of failures
included. Search attributes are not: the service has to compare them.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Awaitable, Callable, Hashable, Sequence
from contextlib import suppress
from functools import cache
from typing import Any, Final, TypeVar, cast, get_args, get_type_hints

import msgspec
from msgspec import Struct

from monkit_workflow.codecs import Codec
from monkit_workflow.errors import ConversionError, NotFound, QueryFailed, UpdateRejected
from monkit_workflow.payload import Failure, Payload, is_null, json_payload
from monkit_workflow.service import ActivityTask, Service, WorkflowTask

__all__ = ["coded"]

S = TypeVar("S", bound=Struct)
LOG = logging.getLogger("monkit_workflow.codecs")
_IN_CLEAR: Final = frozenset({"search_attributes", "attributes"})
_FOR_PEOPLE: Final = frozenset({"describe", "list_workflows"})
"""Calls whose answers are shown also where the keys are not at hand: what cannot be decoded stays as it is."""
_POLLS: Final = frozenset({"poll_workflow_task", "poll_activity_task"})
"""Calls whose answers nobody would miss: they fail where they are, and the next one is asked for."""
_HIDDEN: Final = "Encoded failure"


def coded(service: Service, codecs: Sequence[Codec], *, encode_failures: bool = True) -> Service:
    """*service* behind a border.

    Args:
        service: what is behind it; it sees encoded payloads only.
        codecs: applied in this order on the way out, in reverse on the way in.
        encode_failures: whether messages and stacks of failures become payloads, so that they are encoded too.
    """
    return cast(Service, _CodedService(service, codecs, encode_failures))


class _CodedService:
    """All methods of `Service` that carry records; they are added below."""

    def __init__(self, service: Service, codecs: Sequence[Codec], encode_failures: bool) -> None:
        self._service = service
        self._encoder = _Encoder(codecs, encode_failures)
        self._decoder = _Decoder(codecs)
        self._lenient_decoder = _Decoder(codecs, lenient=True)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._service, name)

    async def __aenter__(self) -> _CodedService:
        await self._service.__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._service.__aexit__(*exc)

    async def _call(self, name: str, arguments: tuple[Any, ...], options: dict[str, Any]) -> Any:
        method = getattr(self._service, name)
        decoder = self._lenient_decoder if name in _FOR_PEOPLE else self._decoder
        try:
            answer = await method(*map(self._encoder.value, arguments), **self._encoder.value(options))
        except (QueryFailed, UpdateRejected) as error:
            if error.failure is None:
                raise
            failure = decoder.failure(error.failure)
            decoded = type(error)(str(error).replace(error.failure.message, failure.message))
            decoded.failure = failure
            raise decoded from None
        try:
            return decoder.value(answer)
        except ConversionError as problem:
            if name not in _POLLS:
                raise
            await self._refuse(answer, problem)
            return None

    async def _refuse(self, task: WorkflowTask | ActivityTask, problem: ConversionError) -> None:
        """This worker cannot read a task: it fails, as it does when code cannot go on; its run waits."""
        LOG.error("a task of workflow %s cannot be decoded: %s", task.workflow_id, problem)
        failure = self._encoder.failure(Failure(type="ConversionError", message=str(problem)))
        with suppress(NotFound):  # its time was over meanwhile
            if isinstance(task, ActivityTask):
                await self._service.fail_activity(task.token, failure)
            elif task.query is not None:
                await self._service.answer_query(task.token, None, failure)
            else:
                await self._service.fail_workflow_task(task.token, failure)


def _method(name: str) -> Callable[..., Awaitable[Any]]:
    async def method(self: _CodedService, *arguments: Any, **options: Any) -> Any:
        return await self._call(name, arguments, options)

    return method


for _name, _member in vars(Service).items():
    if inspect.iscoroutinefunction(_member) and not _name.startswith("_"):
        setattr(_CodedService, _name, _method(_name))


class _Walk:
    """Goes through records and changes each payload in them."""

    def payload(self, payload: Payload) -> Payload:
        """The payload that takes the place of *payload*."""
        raise NotImplementedError

    def failure(self, failure: Failure) -> Failure:
        """The failure that takes the place of *failure*."""
        return self._record(failure)

    def value(self, value: Any) -> Any:
        """What takes the place of *value*, which may hold payloads anywhere."""
        if isinstance(value, Payload):
            return value if is_null(value) else self.payload(value)  # null removes an entry of a memo
        if isinstance(value, Failure):
            return self.failure(value)
        if isinstance(value, Struct):
            return self._record(value)
        if isinstance(value, tuple | list):
            return type(value)(map(self.value, value))
        if isinstance(value, dict):
            return {key: self.value(item) for key, item in value.items()}
        return value

    def _record(self, record: S) -> S:
        kind: Hashable = type(record)
        changed = {name: self.value(held) for name in _holders(kind) if (held := getattr(record, name))}
        return msgspec.structs.replace(record, **changed) if changed else record


class _Encoder(_Walk):
    def __init__(self, codecs: Sequence[Codec], encode_failures: bool) -> None:
        self._codecs = tuple(codecs)
        self._encode_failures = encode_failures

    def payload(self, payload: Payload) -> Payload:
        """See `_Walk`."""
        for codec in self._codecs:
            payload = _apply(codec.encode, payload)
        return payload

    def failure(self, failure: Failure) -> Failure:
        """Put message and stack into a payload, as the SDKs of Temporal do, by the same names."""
        if self._encode_failures:
            words = {"message": failure.message, "stack_trace": failure.stack}
            payload = json_payload(msgspec.json.encode(words))
            failure = msgspec.structs.replace(failure, message=_HIDDEN, stack="", encoded=payload)
        return self._record(failure)


class _Decoder(_Walk):
    def __init__(self, codecs: Sequence[Codec], lenient: bool = False) -> None:
        self._codecs = tuple(reversed(codecs))
        self._lenient = lenient

    def payload(self, payload: Payload) -> Payload:
        """See `_Walk`."""
        decoded = payload
        try:
            for codec in self._codecs:
                decoded = _apply(codec.decode, decoded)
        except ConversionError:
            if not self._lenient:
                raise
            return payload
        return decoded

    def failure(self, failure: Failure) -> Failure:
        """Take message and stack out again."""
        found = self._record(failure)
        if found.encoded is None:
            return found
        try:
            words = msgspec.json.decode(found.encoded.data, type=dict[str, str])
        except msgspec.DecodeError:
            return found  # the key is not at hand, or it is somebody else's
        return msgspec.structs.replace(
            found, message=words.get("message", ""), stack=words.get("stack_trace", ""), encoded=None
        )


def _apply(step: Callable[[Payload], Payload], payload: Payload) -> Payload:
    try:
        return step(payload)
    except ConversionError:
        raise
    except Exception as problem:  # of a codec of the user's own: it ends neither a worker nor its polls
        name = getattr(step, "__qualname__", repr(step))
        raise ConversionError(f"{name} raised {type(problem).__name__}: {problem}") from problem


@cache
def _holders(kind: Any) -> tuple[str, ...]:
    """The fields of a record that may hold payloads."""
    hints = get_type_hints(kind)
    return tuple(name for name in kind.__struct_fields__ if name not in _IN_CLEAR and _may_hold(hints[name]))


def _may_hold(hint: Any) -> bool:
    return (isinstance(hint, type) and issubclass(hint, Struct)) or any(map(_may_hold, get_args(hint)))
