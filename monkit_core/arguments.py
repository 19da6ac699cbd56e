"""Arguments: which of a call's arguments its span keeps, as ``name=repr`` texts.

Only what a declaration names is recorded. The text is made when the call
starts, before any lock, and costs no more than its clipped length where the
type is known: long strings and containers are cut before they are turned into
text.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from monkit_core.masking import is_telling, mask_to, mask_value, reach
from monkit_core.text import clean, clip

__all__ = ["recorder", "show", "show_mapping"]

LIMIT = 200
_REACH = reach(LIMIT)
_MOST_LEVELS = 5
_BY_KEYWORD = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
_NUMBERS = (int, float, bool, type(None))
_STRINGS = (str, bytes, bytearray)
_BRACKETS: dict[type, tuple[str, str]] = {
    tuple: ("(", ")"),
    list: ("[", "]"),
    dict: ("{", "}"),
    set: ("{", "}"),
    frozenset: ("frozenset({", "})"),
}


def show(name: str, value: object) -> str:
    """``name=repr``, secrets masked, clean, each at most 200 characters; a repr that raises is named instead."""
    try:
        text = _Repr().text(value, _MOST_LEVELS)
    except Exception as problem:  # the value's own code, of any kind; the measured call must not notice
        text = f"<{type(value).__name__} whose __repr__ raised {type(problem).__name__}>"
    harmless = type(value) in _NUMBERS and not is_telling(name)
    return clean(f"{clip(name, LIMIT)}={clip(text, LIMIT) if harmless else mask_to(text, LIMIT, name)}")


class _Repr:
    """The `repr` of one value, which looks no further into it once there is enough text."""

    __slots__ = ("_room",)

    def __init__(self) -> None:
        self._room = LIMIT

    def text(self, value: Any, levels: int) -> str:
        kind = type(value)
        if kind in _BRACKETS:
            return self._container(value, kind, levels)
        text = repr(value[:_REACH] if kind in _STRINGS else value)
        self._room -= len(text) + len(", ")
        return text

    def _container(self, value: Any, kind: type, levels: int) -> str:
        self._room -= len("[], ")
        if not value:
            return repr(value)
        opening, closing = _BRACKETS[kind]
        if levels == 0:
            return f"{opening}...{closing}"
        parts: list[str] = []
        for item in value.items() if kind is dict else value:
            if self._room < 0:
                parts.append("...")
                break
            if kind is dict:
                key, held = item
                parts.append(self._item(key, held, levels - 1))
            else:
                parts.append(self.text(item, levels - 1))
        if kind is tuple and len(value) == 1:
            closing = ",)"
        return f"{opening}{', '.join(parts)}{closing}"

    def _item(self, key: Any, value: Any, levels: int) -> str:
        """``key: value``, masked where the key tells: here it is known where the value ends, its text may not say."""
        shown, text = self.text(key, levels), self.text(value, levels)
        return f"{shown}: {mask_value(key, text) if isinstance(key, str) and is_telling(key) else text}"


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
    keywords = frozenset(name for name, parameter in parameters.items() if parameter.kind in _BY_KEYWORD)

    def record(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[str, ...]:
        return tuple(show(name, _find(parameter, index, keywords, args, kwargs)) for name, index, parameter in plan)

    return record


def _find(
    parameter: inspect.Parameter, index: int, keywords: frozenset[str], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> object:
    """The value that *parameter*, the one at *index*, gets in a call; *keywords* are passed by name."""
    if parameter.kind is parameter.VAR_POSITIONAL:
        return args[index:]
    if parameter.kind is parameter.VAR_KEYWORD:
        return {name: value for name, value in kwargs.items() if name not in keywords}
    if index < len(args) and parameter.kind is not parameter.KEYWORD_ONLY:
        return args[index]
    return kwargs.get(parameter.name, parameter.default) if parameter.name in keywords else parameter.default


def _label(function: object) -> str:
    return str(getattr(function, "__qualname__", function))
