"""Setting a context variable without a risk for the process."""

from __future__ import annotations

import sys
from contextvars import ContextVar, copy_context
from typing import TypeVar

__all__ = ["set_variable"]

T = TypeVar("T")

if sys.version_info >= (3, 12):
    set_variable = ContextVar.set
else:

    def set_variable(variable: ContextVar[T], value: T, /) -> None:
        """Set *variable* in the current context.

        Up to 3.11 the collector may run inside of `ContextVar.set`. If a finaliser then sets a variable, the table
        that the outer call still reads is freed and the process crashes; a copy of the context keeps it.
        """
        kept = copy_context()
        variable.set(value)
        del kept
