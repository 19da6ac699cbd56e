"""Values to payloads and back: JSON, unless a value is bytes.

The annotations of the receiving function decide what comes out: dataclasses,
pydantic models, enums, datetimes and the like; without annotations it is plain
JSON. Unknown fields are ignored, missing ones take their defaults. JSON does
not say which class it was, so nothing here guesses: a union whose members look
alike in JSON is refused.
"""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Any, Final, Never, NoReturn, Protocol

import msgspec
from msgspec.inspect import CustomType, type_info

from monkit_workflow.errors import ConversionError
from monkit_workflow.payload import JSON, Payload, Payloads, json_payload

__all__ = ["Converter", "JsonConverter", "Signature", "signature"]

_BYTES: Final = "binary/plain"
_BYTES_LIKE: Final = (bytes, bytearray, memoryview)
_UNIONS: Final = (typing.Union, types.UnionType)

_ADVICE: Final = (
    "JSON does not say which member of a union it was: use msgspec.Struct classes with tag=True, a pydantic RootModel "
    "of the union, or one class with optional fields"
)


class Converter(Protocol):
    """How values become payloads. A converter must give the same bytes for the same value."""

    def check(self, hint: Any) -> None:
        """See that values of the type *hint* can be decoded; asked when a worker is made.

        Raises:
            ConversionError: they cannot.
        """
        return

    def encode(self, value: object) -> Payload:
        """The payload of *value*.

        Raises:
            ConversionError: it has no encoding.
        """
        ...

    def decode(self, payload: Payload, hint: Any) -> Any:
        """The value in *payload*, of the type *hint*; `Any` takes what is there.

        Raises:
            ConversionError: the payload does not fit.
        """
        ...


class JsonConverter:
    """The default: JSON by msgspec, pydantic's for its models, and bytes as they are."""

    def check(self, hint: Any) -> None:
        """See `Converter`."""
        _decoder(hint)
        for kind in _strangers(type_info(hint), set()):
            raise ConversionError(
                f"{_show(hint)} cannot be made from JSON: nothing is known of {_show(kind)}; use a dataclass, a "
                "pydantic model or plain values, or give the worker and the client a converter of your own"
            )

    def encode(self, value: object) -> Payload:
        """See `Converter`."""
        if isinstance(value, _BYTES_LIKE):
            return Payload(binary=bytes(value), encoding=_BYTES)
        try:
            return json_payload(msgspec.json.encode(value, enc_hook=_plain))
        except (TypeError, ValueError, RecursionError) as problem:
            raise ConversionError(
                f"a {type(value).__name__} cannot be encoded as JSON ({problem}); use a dataclass, "
                "a pydantic model or plain values, or give the worker and the client a converter of your own"
            ) from problem

    def decode(self, payload: Payload, hint: Any) -> Any:
        """See `Converter`."""
        if payload.encoding == _BYTES:
            return _binary(payload.binary, hint)
        if payload.encoding != JSON:
            raise ConversionError(
                f"a payload is encoded as {payload.encoding!r}, which this converter does not know; "
                "is it for a codec that this client lacks?"
            )
        decoder = _decoder(hint)
        try:
            return decoder.decode(payload.data)
        except (TypeError, ValueError, RecursionError) as problem:
            raise ConversionError(f"a payload does not fit {_show(hint)}: {problem}") from problem


def _show(hint: Any) -> str:
    return hint.__qualname__ if isinstance(hint, type) and not typing.get_args(hint) else str(hint)


def _binary(data: bytes, hint: Any) -> Any:
    """A lone bytes value, as the *hint* or one member of it wants it."""
    if hint is Any or hint is object:
        return data
    members = (hint, *typing.get_args(hint)) if typing.get_origin(hint) in _UNIONS else (hint,)
    for kind in _BYTES_LIKE:
        if kind in members:
            return kind(data)
    raise ConversionError(f"bytes were sent where {_show(hint)} is expected")


@lru_cache(maxsize=1024)
def _decoder(hint: Any) -> msgspec.json.Decoder[Any]:
    try:
        return msgspec.json.Decoder(hint, dec_hook=_rich)
    except (TypeError, ValueError, NameError) as problem:
        advice = f"; {_ADVICE}" if "union" in str(problem).lower() else ""
        raise ConversionError(f"{_show(hint)} cannot be made from JSON: {problem}{advice}") from None


