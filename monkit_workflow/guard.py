"""The guard: what a replay would do otherwise is refused while workflow code runs.

A slice of a workflow runs inside `guarding`, which marks its thread. The names
of `monkit_workflow.guard_names` are replaced, for the whole process, by
wrappers that look at that mark: outside of slices they call the original, at
the price of one thread-local attribute; inside they judge who calls. Nothing
is imported anew and no class is replaced, so everything else in the process
stays what it was.

Originals that somebody imported by name before, and ``datetime.now``, are out
of reach here: `monkit_workflow.inspection` finds those.
"""

from __future__ import annotations

import asyncio
import functools
import importlib
import pkgutil
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from types import FrameType
from typing import Any, Literal, get_args

from monkit_workflow.errors import GuardError
from monkit_workflow.guard_callers import Place, is_spared, place_of
from monkit_workflow.guard_names import NAMES, Name

__all__ = [
    "GuardWarning",
    "Mode",
    "guarding",
    "install",
    "installed",
    "is_guarded",
    "originals",
    "unguarded",
    "uninstall",
    "wrap",
]

Mode = Literal["refuse", "warn", "off"]

_MODES = frozenset(get_args(Mode))
_MOST_PLACES = 4096
_ABSENT = object()


class GuardWarning(UserWarning):
    """Workflow code called what `GuardError` would refuse; a worker with ``guard="warn"`` lets it through."""


class _Thread(threading.local):
    guard: guarding | None = None  # the default of every thread, so that a lookup never fails


_thread = _Thread()


class guarding:
    """Marks this thread as running workflow code, for one slice.

    Nests: the innermost one counts, so ``guarding("off")`` lifts an outer one.
    ``refused`` keeps the first error, for a runner that wants to fail the task
    even where the workflow's ``except Exception`` swallowed it. Not reusable
    by two threads at once.
    """

    __slots__ = ("_before", "base", "mode", "refused")

    def __init__(self, mode: Mode = "refuse") -> None:
        if mode not in _MODES:
            raise ValueError(f"the guard's mode is {mode!r}, expected one of {', '.join(get_args(Mode))}")
        self.mode = mode
        self.base: FrameType | None = None
        self.refused: GuardError | None = None

    def __enter__(self) -> guarding:
        self._before = _thread.guard
        self.base = sys._getframe(1)  # callers are looked for up to here, not in what runs the slice
        _thread.guard = None if self.mode == "off" else self
        return self

    def __exit__(self, *_: object) -> None:
        _thread.guard = self._before
        self.base = None


class _Lift:
    """One `unguarded` block: whose it is, whether it is open, and the one around it."""

    __slots__ = ("open", "outer", "task")

    def __init__(self, outer: _Lift | None, task: asyncio.Task[Any] | None) -> None:
        self.open = True
        self.outer = outer
        self.task = task


_lift: ContextVar[_Lift | None] = ContextVar("monkit_workflow_unguarded", default=None)


def _current_task() -> asyncio.Task[Any] | None:
    try:
        return asyncio.current_task()
    except RuntimeError:  # no loop is running in this thread
        return None


@contextmanager
def unguarded() -> Iterator[None]:
    """Lift the guard inside the block; what happens there is the caller's to keep deterministic.

    It holds for the task that entered the block, also when the block spans an
    ``await`` and goes on in another thread; not for other tasks and
    callbacks, even those created inside, which inherit the context.
    """
    lift = _Lift(_lift.get(), _current_task())
    token = _lift.set(lift)
    try:
        yield
    finally:
        lift.open = False  # copies of the context outlive the block
        with suppress(ValueError):  # closed from another context, as an async generator may be: not set there
            _lift.reset(token)


def _is_lifted() -> bool:
    lift = _lift.get()
    if lift is None:
        return False
    task = _current_task()
    while lift is not None:
        if lift.open and lift.task is task:
            return True
        lift = lift.outer
    return False


def is_guarded() -> bool:
    """Whether a call here and now would be judged."""
    return _thread.guard is not None and not _is_lifted()


_warned: set[tuple[str, int, str]] = set()


