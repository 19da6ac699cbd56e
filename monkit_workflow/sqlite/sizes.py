"""How large the values in records are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec import Struct

from monkit_workflow.payload import Failure, Payload

__all__ = ["payloads_over", "record_over"]


def payloads_over(payloads: Iterable[Payload], limit: int) -> int:
    """The size in bytes of the first payload that is larger than *limit*, 0 if none is."""
    for payload in payloads:
        size = len(payload.data)
        if size > limit:
            return size
    return 0


def record_over(record: Struct, limit: int) -> int:
    """The same for all payloads that a command or request holds, those of its failure included."""
    for name in _fields(type(record)):
        value = getattr(record, name)
        if not value:
            continue
        if isinstance(value, Payload):
            value = (value,)
        elif isinstance(value, Mapping):
            value = value.values()
        elif isinstance(value, Failure):
            value = _details(value)
        if size := payloads_over(value, limit):
            return size
    return 0


def _details(failure: Failure | None) -> Iterable[Payload]:
    while failure is not None:
        yield from failure.details
        if failure.encoded is not None:
            yield failure.encoded
        failure = failure.cause


_HOLDERS = frozenset(
    {"input", "header", "memo", "search_attributes", "attributes", "result", "value", "details", "failure"}
)
_by_type: dict[type[Struct], tuple[str, ...]] = {}


def _fields(kind: type[Struct]) -> tuple[str, ...]:
    names = _by_type.get(kind)
    if names is None:
        names = _by_type[kind] = tuple(name for name in kind.__struct_fields__ if name in _HOLDERS)
    return names
