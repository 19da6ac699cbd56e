"""The formats, as a table, and the two verbs: `extract` and `inject`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from monkit_core.propagation import b3, baggage, w3c
from monkit_core.propagation.context import NOTHING, TraceContext, current_context
from monkit_core.propagation.headers import Carrier, Headers, pick, put

__all__ = ["DEFAULT_FORMATS", "FORMATS", "Format", "check_formats", "extract", "inject"]


@dataclass(frozen=True, slots=True)
class Format:
    """One way to say a context in headers.

    Attributes:
        fields: the header fields that say it.
        owned: names that are taken out before those are put in, so that none is left of another request.
    """

    fields: Callable[[TraceContext], dict[str, str]]
    owned: frozenset[str]


def _baggage_fields(context: TraceContext) -> dict[str, str]:
    return {"baggage": baggage.field(context.baggage)} if context.baggage else {}


_B3 = frozenset({"b3", "x-b3-traceid", "x-b3-spanid", "x-b3-parentspanid", "x-b3-sampled", "x-b3-flags"})

FORMATS = {
    "w3c": Format(w3c.fields, frozenset({"traceparent", "tracestate"})),
    "baggage": Format(_baggage_fields, frozenset()),  # a program may have written a field of its own: it stays
    "b3": Format(b3.single_fields, _B3),
    "b3multi": Format(b3.multi_fields, _B3),
}
DEFAULT_FORMATS = ("w3c", "baggage")

_READ = {"baggage", *(name for entry in FORMATS.values() for name in entry.owned)}
_WANTED: dict[str | bytes, str] = {key: name for name in _READ for key in (name, name.encode())}


def extract(headers: Headers, *, honour_sampling: bool = False, record_baggage: Iterable[str] = ()) -> TraceContext:
    """What the headers of a request say of the trace that it belongs to.

    W3C headers go before B3 headers; a ``traceparent`` that is malformed or
    there twice restarts the trace, whatever else there is. Never raises on
    what the headers hold.

    Args:
        headers: a mapping, pairs of bytes as ASGI has them, or anything with
            ``items()``; names in any case.
        honour_sampling: what the sender decided about sampling shall hold here
            too. Anybody can send that, so ask for it only behind a gateway
            that takes such headers away from strangers.
        record_baggage: keys whose values become annotations ``baggage.KEY`` of
            the receiving span.
    """
    found = pick(headers, _WANTED)
    if not found:
        return NOTHING
    context = w3c.read(found) if "traceparent" in found else b3.read(found)
    members = baggage.parse_baggage(found["baggage"]) if "baggage" in found else ()
    if members or honour_sampling:
        recorded = frozenset((record_baggage,) if isinstance(record_baggage, str) else record_baggage)
        context = replace(context, baggage=members, honour_sampling=honour_sampling, recorded=recorded)
    return context


def inject(headers: Carrier, *, formats: Iterable[str] = DEFAULT_FORMATS) -> None:
    """Say in *headers* that what they are sent with belongs to the current span.

    Without a current span nothing changes. Header fields of the same format
    that are there already are replaced; a ``baggage`` field stays.

    Args:
        headers: a mapping, or a list of pairs of bytes; changed in place.
        formats: keys of `FORMATS`. Leave out ``baggage`` where a request goes
            to somebody who must not see what others have put into it.

    Raises:
        ValueError: a format is unknown.
    """
    context = current_context()
    if context is None:
        return
    owned: frozenset[str] = frozenset()
    said: dict[str, str] = {}
    for entry in check_formats(formats):
        owned |= entry.owned
        said.update(entry.fields(context))
    put(headers, owned, said)


def check_formats(formats: Iterable[str]) -> list[Format]:
    """The formats of these names.

    Raises:
        ValueError: one is unknown; the message names those that are known.
    """
    names = (formats,) if isinstance(formats, str) else tuple(formats)
    unknown = [name for name in names if name not in FORMATS]
    if unknown:
        raise ValueError(f"unknown propagation format {unknown[0]!r}: known are {', '.join(FORMATS)}")
    return [FORMATS[name] for name in names]
