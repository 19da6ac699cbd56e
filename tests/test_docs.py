"""The documents are complete and their examples run."""

from __future__ import annotations

import doctest
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import monkit_core
import monkit_present
from monkit_present.app import FORMATS
from monkit_present.capture import CAPTURE_FORMATS
from monkit_present.query import PARAMETERS
from monkit_present.render import index

ROOT = Path(__file__).parents[1]
ENDPOINTS = (ROOT / "docs/reference/endpoints.md").read_text()
MONITORING = (ROOT / "docs/reference/monitoring.md").read_text()
DOCUMENTS = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]


def test_readme_example_runs_and_serves() -> None:
    (example,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    program = example.replace("port=9000", "port=0")
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.startswith("http://127.0.0.1:")
    assert done.stderr == ""


def test_readme_names_the_two_commands_and_the_makefile_has_them() -> None:
    readme, makefile = (ROOT / "README.md").read_text(), (ROOT / "Makefile").read_text()
    for command in ("demo", "test"):
        assert f"make {command}" in readme
        assert re.search(rf"^{command}:", makefile, re.MULTILINE)


def test_every_address_is_in_the_reference_and_on_the_index() -> None:
    paths = [entry.path for entry in FORMATS] + [f"/trace/{name}" for name in CAPTURE_FORMATS]
    assert [path for path in paths if f"`{path}`" not in ENDPOINTS] == []
    listed = {page.path + "/" + name for page in index.PAGES for name in page.formats} | {p.path for p in index.PAGES}
    assert listed | {"/stats/old"} == {entry.path for entry in FORMATS}


@pytest.mark.parametrize("parameter", PARAMETERS, ids=lambda parameter: parameter.name)
def test_every_parameter_stands_in_the_reference_as_in_its_table(parameter: object) -> None:
    name, takes, default, words = (getattr(parameter, field) for field in ("name", "takes", "default", "words"))
    assert f"| `{name}` | {takes} | {default} | {words} |".replace("|  |", "| |") in ENDPOINTS


def test_every_accessor_of_a_scope_is_in_the_reference() -> None:
    accessors = [name for name in vars(monkit_core.Scope) if not name.startswith("_")]
    missing = [name for name in accessors if name not in ("funcs", "stats", "func") and f"{name}(" not in MONITORING]
    assert missing == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_of_a_document_leads_somewhere(document: Path) -> None:
    targets = re.findall(r"\]\((?!https?:)([^)#]+)", document.read_text())
    assert [target for target in targets if not (document.parent / target).exists()] == []


@pytest.mark.parametrize("name", sorted({*monkit_core.__all__, *monkit_present.__all__}))
def test_every_promised_name_has_a_docstring(name: str) -> None:
    found = getattr(monkit_core, name, None) or getattr(monkit_present, name, None)
    assert found is monkit_core.default_registry or getattr(found, "__doc__", None)


@pytest.mark.parametrize("name", ["monkit_core.series"])
def test_examples_in_docstrings_hold(name: str) -> None:
    results = doctest.testmod(import_module(name))
    assert results.attempted > 0
    assert results.failed == 0
