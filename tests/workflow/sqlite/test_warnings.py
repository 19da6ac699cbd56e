"""What is logged before a limit is reached."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from monkit_workflow.sqlite.transition import Limits
from tests.contract.player import Player, value
from tests.workflow.sqlite.stage import Stage, act


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "monkit_workflow.sqlite"]


def test_growing_history_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def scene(p: Player) -> None:
        await p.start()
        for _ in range(3):
            await p.signal()
        assert said(caplog) == []
        for _ in range(3):
            await p.signal()

    with caplog.at_level(logging.WARNING):
        act(Stage(tmp_path, limits=Limits(warned_history_events=6)), scene)
    (line,) = said(caplog)
    assert "workflow w (Play, run " in line
    assert "has 6 events" in line
    assert "continue as new in time" in line


def test_large_history_and_large_event_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def scene(p: Player) -> None:
        await p.start()
        await p.signal(input=(value(f'"{"x" * 5000}"'),))

    with caplog.at_level(logging.WARNING):
        act(Stage(tmp_path, limits=Limits(warned_history_bytes=3000, warned_event_bytes=4000)), scene)
    history, event = said(caplog)
    assert "bytes; it is refused above" in history
    assert event.startswith("event 3 of workflow w (Play, run ")
