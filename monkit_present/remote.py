"""Remote traces: wait for the next match, mark its trace as sampled when it begins, and say its id.

The trace itself is then read elsewhere: in the system that sampled traces are
exported to.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from monkit_core import Registry, Span
from monkit_core.waiting import Waiter
from monkit_present.authority import split_authority, with_port
from monkit_present.parameters import BadQuery, quoted
from monkit_present.query import CaptureQuery

__all__ = ["MatchWaiter", "Sampled", "VizHosts", "check_viz", "viz_address", "viz_hosts"]

SAMPLED = "sampled"
"""The value of a trace that propagation and exporters read."""

VizHosts = Collection[tuple[str, int | None]]

_VIZ = re.compile(r"(?P<scheme>https?)://(?P<authority>[^/?#]*)(?P<path>[^?#]*)(?P<rest>.*)", re.IGNORECASE)
_CHARACTERS = re.compile(r"[!#-;=?-Z\[\]_a-z{}~]+")  # of an address, and the braces of {trace_id}
_PLACE = "{trace_id}"


@dataclass(frozen=True, slots=True)
class Sampled:
    """A trace that was marked.

    Attributes:
        trace_id: 128 bits.
        viz: address that was asked for, checked, or ``None``.
    """

    trace_id: int
    viz: str | None


class MatchWaiter(Waiter[Sampled]):
    """The next span that *query* asks for: its trace is marked as sampled before the call goes on.

    See `Waiter`.
    """

    def __init__(self, registry: Registry, query: CaptureQuery, viz: str | None = None) -> None:
        super().__init__()
        self._matcher = query.matcher
        self._viz = viz
        self._target: Span | None = None
        self._first = threading.Lock()  # taken by the first match, never given back
        self._detach = registry.observe_spans(self, query.funcs, query.traces)
        self._begin()

    def _stop(self) -> None:
        self._detach()

    @property
    def target(self) -> Span | None:
        """The span that matched, or ``None``."""
        return self._target

    def span_started(self, span: Span) -> None:
        """See `SpanObserver`."""
        try:
            found = self._matcher(span)
        except RecursionError:
            raise  # the span is missed, as by every observer
        except Exception as problem:  # the matcher's own: it belongs to who waits, not to the measured call
            self._fail(problem)
            return
        if found and not self._future.cancelled() and self._first.acquire(blocking=False):
            self._target = span
            span.trace.set(SAMPLED, True)
            self._deliver(Sampled(span.trace.id, self._viz))

    def span_finished(self, span: Span, error: BaseException | None) -> None:
        """See `SpanObserver`."""


def viz_hosts(names: Iterable[str]) -> frozenset[tuple[str, int | None]]:
    """Hosts that a browser may be sent to, each as host and port (``None``: any).

    Raises:
        TypeError: *names* is one text, whose letters would be taken for names.
        ValueError: one of *names* is not ``host`` or ``host:port``.
    """
    if isinstance(names, str):
        raise TypeError(f"viz_hosts= takes a sequence of hosts, such as ({names!r},)")
    found = set()
    for name in names:
        try:
            found.add(split_authority(name))
        except ValueError:
            raise ValueError(f"viz_hosts= takes host or host:port, found {quoted(name)}") from None
    return frozenset(found)


def check_viz(viz: str, hosts: VizHosts) -> str:
    """*viz* if it is an address on one of *hosts*.

    Raises:
        BadQuery: it is not.
    """
    match = _VIZ.fullmatch(viz)
    if match is None or _CHARACTERS.fullmatch(viz) is None:
        raise BadQuery(f"invalid viz {quoted(viz)}: expected an address that begins with http:// or https://")
    try:
        host, port = split_authority(match["authority"])
    except ValueError:
        raise BadQuery(f"invalid viz {quoted(viz)}: host and port cannot be read") from None
    if (host, None) not in hosts and with_port(match["scheme"], host, port) not in hosts:
        raise BadQuery(f"invalid viz {quoted(viz)}: host not allowed; name it with viz_hosts= when serving")
    return viz


def viz_address(viz: str, trace_id: int) -> str:
    """Where a trace is shown: ``{trace_id}`` in *viz* is filled in; without one the id becomes the last of the path."""
    digits = f"{trace_id:032x}"
    if _PLACE in viz:
        return viz.replace(_PLACE, digits)
    match = _VIZ.fullmatch(viz)
    assert match is not None  # checked by check_viz
    return f"{match['scheme']}://{match['authority']}{match['path'].rstrip('/')}/{digits}{match['rest']}"
