"""Arguments: which of a call's arguments its span keeps, as ``name=repr`` texts.

Only what a declaration names is recorded. The text is made when the call
starts, before any lock, and costs no more than its clipped length where the
type is known: long strings and containers are cut before they are turned into
text.
"""

from __future__ import annotations

import inspect
import reprlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from monkit_core.text import clean, clip

__all__ = ["recorder", "show", "show_mapping"]

LIMIT = 200
_STRINGS = (str, bytes, bytearray)
_containers = reprlib.Repr()
_containers.maxlevel = 4
_containers.maxstring = _containers.maxother = _containers.maxlong = LIMIT
_containers.maxtuple = _containers.maxlist = _containers.maxdict = _containers.maxset = _containers.maxfrozenset = 50
_CONTAINERS = (tuple, list, dict, set, frozenset)


def show(name: str, value: object) -> str:
    """``name=repr``, clean, the repr at most 200 characters; a repr that raises is named instead."""
    kind = type(value)
    try:
        if kind in _STRINGS:
            text = repr(value[: LIMIT + 1])  # type: ignore[index]
        elif kind in _CONTAINERS:
            text = _containers.repr(value)
        else:
            text = repr(value)
    except Exception as problem:  # the value's own code, of any kind; the measured call must not notice
        text = f"<{kind.__name__} whose __repr__ raised {type(problem).__name__}>"
    return clean(f"{name}={clip(text, LIMIT)}")


def show_mapping(values: Mapping[str, object]) -> tuple[str, ...]:
    """The same for each item of a mapping."""
    return tuple(show(str(name), value) for name, value in values.items())


def recorder(
    function: Callable[..., Any], names: Iterable[str]
) -> Callable[[tuple[Any, ...], dict[str, Any]], tuple[str, ...]]:
    """What picks the arguments *names* out of a call of *function*.

    Raises:
        TypeError: *names* is one string, or *function* has no such parameter.
    """
    if isinstance(names, str):
        raise TypeError(f"args= takes a sequence of parameter names, such as ({names!r},)")
    wanted = tuple(names)
    parameters = inspect.signature(function).parameters
    unknown = [name for name in wanted if name not in parameters]
    if unknown:
        raise TypeError(f"{_label(function)} has no parameter {unknown[0]!r}; it has {', '.join(parameters) or 'none'}")
    positions = {name: index for index, name in enumerate(parameters)}
    plan = tuple((name, positions[name], parameters[name]) for name in wanted)

    def record(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[str, ...]:
        return tuple(show(name, _find(parameter, index, args, kwargs)) for name, index, parameter in plan)

    return record


def _find(parameter: inspect.Parameter, index: int, args: tuple[Any, ...], kwargs: dict[str, Any]) -> object:
    if parameter.kind is parameter.VAR_POSITIONAL:
        return args[index:]
    if parameter.kind is parameter.VAR_KEYWORD:
        return kwargs
    if index < len(args) and parameter.kind is not parameter.KEYWORD_ONLY:
        return args[index]
    return kwargs.get(parameter.name, parameter.default)


def _label(function: object) -> str:
    return str(getattr(function, "__qualname__", function))
