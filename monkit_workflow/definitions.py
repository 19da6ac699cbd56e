"""What the decorators note: workflows, their handlers, activities.

Decorators return their function or class as it was; the note is an attribute.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from monkit_workflow.converter import Signature, signature
from monkit_workflow.errors import ContinueAsNew

__all__ = [
    "ActivityDefinition",
    "Handler",
    "HandlerKind",
    "WorkflowDefinition",
    "activity_definition",
    "define_activity",
    "define_workflow",
    "message_target",
    "note_handler",
    "note_validator",
    "target",
    "workflow_definition",
]

HandlerKind = Literal["run", "signal", "query", "update"]

_WORKFLOW = "__monkit_workflow__"
_ACTIVITY = "__monkit_activity__"
_HANDLER = "__monkit_handler__"
_VALIDATOR = "__monkit_validator__"


@dataclass(frozen=True, slots=True)
class Handler:
    """A function that a signal, a query or an update calls."""

    name: str
    function: Callable[..., Any]
    signature: Signature
    is_async: bool
    validator: Callable[..., Any] | None = None


@dataclass(frozen=True, slots=True)
class WorkflowDefinition:
    """A registered name and the code behind it."""

    name: str
    run: Callable[..., Any]
    signature: Signature
    factory: type | None = None
    """The class, ``None`` for a plain function."""
    signals: Mapping[str, Handler] = field(default_factory=dict)
    queries: Mapping[str, Handler] = field(default_factory=dict)
    updates: Mapping[str, Handler] = field(default_factory=dict)
    failures: tuple[type[BaseException], ...] = ()
    """Exceptions of the program's own that fail the run instead of the task."""

    @property
    def subject(self) -> Any:
        """The class or function as the user wrote it."""
        return self.factory or self.run

    @property
    def signatures(self) -> tuple[Signature, ...]:
        """Of all that is called through payloads."""
        handlers = (*self.signals.values(), *self.queries.values(), *self.updates.values())
        return (self.signature, *(handler.signature for handler in handlers))


@dataclass(frozen=True, slots=True)
class ActivityDefinition:
    """A registered name and the function behind it."""

    name: str
    function: Callable[..., Any]
    signature: Signature
    is_async: bool
    in_process: bool = False
    """Whether it runs in a process of its own."""


def note_handler(function: Callable[..., Any], kind: HandlerKind, name: str | None) -> None:
    """Note on *function* that it is a handler.

    Raises:
        TypeError: it cannot be one.
    """
    if not callable(function):
        raise TypeError(f"@workflow.{kind} stands above a function, not above {function!r}")
    is_async = inspect.iscoroutinefunction(function)
    if kind == "run" and not is_async:
        raise TypeError(f"{function.__qualname__} must be an async function to be a workflow's run")
    if kind == "query" and is_async:
        raise TypeError(f"{function.__qualname__} must be a plain function: a query answers without waiting")
    setattr(function, _HANDLER, (kind, name or function.__name__))


def note_validator(handler: Callable[..., Any], function: Callable[..., Any]) -> None:
    """Note that *function* says whether an update may run *handler*.

    Raises:
        TypeError: *handler* is no update, or *function* is a coroutine function.
    """
    if getattr(handler, _HANDLER, ("", ""))[0] != "update":
        raise TypeError("workflow.validator takes the update that it is for: @workflow.validator(set_price)")
    if inspect.iscoroutinefunction(function):
        raise TypeError(f"{function.__qualname__} must be a plain function: a validator decides without waiting")
    setattr(handler, _VALIDATOR, function)


def message_target(
    handler: str | Callable[..., Any], kind: HandlerKind, arguments: tuple[Any, ...], returns: Any = Any
) -> tuple[str, Any]:
    """Name and result type of a signal, query or update that a caller points at, or names with *returns*.

    Raises:
        TypeError: the function is no handler of that kind, or the arguments do not fit.
    """
    if isinstance(handler, str):
        return handler, returns
    noted = getattr(handler, _HANDLER, None)
    if noted is None or noted[0] != kind:
        shown = getattr(handler, "__qualname__", repr(handler))
        raise TypeError(f"{shown} is no {kind} of a workflow; mark it with @workflow.{kind}, or give a name")
    found = signature(handler, bound=True)
    found.check(len(arguments))
    return noted[1], found.result


