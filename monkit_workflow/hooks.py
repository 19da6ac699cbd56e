"""What a program has around the calls of its clients, workers and workflows: interceptors and propagators."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from monkit_workflow.converter import Converter
from monkit_workflow.failures import decode_any
from monkit_workflow.interceptors import Call, Interceptors
from monkit_workflow.monitoring import trace_header
from monkit_workflow.payload import Payload
from monkit_workflow.propagators import Propagator, check_propagators

__all__ = ["Hooks"]


class Hooks:
    """Interceptors, propagators, and the converter that makes headers of their values.

    Raises:
        TypeError: something is neither, see `Interceptors` and `Propagator`.
    """

    def __init__(
        self, converter: Converter, interceptors: Iterable[object] = (), propagators: Iterable[Propagator] = ()
    ) -> None:
        self._converter = converter
        self._interceptors = Interceptors(interceptors)
        self._propagators = check_propagators(propagators)

    def followed_by(self, interceptors: Iterable[object]) -> Hooks:
        """The same with more interceptors inside of these."""
        return Hooks(self._converter, (*self._interceptors.all, *interceptors), self._propagators)

    @property
    def interceptors(self) -> tuple[object, ...]:
        """All of them."""
        return self._interceptors.all

    def stand_around(self, kind: str) -> bool:
        """See `Interceptors.stand_around`."""
        return self._interceptors.stand_around(kind)

    def through(self, kind: str, call: Call, last: Callable[[Call], Any]) -> Any:
        """See `Interceptors.through`."""
        return self._interceptors.through(kind, call, last)

    def send(self, header: Mapping[str, Any]) -> dict[str, Payload]:
        """The header of a call that is made now: the trace, what propagators say, and *header*, which goes before."""
        values: dict[str, Any] = dict(trace_header())
        for propagator in self._propagators:
            values.update(propagator.inject())
        values.update(header)
        return {key: self._converter.encode(value) for key, value in values.items()}

    def receive(self, header: Mapping[str, Payload]) -> dict[str, Any]:
        """The values of a header that came; propagators set up in the current context what is in it."""
        values = {key: decode_any(self._converter, payload) for key, payload in header.items()}
        for propagator in self._propagators:
            propagator.extract(values)
        return values
