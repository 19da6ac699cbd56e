"""Context propagation: values that travel with calls without being their arguments.

What is set around ``client.start`` is seen by the workflow's code, by its
activities and children and by what these call. The values go in headers,
through the converter and the codecs like all others, and are part of the
history: a replay sees them too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextvars import ContextVar
from typing import Any, Protocol

__all__ = ["ContextVarPropagator", "Propagator", "check_propagators"]


class Propagator(Protocol):
    """Carries something from who calls to who is called. Inside of a workflow its code is workflow code."""

    def inject(self) -> Mapping[str, Any]:
        """What goes into the header of a call that is made now: values by key, empty for nothing."""
        ...

    def extract(self, header: Mapping[str, Any]) -> None:
        """Set up what came with a call, before its code runs, in a context of its own.

        Called for each call, whatever its header holds. Values are what JSON has.
        """
        ...


class ContextVarPropagator:
    """Carries context variables, each under a key of the header.

    A variable that is not set, or is ``None``, is not sent. Values have to be
    what JSON has: strings, numbers, lists, dictionaries.
    """

    def __init__(self, variables: Mapping[str, ContextVar[Any]]) -> None:
        self._variables = dict(variables)

    def inject(self) -> Mapping[str, Any]:
        """See `Propagator`."""
        found = {key: variable.get(None) for key, variable in self._variables.items()}
        return {key: value for key, value in found.items() if value is not None}

    def extract(self, header: Mapping[str, Any]) -> None:
        """See `Propagator`."""
        for key, variable in self._variables.items():
            if key in header:
                variable.set(header[key])


def check_propagators(propagators: Iterable[Propagator]) -> tuple[Propagator, ...]:
    """The same as a tuple.

    Raises:
        TypeError: one has not both methods.
    """
    found = tuple(propagators)
    for item in found:
        if isinstance(item, type) or not all(callable(getattr(item, name, None)) for name in ("inject", "extract")):
            raise TypeError(f"{item!r} is no propagator: it needs the methods inject() and extract(header)")
    return found
