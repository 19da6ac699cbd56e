"""The services that the contract is tested on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from monkit_workflow.codecs import Encryption
from monkit_workflow.coded_service import coded
from monkit_workflow.service import Service
from monkit_workflow.sqlite import SqliteService


@pytest.fixture(params=["memory", "file", "coded"])
def service(request: pytest.FixtureRequest, tmp_path: Path) -> Service:
    makers: dict[str, Callable[[], Service]] = {
        "memory": lambda: SqliteService(None),
        "file": lambda: SqliteService(str(tmp_path / "runs.db")),
        "coded": lambda: coded(SqliteService(None), [Encryption({"k": bytes(32)}, current="k")]),
    }
    return makers[request.param]()
