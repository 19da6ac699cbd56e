"""Functions to be monitored, and what makes a pair of each: itself, and itself monitored."""

from __future__ import annotations

import types
from collections.abc import Callable, Generator
from typing import Any

from tests.helpers import fresh_scope


@types.coroutine
def waits() -> Generator[str, object, object]:
    """Suspends once."""
    return (yield "waiting")


async def awaits() -> object:
    """Awaits what suspends once."""
    return await waits()


def both(call: Callable[..., Any]) -> list[Callable[..., Any]]:
    """The function and itself monitored."""
    return [call, fresh_scope()[1].task(call)]
