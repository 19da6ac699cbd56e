"""The services that the contract is tested on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from monkit_workflow.service import Service
from monkit_workflow.sqlite import SqliteService


@pytest.fixture(params=["memory", "file"])
def service(request: pytest.FixtureRequest, tmp_path: Path) -> Service:
    places: dict[str, Callable[[], str | None]] = {"memory": lambda: None, "file": lambda: str(tmp_path / "runs.db")}
    return SqliteService(places[request.param]())
