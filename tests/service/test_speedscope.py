"""Speedscope itself: its schema, and its importer in a real browser, as npm has them."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from monkit_core.formats import speedscope
from tests.helpers import ROOT
from tests.present.trace_cases import SHAPES, large_trace, small_trace
from tests.trace_checks import whole

pytestmark = pytest.mark.service

RELEASE = ROOT / ".venv" / "npm" / "node_modules" / "speedscope" / "dist" / "release"
TRACES = {"small": small_trace(), **{shape: large_trace(shape, 2000) for shape in SHAPES}}


@pytest.mark.parametrize("name", TRACES)
def test_file_is_what_the_schema_of_speedscope_says(name: str) -> None:
    import jsonschema

    schema: Any = json.loads((RELEASE / "file-format-schema.json").read_text("utf-8"))
    jsonschema.validate(json.loads(whole(speedscope.chunks([TRACES[name], small_trace()]))), schema)


@pytest.mark.browser
@pytest.mark.parametrize("name", TRACES)
def test_speedscope_opens_the_file(name: str, tmp_path: Path) -> None:
    """As its command opens one: a script beside the page hands the file to the importer."""
    from playwright.sync_api import sync_playwright

    body = whole(speedscope.chunks([TRACES[name]]))
    script = tmp_path / "file.js"
    encoded = base64.b64encode(body).decode()
    script.write_text(f"speedscope.loadFileFromBase64('trace.speedscope.json', '{encoded}')")
    problems: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        page = browser.new_page()
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("dialog", lambda dialog: problems.append(dialog.message))
        page.goto(f"file://{RELEASE}/index.html#localProfilePath={script}")
        page.wait_for_function("document.title.includes('trace 0000')", timeout=30_000)
        title = page.title()
        browser.close()
    assert problems == []
    assert "00000000000000004b1d09c3e77a2f10" in title
