"""The documents are complete and their examples run."""

from __future__ import annotations

import doctest
import json
import os
import re
import subprocess
import sys
from importlib import import_module
from inspect import signature
from pathlib import Path

import pytest

import monkit_core
import monkit_present
import tables
from monkit_present.catalogue import PAGES
from monkit_present.pages import addresses

ROOT = Path(__file__).parents[1]
ENDPOINTS = (ROOT / "docs/reference/endpoints.md").read_text()
MONITORING = (ROOT / "docs/reference/monitoring.md").read_text()
GLOSSARY = (ROOT / "docs/glossary.md").read_text()
SERVING = (ROOT / "docs/reference/serving.md").read_text()
DOCUMENTS = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]


def environment() -> dict[str, str]:
    """That of this process, with the sources in the path."""
    return {**os.environ, "PYTHONPATH": str(ROOT)}


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


@pytest.mark.parametrize("name", ["endpoints.md", "serving.md"])
def test_tables_of_the_reference_are_those_of_the_port(name: str) -> None:
    document = (ROOT / "docs/reference" / name).read_text()
    assert tables.fill(document) == document, "make docs"


def test_every_table_stands_in_the_reference() -> None:
    assert [name for name in tables.TABLES if f"<!-- table {name} -->" not in ENDPOINTS + SERVING] == []


def test_tables_leave_out_no_address_parameter_action_or_argument() -> None:
    """What `tables` writes is complete: seen from the tables themselves, not by the way it goes through them."""
    for page in PAGES:
        for place in addresses(page):
            assert f"`{place.path}`" in ENDPOINTS or f"`POST {place.path}`" in ENDPOINTS
        for parameter in page.every_parameter:
            assert f"| `{parameter.name}` | {parameter.takes} |" in ENDPOINTS
        for action in page.actions:
            assert all(f"`{name}`: " in ENDPOINTS for name, _ in action.fields)
    for function in (monkit_present.serve, monkit_present.app):
        assert [name for name in signature(function).parameters if f"| `{name}` | " not in SERVING] == []


def test_every_accessor_of_a_scope_is_in_the_reference() -> None:
    accessors = [name for name in vars(monkit_core.Scope) if not name.startswith("_")]
    missing = [
        name
        for name in accessors
        if name not in ("funcs", "series", "typed_series", "func") and f"{name}(" not in MONITORING
    ]
    assert missing == []


VOCABULARY = [
    "registry",
    "scope",
    "func",
    "task",
    "span",
    "trace",
    "annotation",
    "orphan",
    "series",
    "tag",
    "field",
    "source",
    "observer",
    "transformer",
    "propagation",
    "error",
    "panic",
    "entry",
    "current",
    "highwater",
    "edge",
    "own time",
    "reservoir",
    "capture",
    "preselect",
    "overflow",
    "mark",
]


@pytest.mark.parametrize("term", VOCABULARY)
def test_every_term_has_one_line_in_the_glossary(term: str) -> None:
    (line,) = re.findall(rf"^\| {term} \| (.*)$", GLOSSARY, re.MULTILINE)
    assert re.fullmatch(r"\S.* \|.* \|", line), "a meaning, and what it is called elsewhere"


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


def test_program_of_the_tutorial_runs_and_its_log_lines_carry_the_trace(tmp_path: Path) -> None:
    (program,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs/tutorial/first-trace.md").read_text(), re.DOTALL)
    shop = tmp_path / "shop.py"
    shop.write_text(program.replace("port=9000", "port=0").replace("while True:", "while number < 3:"))
    done = subprocess.run(
        [sys.executable, str(shop)], capture_output=True, text=True, timeout=60, check=True, cwd=ROOT, env=environment()
    )
    assert done.stdout.startswith("http://127.0.0.1:")
    assert re.search(r"(INFO|WARNING) shop \[([0-9a-f]{32} [0-9a-f]{16}|- -)\] order 1 ", done.stderr)


def test_program_of_the_guide_to_exports_writes_the_failed_traces(tmp_path: Path) -> None:
    (program,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs/how-to/export-a-trace.md").read_text(), re.DOTALL)
    before = "import contextlib, monkit_core\n"
    before += "with contextlib.suppress(LookupError), monkit_core.package().task('order'): raise LookupError\n"
    subprocess.run([sys.executable, "-c", before + program], timeout=60, check=True, cwd=tmp_path, env=environment())
    events = json.loads((tmp_path / "failed.perfetto.json").read_text())["traceEvents"]
    assert [event["name"] for event in events if event["ph"] == "X"] == ["main.order"]
