"""The rules of architecture that hold between modules, read from their imports."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for package in ("monkit_core", "monkit_present", "monkit_plugins", "monkit_workflow")
    for path in sorted((ROOT / package).rglob("*.py"))
}
ALLOWED = {
    "monkit_core": {"monkit_core"},
    "monkit_present": {
        "monkit_core",
        "monkit_present",
        "starlette",
        "uvicorn",
        "orjson",
        "graphviz",
        "h11",
        "jinja2",
        "markupsafe",
        "re2",
    },
    "monkit_workflow": {"monkit_core", "monkit_workflow", "apsw", "cronsim", "msgspec"},
    "monkit_plugins": {"monkit_core", "monkit_plugins", "httpx", "starlette"},
}


def loaded_imports(path: Path) -> Iterator[ast.Import | ast.ImportFrom]:
    """Imports that run when the module is loaded: not those for the type checker, not those in functions."""
    waiting: list[ast.AST] = [ast.parse(path.read_text())]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        for_types = isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        if not for_types and not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            waiting.extend(ast.iter_child_nodes(node))


def imported(name: str) -> set[str]:
    """Full names of what a module imports, modules where they are ours."""
    found: set[str] = set()
    for node in loaded_imports(MODULES[name]):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif node.module is not None:
            found.update(
                full if (full := f"{node.module}.{alias.name}") in MODULES else node.module for alias in node.names
            )
    return found


@pytest.mark.parametrize("name", MODULES)
def test_module_imports_only_what_its_package_may(name: str) -> None:
    allowed = ALLOWED[name.partition(".")[0]] | set(sys.stdlib_module_names)
    assert {other.partition(".")[0] for other in imported(name)} <= allowed


@pytest.mark.parametrize("name", [name for name in MODULES if name.startswith("monkit_core.")])
def test_core_module_imports_from_the_owner_never_from_the_root(name: str) -> None:
    roots = {
        alias.name
        for node in loaded_imports(MODULES[name])
        if isinstance(node, ast.ImportFrom) and node.module == "monkit_core"
        for alias in node.names
        if f"monkit_core.{alias.name}" not in MODULES
    }
    assert roots == set()


@pytest.mark.parametrize("name", MODULES)
def test_no_module_is_in_an_import_circle(name: str) -> None:
    seen: set[str] = set()
    waiting = [other for other in imported(name) if other in MODULES]
    while waiting:
        other = waiting.pop()
        if other not in seen:
            seen.add(other)
            waiting.extend(item for item in imported(other) if item in MODULES)
    assert name not in seen


@pytest.mark.parametrize("name", MODULES)
def test_module_and_everything_public_in_it_is_documented(name: str) -> None:
    tree = ast.parse(MODULES[name].read_text())
    documented = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    missing = [] if ast.get_docstring(tree) else ["the module"]
    waiting: list[ast.AST] = [tree]
    while waiting:
        for node in ast.iter_child_nodes(waiting.pop()):
            if isinstance(node, documented) and not node.name.startswith("_"):
                overload = any(isinstance(item, ast.Name) and item.id == "overload" for item in node.decorator_list)
                setter = any(isinstance(item, ast.Attribute) for item in node.decorator_list)
                if not ast.get_docstring(node) and not overload and not setter:
                    missing.append(node.name)
                if isinstance(node, ast.ClassDef):
                    waiting.append(node)
    assert missing == []


@pytest.mark.parametrize("name", [name for name in MODULES if not name.endswith("engine")])
def test_what_a_module_promises_is_in_it(name: str) -> None:
    module = __import__(name, fromlist=["__all__"])
    promised = getattr(module, "__all__", [])
    assert [item for item in promised if not hasattr(module, item)] == []


def test_only_the_clock_module_of_core_reads_a_clock() -> None:
    readers = [
        name
        for name in MODULES
        if name.startswith("monkit_core") and name != "monkit_core.clock" and "time" in imported(name)
    ]
    assert readers == []
