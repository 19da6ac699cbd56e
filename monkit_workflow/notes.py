"""What a run shows of itself: its memo and its search attributes, read and changed by its code."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from monkit_workflow.commands import ModifyWorkflowProperties, UpsertSearchAttributes
from monkit_workflow.converter import Converter
from monkit_workflow.payload import NULL, Payload, merge_payloads
from monkit_workflow.runtime import current
from monkit_workflow.search_attributes import SearchValue, decode_attributes, encode_attributes

__all__ = ["encode_memo", "memo", "search_attributes", "upsert_memo", "upsert_search_attributes"]


def encode_memo(converter: Converter, memo: Mapping[str, Any] | None) -> dict[str, Payload]:
    """The payloads of a memo; ``None`` becomes one that removes, whatever the converter."""
    return {key: NULL if value is None else converter.encode(value) for key, value in (memo or {}).items()}


def memo() -> dict[str, Any]:
    """The run's memo as it is now, without types: plain JSON.

    Raises:
        ConversionError: the worker's converter does not know the encoding of a value.
    """
    runtime = current()
    return {key: runtime.converter.decode(payload, Any) for key, payload in runtime.memo.items()}


def search_attributes() -> dict[str, SearchValue]:
    """The run's search attributes as they are now; times are in UTC."""
    return decode_attributes(current().attributes)


def upsert_memo(changes: Mapping[str, Any]) -> None:
    """Change entries of the memo; ``None`` removes one.

    Raises:
        ConversionError: a value has no encoding.
    """
    runtime = current()
    payloads = encode_memo(runtime.converter, changes)
    if payloads:
        runtime.emit(ModifyWorkflowProperties(memo=payloads))
        runtime.memo = merge_payloads(runtime.memo, payloads)


def upsert_search_attributes(changes: Mapping[str, SearchValue | None]) -> None:
    """Change search attributes; ``None`` or an empty list removes one.

    The type of a name is fixed by its first use in the namespace. Another type
    later fails the workflow task, as any fault of the code does.

    Raises:
        TypeError: a value is of no type that a search attribute can have.
        ValueError: a number or time is out of range, or a time has no zone.
    """
    runtime = current()
    payloads = encode_attributes(changes)
    if payloads:
        runtime.emit(UpsertSearchAttributes(attributes=payloads))
        runtime.attributes = merge_payloads(runtime.attributes, payloads)
