"""History files: our own form, which is JSON, and every form that can be read.

Our file has an event a line, so that it can be searched and compared, and the
payloads' JSON stays byte for byte what it was::

    {
      "format": "monkit-workflow-history",
      "version": 1,
      "workflow_id": "order-17",
      "run_id": "0ea65eda-…",
      "events": [
        {"type":"WorkflowExecutionStarted","id":1,…},
        {"type":"WorkflowTaskScheduled","id":2,…}
      ]
    }
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Union

import msgspec

from monkit_workflow import history
from monkit_workflow.cadence import history_file as cadence
from monkit_workflow.errors import HistoryFormatError
from monkit_workflow.foreign import describe
from monkit_workflow.history import Event, WorkflowExecutionStarted
from monkit_workflow.temporal import history_file as temporal

__all__ = ["RecordedHistory", "read_history", "write_history"]

_FORMAT = "monkit-workflow-history"
_VERSION = 1
_FORMS = "a history of monkit_workflow, of Temporal (events with eventTime) or of Cadence (events with timestamp)"
_INDEX = re.compile(r"`\$(?:\[([0-9]+)\])?\.?([^`]*)`")


class RecordedHistory(msgspec.Struct, frozen=True):
    """What a history file holds; ids are empty where the file does not tell them."""

    events: tuple[Event, ...]
    workflow_id: str = ""
    run_id: str = ""
    """The id that the run was started with, if the file is not ours."""


_EVENTS = [
    kind
    for kind in (getattr(history, name) for name in history.__all__)
    if isinstance(kind, type) and issubclass(kind, Event) and kind is not Event
]
_DECODER: msgspec.json.Decoder[list[Event]] = msgspec.json.Decoder(list[Union[tuple(_EVENTS)]])  # type: ignore[misc]  # noqa: UP007


def read_history(source: str | os.PathLike[str] | bytes | Mapping[str, Any] | list[Any]) -> RecordedHistory:
    """Read a history, whatever form it is in.

    Args:
        source: the path of a file, the bytes of one, or the JSON document in them, already parsed.

    Returns:
        The events, with what the file says of workflow and run.

    Raises:
        HistoryFormatError: it is no history, an event cannot be read, or one is missing: ids count from 1.
        OSError: the file cannot be read.
    """
    try:
        return _read(_bytes(source))
    except RecursionError:
        raise HistoryFormatError("found JSON that is nested too deeply, expected a history") from None


def write_history(recorded: RecordedHistory) -> bytes:
    """The file of *recorded* in our form; the same history gives the same bytes."""
    encode = msgspec.json.encode
    head = {"format": _FORMAT, "version": _VERSION, "workflow_id": recorded.workflow_id, "run_id": recorded.run_id}
    lines = [b"  %s: %s,\n" % (encode(key), encode(value)) for key, value in head.items()]
    events = b",\n".join(b"    " + encode(event) for event in recorded.events)
    return b"{\n" + b"".join(lines) + b'  "events": [\n' + events + b"\n  ]\n}\n"


def _bytes(source: str | os.PathLike[str] | bytes | Mapping[str, Any] | list[Any]) -> bytes:
    """The JSON text of *source*; parsed documents are written again, so that there is one way to read them."""
    if isinstance(source, bytes):
        return source.removeprefix(b"\xef\xbb\xbf")
    if isinstance(source, str | os.PathLike):
        return Path(source).read_bytes().removeprefix(b"\xef\xbb\xbf")
    try:
        return msgspec.json.encode(dict(source) if isinstance(source, Mapping) else source)
    except (TypeError, ValueError, OverflowError) as error:
        raise HistoryFormatError(f"found values that JSON does not have, expected a parsed history: {error}") from error


def _read(data: bytes) -> RecordedHistory:
    document = _parsed(data)
    if isinstance(document, dict) and document.get("format") == _FORMAT:
        return _ours(data, document)
    raw_events = _raw_events(document)
    first = raw_events[0]
    if not isinstance(first, dict):
        raise HistoryFormatError(f"found {describe(first)}, expected an event of {_FORMS}", 0)
    if "timestamp" in first:
        return _recorded(cadence.read_events(raw_events))
    if "eventTime" in first or "event_time" in first or str(first.get("eventType")).startswith("EVENT_TYPE_"):
        return _recorded(temporal.read_events(raw_events), temporal.workflow_id(raw_events))
    raise HistoryFormatError(f"found neither time nor known type, expected an event of {_FORMS}", 0)


def _parsed(data: bytes) -> Any:
    try:
        return msgspec.json.decode(data)
    except ValueError as error:
        raise HistoryFormatError(f"found no JSON ({error}), expected {_FORMS}") from error


def _raw_events(document: Any) -> list[Any]:
    """The array of events of a foreign file; answers of Temporal's service have it inside a history."""
    events = document
    for key in ("history", "events"):
        events = events.get(key, events) if isinstance(events, dict) else events
    if not isinstance(events, list):
        raise HistoryFormatError(f"found {describe(document)} without an array of events, expected {_FORMS}")
    if not events:
        raise HistoryFormatError("found no events, expected at least that of the run's start")
    return events


def _ours(data: bytes, document: dict[str, Any]) -> RecordedHistory:
    version = document.get("version")
    if version != _VERSION or isinstance(version, bool):
        problem = f"found version {describe(version)} of our form, expected {_VERSION}"
        raise HistoryFormatError(f"{problem}; a later monkit_workflow may have written it")
    raw = msgspec.json.decode(data, type=dict[str, msgspec.Raw])
    _raw_events(document)
    ids = [document.get("workflow_id", ""), document.get("run_id", "")]
    if not all(isinstance(item, str) for item in ids):
        raise HistoryFormatError("found a workflow_id or run_id that is no string, expected strings")
    try:
        events = tuple(_DECODER.decode(raw["events"]))
    except ValueError as error:
        raise _located(error, document["events"]) from error
    return _recorded(events, *ids)


def _located(error: ValueError, raw_events: list[Any]) -> HistoryFormatError:
    """What msgspec found wrong, at the event that it names in its message."""
    found = _INDEX.search(str(error))
    if found is None or found[1] is None:
        return HistoryFormatError(f"{error}; expected events of our form")
    index = int(found[1])
    event = raw_events[index]
    event_id = event.get("id") if isinstance(event, dict) else None
    problem = str(error).partition(" - at ")[0]
    return HistoryFormatError(problem, index, event_id if isinstance(event_id, int) else None, found[2])


def _recorded(events: tuple[Event, ...], workflow_id: str = "", run_id: str = "") -> RecordedHistory:
    for index, event in enumerate(events):
        if event.id != index + 1:
            problem = f"found id {event.id}, expected {index + 1}: events are missing or out of order"
            raise HistoryFormatError(f"{problem}; save the whole history of the run", index, event.id, "id")
    if not run_id and isinstance(events[0], WorkflowExecutionStarted):
        run_id = events[0].run_id
    return RecordedHistory(events, workflow_id, run_id)
