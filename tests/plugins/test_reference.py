"""The reference page of propagation is complete, and its examples run."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import pytest

from monkit_core.propagation import FORMATS, TraceContext, extract
from monkit_plugins.asgi import MonkitMiddleware
from monkit_plugins.httpx import Options
from tests.propagation_helpers import TRACE, TRACEPARENT

PAGE = (Path(__file__).parents[2] / "docs/reference/propagation.md").read_text("utf-8")
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize("example", EXAMPLES, ids=range(len(EXAMPLES)))
def test_example_runs(example: str) -> None:
    names: dict[str, Any] = {"__name__": "shop"}
    exec(compile(example, "propagation.md", "exec"), names)
    if "handle" in names:
        assert names["handle"]({"traceparent": TRACEPARENT})["traceparent"][3:35] == TRACE


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_stands_in_the_table(name: str) -> None:
    assert re.search(rf"^\| `{name}` \|", PAGE, re.MULTILINE)


def test_every_header_that_is_read_or_sent_is_named() -> None:
    owned = {header for entry in FORMATS.values() for header in entry.owned} - {"x-b3-parentspanid"}
    assert [header for header in owned if f"`{header}`" not in PAGE] == []


def test_every_option_is_named() -> None:
    options = [
        *list(inspect.signature(MonkitMiddleware.__init__).parameters)[3:],
        *Options.__annotations__,
        *list(inspect.signature(extract).parameters)[1:],
    ]
    assert [option for option in options if option not in PAGE] == []


def test_every_field_of_a_context_is_documented() -> None:
    documented = TraceContext.__doc__ or ""
    assert [name for name in TraceContext.__slots__ if f"{name}:" not in documented] == []
