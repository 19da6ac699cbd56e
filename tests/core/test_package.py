from __future__ import annotations

import ast
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from monkit_core.registry import _module_name
from tests.helpers import run_python

PROGRAM = "import monkit_core\nprint(monkit_core.package().name)\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a program, a package with a program in it, and a zip."""
    package = tmp_path / "pkg"
    package.mkdir()
    for path in (tmp_path / "shop.py", tmp_path / "__main__.py", package / "mod.py", package / "__main__.py"):
        path.write_text(PROGRAM, "utf-8")
    (package / "__init__.py").write_text("", "utf-8")
    with zipfile.ZipFile(tmp_path / "bundle.zip", "w") as bundle:
        bundle.writestr("__main__.py", PROGRAM)
    (tmp_path / "imports.py").write_text("import pkg.mod\n", "utf-8")
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (["shop.py"], "shop"),
        (["-m", "shop"], "shop"),
        (["-m", "pkg"], "pkg"),
        (["-m", "pkg.mod"], "pkg.mod"),
        (["pkg/mod.py"], "mod"),
        (["pkg"], "pkg"),
        (["bundle.zip"], "bundle"),
        (["imports.py"], "pkg.mod"),
        (["-c", PROGRAM], "main"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_scope_of_a_program_has_the_name_that_a_reader_would_use(folder: Path, arguments: list[str], name: str) -> None:
    assert run_python(*arguments, cwd=folder) == name


def test_program_from_standard_input_is_main(folder: Path) -> None:
    assert run_python("-", stdin=PROGRAM, cwd=folder) == "main"
    assert run_python(stdin=PROGRAM, cwd=folder) == "main"


def test_folder_without_a_path_is_named_after_itself(folder: Path) -> None:
    assert run_python(".", cwd=folder) == folder.name


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ({"__name__": "a.b"}, "a.b"),
        ({"__name__": "__main__", "__spec__": SimpleNamespace(name="a.b")}, "a.b"),
        ({"__name__": "__main__", "__spec__": SimpleNamespace(name="a.b.__main__")}, "a.b"),
        (
            {"__name__": "__main__", "__spec__": SimpleNamespace(name="__main__"), "__file__": "/x/app/__main__.py"},
            "app",
        ),
        ({}, "main"),
        ({"__name__": "__main__", "__file__": None}, "main"),
        ({"__name__": 5, "__file__": "/x/app.py"}, "app"),
        ({"__name__": "__main__", "__file__": "__main__.py"}, "__main__"),
    ],
)
def test_name_of_a_module_by_its_globals(module: dict[str, object], name: str) -> None:
    assert _module_name(module) == name


IMPORTS = """
import sys
before = set(sys.modules)
events = []
sys.addaudithook(lambda event, args: events.append(event))
import monkit_core
import threading
heads = {name.partition('.')[0] for name in set(sys.modules) - before}
compiled = {name for name in heads if name.startswith(('_cython_', 'cython_runtime'))}  # made by the module itself
foreign = sorted(heads - set(sys.stdlib_module_names) - {'monkit_core'} - compiled)
done = {event for event in events if event.split('.')[0] in ('socket', 'subprocess', 'ctypes') or 'thread' in event}
opened = [event for event in done if event not in ('socket.gethostname',)]
print(foreign, sorted(opened), threading.active_count(), 'monkit_present' in sys.modules)
"""


def test_import_brings_in_nothing_foreign_opens_no_socket_and_starts_no_thread() -> None:
    assert run_python("-c", IMPORTS) == "[] [] 1 False"


def test_import_changes_neither_limits_nor_hooks() -> None:
    program = (
        "import sys, signal, logging, threading, gc\n"
        "def state(): return (sys.getrecursionlimit(), sys.getswitchinterval(), sys.excepthook, threading.excepthook,"
        " signal.getsignal(signal.SIGINT), list(gc.callbacks), logging.getLogger().handlers, sys.gettrace(),"
        " sys.getprofile(), gc.get_threshold())\n"
        "before = state()\n"
        "import monkit_core\n"
        "monkit_core.package().task('f')(lambda: None)()\n"
        "print(before == state())"
    )
    assert run_python("-c", program) == "True"


def test_standard_library_is_all_that_the_engine_names() -> None:
    root = Path(sys.modules["monkit_core"].__file__ or "").parent
    imported: set[str] = set()
    for path in root.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                imported.update(alias.name.partition(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                imported.add((node.module or "").partition(".")[0])
    assert imported - set(sys.stdlib_module_names) == {"monkit_core"}