def _judge(name: Name, guard: guarding, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Raise or warn unless this call of *name*, two frames further out, may go through."""
    if _is_lifted() or _is_harmless(name, args, kwargs):
        return
    frame = sys._getframe(2)
    if is_spared(name.rule, frame, guard.base, args, kwargs):
        return
    place = place_of(frame, guard.base)
    rule = name.rule
    advice = rule.advice[0].upper() + rule.advice[1:]
    text = f"{name.shown}() was called in workflow code ({place}); {rule.why}. {advice}."
    if guard.mode == "warn":
        _warn_once(name, place, text)
        return
    error = GuardError(text)
    if guard.refused is None:
        guard.refused = error
    raise error


def _is_harmless(name: Name, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    if name.harmless is None:
        return False
    given = args[name.harmless] if len(args) > name.harmless else next(iter(kwargs.values()), None)
    return given is not None


def _warn_once(name: Name, place: Place, text: str) -> None:
    key = (place.filename, place.line, name.shown)
    if key in _warned:
        return
    if len(_warned) >= _MOST_PLACES:  # only generated code has so many lines
        _warned.clear()
    _warned.add(key)
    warnings.warn_explicit(text, GuardWarning, place.filename, place.line)


class _Function(staticmethod):  # type: ignore[type-arg]
    """A wrapper that behaves like the built-in function it stands for.

    A plain function in a class body (``clock = time.monotonic``) would become
    a method and be handed ``self``; a static method is called as it is. It is
    pickled as the name it stands for, and found by that name wherever it is
    loaded, with or without a guard.
    """

    def __init__(self, function: Callable[..., Any], original: Callable[..., Any], name: Name) -> None:
        super().__init__(function)
        self._name = f"{name.module}:{name.path}"
        self._original = original

    @property
    def __wrapped__(self) -> Any:
        return self._original

    def __reduce__(self) -> tuple[Any, ...]:
        return pkgutil.resolve_name, (self._name,)


def wrap(name: Name, original: Callable[..., Any]) -> Any:
    """Make the wrapper that takes the place of *original*."""

    def bare() -> Any:
        if (guard := _thread.guard) is not None:
            _judge(name, guard, (), {})
        return original()

    def call(*args: Any, **kwargs: Any) -> Any:
        if (guard := _thread.guard) is not None:
            _judge(name, guard, args, kwargs)
        return original(*args, **kwargs)

    wrapper = functools.update_wrapper(bare if name.bare else call, original)
    return wrapper if name.is_method else _Function(wrapper, original, name)


class _Patch:
    """One replaced name: where it is, what was there and what is there now."""

    __slots__ = ("attribute", "before", "name", "owner", "wrapper")

    def __init__(self, name: Name, owner: Any, attribute: str, wrapper: Any) -> None:
        self.name = name
        self.owner = owner
        self.attribute = attribute
        self.wrapper = wrapper
        self.before: Any = vars(owner).get(attribute, _ABSENT)  # a class may inherit it

    def put(self) -> None:
        setattr(self.owner, self.attribute, self.wrapper)

    def restore(self) -> None:
        if vars(self.owner).get(self.attribute) is not self.wrapper:
            return  # somebody patched over it: theirs stays, and our wrapper under it lets everything through
        if self.before is _ABSENT:
            delattr(self.owner, self.attribute)
        else:
            setattr(self.owner, self.attribute, self.before)


_lock = threading.Lock()
_patches: list[_Patch] = []
_installs = 0


def _found(name: Name) -> tuple[Any, str, Any] | None:
    """The owner, the attribute and the value of *name*, ``None`` where this system has no such thing."""
    try:
        owner: Any = importlib.import_module(name.module)
        *classes, attribute = name.path.split(".")
        for part in classes:
            owner = getattr(owner, part)
        return owner, attribute, getattr(owner, attribute)
    except (ImportError, AttributeError):
        return None


def install() -> None:
    """Put the wrappers in place, for the whole process; counted, so every call needs an `uninstall`."""
    global _installs
    with _lock:
        _installs += 1
        if _installs > 1:
            return
        wrappers: dict[int, Any] = {}  # by original: `io.open is open` stays true
        for name in NAMES:
            if (found := _found(name)) is None:
                continue
            owner, attribute, original = found
            if name.is_method:
                wrapper = wrap(name, original)
            elif (wrapper := wrappers.get(id(original))) is None:
                wrapper = wrappers[id(original)] = wrap(name, original)
            _patches.append(_Patch(name, owner, attribute, wrapper))
        for patch in _patches:
            patch.put()


def uninstall() -> None:
    """Take one `install` back; the last one puts the originals back, except where others patched since.

    Raises:
        RuntimeError: nothing is installed.
    """
    global _installs
    with _lock:
        if not _installs:
            raise RuntimeError("the guard is not installed; call install() first, once for every uninstall()")
        _installs -= 1
        if not _installs:
            while _patches:
                _patches.pop().restore()


@contextmanager
def installed() -> Iterator[None]:
    """`install` for the block, `uninstall` after it."""
    install()
    try:
        yield
    finally:
        uninstall()


def originals() -> dict[int, tuple[Name, Any]]:
    """The functions of the table as they are without the guard, by identity, with their names; no methods."""
    known: dict[int, tuple[Name, Any]] = {}
    with _lock:
        for name in NAMES:
            found = None if name.is_method else _found(name)
            if found is not None:
                value = found[2].__wrapped__ if isinstance(found[2], _Function) else found[2]
                known.setdefault(id(value), (name, value))
    return known
