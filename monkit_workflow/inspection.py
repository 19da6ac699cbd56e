"""What the guard cannot see at run time, found in a workflow's code when it is registered.

That is a function that was imported by name before the guard was installed
(``from time import time``) and the methods of `datetime` that read the clock.
Names are resolved in the globals and closures of the code and compared by
identity, so a variable called ``now`` or an own class called ``datetime`` are
nobody's business. Nothing is called and no attribute of a foreign object is
read. What stands inside ``with unguarded():`` or is handed to ``side_effect``
is left out, where the source can be read.
"""

from __future__ import annotations

import ast
import builtins
import datetime as real_datetime
import dis
import inspect
import linecache
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import CodeType, FunctionType, ModuleType
from typing import Any

from monkit_workflow.guard import originals
from monkit_workflow.guard_callers import is_own
from monkit_workflow.guard_names import DATETIME_METHODS, DATETIME_RULE, Name

__all__ = ["inspect_globals"]

_MOST_CODES = 200
_MOST_DECORATORS = 20
_CLASSES: dict[type, tuple[str, ...]] = {getattr(real_datetime, name): ways for name, ways in DATETIME_METHODS.items()}
_LOADS = frozenset(("LOAD_GLOBAL", "LOAD_NAME", "LOAD_DEREF", "LOAD_CLASSDEREF"))
_LOADS_OF_312 = frozenset(("LOAD_FROM_DICT_OR_GLOBALS", "LOAD_FROM_DICT_OR_DEREF"))
_NULL_COMES_AFTER = sys.version_info >= (3, 13)  # the mark of a call, beside the function that is called
_ATTRIBUTES = frozenset(("LOAD_ATTR", "LOAD_METHOD"))
_LIFTING = frozenset(("unguarded", "side_effect", "mutable_side_effect"))

Position = tuple[int, int]


def inspect_globals(target: Callable[..., Any] | type) -> list[str]:
    """Find clock and random calls of a workflow that the guard would miss.

    Looks through the function, or the class's methods and those of its own
    bases, with everything nested in them, and through the plain functions of
    the same module that they call; at most 200 code objects. Functions that
    are only handed on, as activities are, are not followed.

    Args:
        target: a workflow function or class.

    Returns:
        A sentence for each place, such as ``orders:31: calls datetime.now();
        use workflow.now(), or move the call into an activity``.
    """
    search = _Search(originals())
    for function in _functions(target):
        search.add(function)
    return search.run()


def _functions(target: Any) -> Iterator[FunctionType]:
    """The Python functions that make up a workflow, decorators of user code included."""
    members: list[Any] = [target]
    if isinstance(target, type):
        members = [value for base in target.__mro__ for value in vars(base).values() if not isinstance(value, type)]
    for member in members:
        if isinstance(member, property):
            parts = [member.fget, member.fset, member.fdel]
        else:
            parts = [member.__func__ if isinstance(member, staticmethod | classmethod) else member]
        for part in parts:
            for _ in range(_MOST_DECORATORS):
                if isinstance(part, FunctionType) and is_own(_module(part), part.__code__.co_filename):
                    yield part
                part = inspect.getattr_static(part, "__wrapped__", None)


def _module(function: FunctionType) -> str:
    """Where it was written; a decorator may give its own function the name of the module that it is used in."""
    name = function.__globals__.get("__name__")
    return name if isinstance(name, str) else ""


@dataclass(slots=True)
class _Chain:
    """A name and the attributes read from it, as far as they could be resolved."""

    names: list[str]
    value: Any
    holder: object  # the module whose attribute the value is; None for a global or closure variable
    position: Position
    called: bool = False

    def step(self, attribute: str) -> bool:
        """Follow one attribute of a module or of a class of `datetime`; false where it cannot be known."""
        if isinstance(self.value, ModuleType) and attribute in vars(self.value):
            self.holder, self.value = self.value, vars(self.value)[attribute]
        elif isinstance(self.value, type) and attribute in _CLASSES.get(self.value, ()):
            self.value = getattr(self.value, attribute)
        else:
            return False
        self.names.append(attribute)
        return True


