"""Errors: how a call that did not return ended, and under which name it is counted."""

from __future__ import annotations

import errno
from collections.abc import Callable
from functools import lru_cache

from monkit_core import faults, masking
from monkit_core.locks import LOCK
from monkit_core.text import describe

__all__ = ["CANCELED", "add_error_name_handler", "error_name", "error_text", "is_panic", "is_success"]

ErrorNameHandler = Callable[[BaseException], str | None]

CANCELED = "Canceled"
OTHER_ERRORS = "other"
"""The name under which a function counts errors beyond its first `MOST_ERROR_NAMES` names."""
MOST_ERROR_NAMES = 64
_NAME_LIMIT = 100
_TEXT_LIMIT = 1000
_MOST_LEAVES = 1000
_MOST_CAUSES = 32
_handlers: tuple[tuple[ErrorNameHandler], ...] = ()  # each in a tuple of its own, to be told from its like

# By name, so that nothing has to be imported that the program does not use.
_CANCELLATIONS = frozenset(
    {
        ("asyncio.exceptions", "CancelledError"),
        ("concurrent.futures._base", "CancelledError"),
        ("trio", "Cancelled"),
        ("trio._core._exceptions", "Cancelled"),
    }
)
_NO_ERRNO = frozenset({("ssl", "SSLError"), ("socket", "gaierror"), ("socket", "herror")})


def is_success(error: BaseException) -> bool:
    """Whether a call that raised *error* did what it should: an early close, an exit with code 0."""
    return isinstance(error, GeneratorExit) or (isinstance(error, SystemExit) and error.code in (None, 0))


def is_panic(error: BaseException) -> bool:
    """Whether *error* is neither an `Exception` nor a cancellation."""
    return not isinstance(error, Exception) and not _is_cancellation(error)


def error_name(error: BaseException) -> str:
    """The name under which *error* is counted, first match wins.

    What a handler says of it or of one of its causes; its ``monkit_error_name``
    attribute; ``Canceled``; ``Timeout``; ``EOF``; ``ClassName:ECONNREFUSED`` for
    an `OSError` with a known errno; the name of the leaves of a group that are
    all of one kind; the name of the class.
    """
    given = _handled_name(error) or _own_name(error)
    if given is not None:
        return given
    if _is_cancellation(error):
        return CANCELED
    if isinstance(error, TimeoutError):
        return "Timeout"
    if isinstance(error, EOFError):
        return "EOF"
    if isinstance(error, OSError) and not _one_of(error, _NO_ERRNO):
        symbol = errno.errorcode.get(error.errno) if isinstance(error.errno, int) else None
        if symbol is not None:
            return f"{type(error).__name__}:{symbol}"
    if isinstance(error, BaseExceptionGroup):
        names = {error_name(leaf) for leaf in _leaves(error)}
        if len(names) == 1:
            return names.pop()
    return describe(type(error).__name__, _NAME_LIMIT)


def error_text(error: BaseException) -> str:
    """The text of *error*, masked, clean and at most about 1,000 characters; its name if it has no text."""
    return masking.describe(error, _TEXT_LIMIT) or error_name(error)


def add_error_name_handler(handler: ErrorNameHandler) -> Callable[[], None]:
    """Let *handler* name errors; returns what takes it away again.

    It is asked for the exception, then for each ``__cause__`` of it, and says
    ``None`` where it does not know. The handler added last is asked first; one
    that was added twice stays until both are taken away. One that raises is
    reported once and counts as not knowing.
    """
    global _handlers
    added = (handler,)
    with LOCK:
        _handlers = (added, *_handlers)

    def remove() -> None:
        global _handlers
        with LOCK:
            _handlers = tuple(item for item in _handlers if item is not added)

    return remove


def _handled_name(error: BaseException) -> str | None:
    if not _handlers:
        return None
    cause: BaseException | None = error
    for _ in range(_MOST_CAUSES):
        if cause is None:
            break
        for (handler,) in _handlers:
            try:
                name = handler(cause)
            except Exception as problem:  # a user's handler, of any kind
                faults.report(f"error name handler {handler!r}", problem)
                continue
            if isinstance(name, str) and name:
                return describe(name, _NAME_LIMIT)
        cause = cause.__cause__
    return None


def _own_name(error: BaseException) -> str | None:
    try:
        own = getattr(error, "monkit_error_name", None)
    except Exception as problem:  # a property of a user's exception, of any kind
        faults.report(f"monkit_error_name of {type(error).__name__}", problem)
        return None
    return describe(own, _NAME_LIMIT) if isinstance(own, str) and own else None


def _is_cancellation(error: BaseException) -> bool:
    if isinstance(error, BaseExceptionGroup):
        return all(_one_of(leaf, _CANCELLATIONS) for leaf in _leaves(error))
    return _one_of(error, _CANCELLATIONS)


def _one_of(error: BaseException, names: frozenset[tuple[str, str]]) -> bool:
    kind: type = type(error)
    return _descends(kind, names)


@lru_cache(maxsize=1024)
def _descends(kind: type, names: frozenset[tuple[str, str]]) -> bool:
    return any((base.__module__, base.__qualname__) in names for base in kind.__mro__)


def _leaves(group: BaseExceptionGroup[BaseException]) -> list[BaseException]:
    """What a group holds in the end, nested groups opened without recursion."""
    leaves: list[BaseException] = []
    waiting: list[BaseException] = [group]
    while waiting and len(leaves) < _MOST_LEAVES:
        error = waiting.pop()
        if isinstance(error, BaseExceptionGroup):
            waiting.extend(error.exceptions)
        else:
            leaves.append(error)
    return leaves