def define_workflow(subject: Any, name: str | None, failures: tuple[type[BaseException], ...]) -> None:
    """Note on a class or an async function that it is a workflow.

    Raises:
        TypeError: the class has not exactly one ``run``, or a handler cannot be called.
    """
    if any(issubclass(kind, ContinueAsNew | GeneratorExit) for kind in failures):
        raise TypeError("failures= takes exceptions that mean that the workflow has failed")
    if inspect.isclass(subject):
        definition = _of_class(subject, name, failures)
        before = definition.run.__dict__.get(_WORKFLOW)
        # A method that two classes share does not say which of them is meant.
        setattr(definition.run, _WORKFLOW, definition if before is None else None)
    elif inspect.iscoroutinefunction(subject):
        definition = WorkflowDefinition(name or subject.__name__, subject, signature(subject), failures=failures)
    else:
        raise TypeError(f"@workflow.define stands above a class or an async function, not above {subject!r}")
    setattr(subject, _WORKFLOW, definition)


def _of_class(cls: type, name: str | None, failures: tuple[type[BaseException], ...]) -> WorkflowDefinition:
    found: dict[HandlerKind, dict[str, Handler]] = {"run": {}, "signal": {}, "query": {}, "update": {}}
    for attribute in dir(cls):
        function = inspect.getattr_static(cls, attribute)
        noted = getattr(function, _HANDLER, None)
        if noted is None:
            continue
        kind, handler = noted
        if handler in found[kind]:
            raise TypeError(f"{cls.__qualname__} has two handlers of the {kind} {handler!r}")
        found[kind][handler] = Handler(
            handler,
            function,
            signature(function, bound=True),
            inspect.iscoroutinefunction(function),
            getattr(function, _VALIDATOR, None),
        )
    if len(found["run"]) != 1:
        raise TypeError(f"{cls.__qualname__} has {len(found['run'])} methods marked @workflow.run; it needs one")
    run = next(iter(found["run"].values()))
    return WorkflowDefinition(
        name or cls.__name__,
        run.function,
        run.signature,
        cls,
        found["signal"],
        found["query"],
        found["update"],
        failures,
    )


def workflow_definition(subject: Any) -> WorkflowDefinition:
    """What ``@workflow.define`` noted: *subject* is the class, its ``run``, or the function.

    Raises:
        TypeError: it is no workflow.
    """
    noted = getattr(subject, "__dict__", {}).get(_WORKFLOW, False)
    if noted is None:
        raise TypeError(f"{subject.__qualname__} belongs to several workflow classes; give the class instead")
    if not noted:
        shown = getattr(subject, "__qualname__", repr(subject))
        raise TypeError(f"{shown} is no workflow; put @workflow.define above it")
    definition: WorkflowDefinition = noted
    return definition


def define_activity(function: Callable[..., Any], name: str | None, *, in_process: bool = False) -> None:
    """Note on *function* that it is an activity.

    Raises:
        TypeError: it is no function, or an async one for a process.
    """
    if not callable(function) or inspect.isclass(function):
        raise TypeError(f"@activity.define stands above a function, not above {function!r}")
    if in_process and inspect.iscoroutinefunction(function):
        raise TypeError(f"{function.__qualname__} must be a plain function to run in a process")
    # A method keeps self out of its arguments: the worker is given the bound one.
    first = next(iter(inspect.signature(function).parameters), "")
    setattr(function, _ACTIVITY, (name or function.__name__, first == "self", in_process))


def activity_definition(function: Callable[..., Any]) -> ActivityDefinition:
    """What ``@activity.define`` noted; *function* may be a bound method.

    Raises:
        TypeError: it is no activity.
    """
    noted = getattr(function, _ACTIVITY, None)
    if noted is None:
        shown = getattr(function, "__qualname__", repr(function))
        raise TypeError(f"{shown} is no activity; put @activity.define above it")
    name, has_self, in_process = noted
    unbound = has_self and not inspect.ismethod(function)
    is_async = inspect.iscoroutinefunction(function)
    return ActivityDefinition(name, function, signature(function, bound=unbound), is_async, in_process)


def target(
    subject: Any,
    definition_of: Callable[[Any], ActivityDefinition | WorkflowDefinition],
    arguments: tuple[Any, ...],
    returns: Any,
) -> tuple[str, Any]:
    """Name and result type of what a caller points at, or names and then says the type of with *returns*.

    Raises:
        TypeError: it is not what it should be, or the arguments do not fit.
    """
    if isinstance(subject, str):
        return subject, returns
    definition = definition_of(subject)
    definition.signature.check(len(arguments))
    return definition.name, definition.signature.result