@dataclass(slots=True)
class _Search:
    """The code that is still to be read and what was found so far."""

    known: dict[int, tuple[Name, Any]]
    waiting: list[FunctionType] = field(default_factory=list)
    seen: set[CodeType] = field(default_factory=set)
    found: dict[str, None] = field(default_factory=dict)  # a set that keeps the order
    lifted: dict[str, list[tuple[Position, Position]]] = field(default_factory=dict)

    def add(self, function: FunctionType) -> None:
        if function.__code__ not in self.seen:
            self.waiting.append(function)

    def run(self) -> list[str]:
        while self.waiting:
            function = self.waiting.pop(0)
            variables = _closure(function)
            for code in self._codes(function.__code__):
                for chain in _chains(code, function.__globals__, variables):
                    self._take(function, code, chain)
        return list(self.found)

    def _codes(self, code: CodeType) -> Iterator[CodeType]:
        """The code and all that is nested in it, each once, within the bound of the search."""
        nested = [code]
        while nested and len(self.seen) < _MOST_CODES:
            code = nested.pop(0)
            if code not in self.seen:
                self.seen.add(code)
                nested.extend(item for item in code.co_consts if isinstance(item, CodeType))
                yield code

    def _take(self, function: FunctionType, code: CodeType, chain: _Chain) -> None:
        sentence = self._sentence(chain)
        helper = chain.value if sentence is None and chain.called and isinstance(chain.value, FunctionType) else None
        if helper is not None and helper.__globals__ is not function.__globals__:
            return
        lifted = self._lifted_in(code.co_filename) if sentence or helper else ()
        if any(start <= chain.position < end for start, end in lifted):
            return
        if sentence is not None:
            self.found[f"{function.__module__}:{chain.position[0]}: {sentence}"] = None
        elif helper is not None:
            self.add(helper)

    def _sentence(self, chain: _Chain) -> str | None:
        spelled = ".".join(chain.names)
        owner, way = getattr(chain.value, "__self__", None), getattr(chain.value, "__name__", "")
        if isinstance(owner, type) and way in _CLASSES.get(owner, ()):
            shown = f"{owner.__name__}.{way}"
            known_as = "" if spelled.endswith(shown) else f", known here as `{spelled}`"
            return f"calls {spelled if not known_as else shown}(){known_as}; {DATETIME_RULE.advice}"
        name, original = self.known.get(id(chain.value), (None, None))
        if name is None or original is not chain.value:
            return None
        if isinstance(chain.holder, ModuleType) and chain.holder.__name__ in (name.module, "builtins", "io"):
            return None  # read from where the guard has its wrapper
        return f"calls {name.shown}(), imported as `{spelled}` where the guard cannot see it; {name.rule.advice}"

    def _lifted_in(self, filename: str) -> list[tuple[Position, Position]]:
        if filename not in self.lifted:
            self.lifted[filename] = list(_lifted_ranges("".join(linecache.getlines(filename))))
        return self.lifted[filename]


def _closure(function: FunctionType) -> dict[str, Any]:
    variables = {}
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            variables[name] = cell.cell_contents
        except ValueError:  # not assigned yet
            continue
    return variables


def _chains(code: CodeType, variables: dict[str, Any], closure: dict[str, Any]) -> Iterator[_Chain]:
    """Every global or closure variable that the code reads, with the attributes read from it at once."""
    chain: _Chain | None = None
    pushed = False  # a NULL was pushed just before: what is loaded next is going to be called
    for instruction in dis.get_instructions(code):
        name = instruction.opname
        if name == "EXTENDED_ARG":
            continue
        if chain is not None:
            if name in _ATTRIBUTES and chain.step(instruction.argval):
                continue
            chain.called |= _NULL_COMES_AFTER and name == "PUSH_NULL"
            yield chain
        chain = _loaded(code, instruction, variables, closure)
        if chain is not None:
            # "NULL + name": the interpreter's way to say that a global is called.
            chain.called = pushed or instruction.argrepr != instruction.argval
        pushed = name == "PUSH_NULL" and not _NULL_COMES_AFTER
    # No chain is left over: code never ends with a load.


def _loaded(
    code: CodeType, instruction: dis.Instruction, variables: dict[str, Any], closure: dict[str, Any]
) -> _Chain | None:
    name, opname = instruction.argval, instruction.opname
    if opname not in _LOADS and opname not in _LOADS_OF_312:
        return None
    holder: object = None
    if name in code.co_freevars and name in closure:
        value = closure[name]
    elif name in code.co_freevars or name in code.co_cellvars:
        return None  # a local variable of the function around: its value is not known yet
    elif name in variables:
        value = variables[name]
    elif hasattr(builtins, name):
        value, holder = getattr(builtins, name), builtins
    else:
        return None
    positions = instruction.positions
    line = (positions.lineno if positions is not None else None) or code.co_firstlineno
    column = (positions.col_offset if positions is not None else None) or 0
    return _Chain([name], value, holder, (line, column))


def _lifted_ranges(source: str) -> Iterator[tuple[Position, Position]]:
    """Where in the source the guard is lifted: bodies of ``with unguarded()`` and arguments of side effects."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):  # no Python source that could be read, so nothing is known to be lifted
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.With):
            lifts = any(_lifts(item.context_expr) for item in node.items)
        else:
            lifts = isinstance(node, ast.Call) and _lifts(node)
        if lifts and isinstance(node, ast.With | ast.Call):
            end = (node.end_lineno or node.lineno, node.end_col_offset or 0)
            yield (node.lineno, node.col_offset), end


def _lifts(node: ast.expr) -> bool:
    if not isinstance(node, ast.Call):
        return False
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    return name in _LIFTING
