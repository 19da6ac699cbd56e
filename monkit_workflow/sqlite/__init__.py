"""The embedded service: durable workflows in one SQLite file, in the process that uses it."""

from __future__ import annotations

from monkit_workflow.sqlite.clock import Clock, SystemClock
from monkit_workflow.sqlite.service import SqliteService

__all__ = ["Clock", "SqliteService", "SystemClock"]