def _strangers(node: object, seen: set[int]) -> Iterator[Any]:
    """The classes in a description by `msgspec.inspect` that `_rich` cannot make."""
    if isinstance(node, CustomType):
        if node.cls is not object and not hasattr(node.cls, "model_validate_json"):
            yield node.cls
    elif isinstance(node, tuple):
        for item in node:
            yield from _strangers(item, seen)
    elif isinstance(node, msgspec.Struct) and id(node) not in seen:
        seen.add(id(node))
        for name in node.__struct_fields__:
            yield from _strangers(getattr(node, name), seen)


def _plain(value: Any) -> object:
    """What JSON has for *value*, for types that msgspec does not know."""
    if hasattr(value, "model_dump_json"):
        return msgspec.Raw(value.model_dump_json(by_alias=True).encode())
    raise TypeError(f"there is no JSON for a {type(value).__name__}")


def _rich(kind: Any, value: object) -> object:
    if hasattr(kind, "model_validate_json"):
        return kind.model_validate_json(msgspec.json.encode(value))  # as JSON: strict models take strings for dates
    if kind is object:
        return value
    raise TypeError(f"it is unknown how to make a {_show(kind)}")


class Signature:
    """Arguments and result of a function that is called through payloads."""

    def __init__(self, name: str, hints: Sequence[Any], required: int, rest: Any, result: Any) -> None:
        self.name = name
        self.hints = tuple(hints)
        """Types of the positional parameters; `Any` where there is no annotation."""
        self.required = required
        self.rest = rest
        """Type of ``*args``, ``None`` if there is none."""
        self.result = result

    def check(self, count: int) -> None:
        """See that *count* arguments fit.

        Raises:
            TypeError: they do not.
        """
        most = None if self.rest is not None else len(self.hints)
        if count < self.required or (most is not None and count > most):
            wanted = str(self.required) if most == self.required else f"{self.required} to {most or 'any number'}"
            raise TypeError(f"{self.name} takes {wanted} arguments, {count} were given")

    def check_types(self, converter: Converter) -> None:
        """See that *converter* can decode arguments and result.

        Raises:
            ConversionError: it cannot.
        """
        for hint in (*self.hints, self.rest, self.result):
            try:
                converter.check(hint)
            except ConversionError as problem:
                raise ConversionError(f"{self.name}: {problem}") from None

    def decode(self, converter: Converter, payloads: Payloads) -> list[Any]:
        """The arguments in *payloads*.

        Raises:
            ConversionError: one does not fit, or there are too few or too many.
        """
        try:
            self.check(len(payloads))
        except TypeError as problem:
            raise ConversionError(str(problem)) from None
        known = len(self.hints)
        return [
            converter.decode(payload, self.hints[place] if place < known else self.rest)
            for place, payload in enumerate(payloads)
        ]


_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def signature(function: Callable[..., Any], *, bound: bool = False) -> Signature:
    """Read the signature of *function*; with *bound* its first parameter is the instance.

    Raises:
        TypeError: it has a keyword-only parameter without a default, which nobody could give.
    """
    parameters = list(inspect.signature(function).parameters.values())[1 if bound else 0 :]
    hints = _annotations(function)
    places = [parameter for parameter in parameters if parameter.kind in _POSITIONAL]
    for parameter in parameters:
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY and parameter.default is inspect.Parameter.empty:
            raise TypeError(
                f"{function.__qualname__} has the keyword-only parameter {parameter.name!r}; arguments of workflows, "
                "activities and handlers are positional"
            )
    rest = [parameter for parameter in parameters if parameter.kind is inspect.Parameter.VAR_POSITIONAL]
    result = hints.get("return", Any)
    return Signature(
        function.__qualname__,
        [hints.get(parameter.name, Any) for parameter in places],
        sum(parameter.default is inspect.Parameter.empty for parameter in places),
        hints.get(rest[0].name, Any) if rest else None,
        Any if result in (NoReturn, Never) else result,
    )


def _annotations(function: Callable[..., Any]) -> dict[str, Any]:
    try:
        return typing.get_type_hints(function)
    except NameError as problem:
        raise TypeError(
            f"an annotation of {function.__qualname__} cannot be read ({problem}); "
            "names in annotations of workflows and activities must exist at run time"
        ) from problem
