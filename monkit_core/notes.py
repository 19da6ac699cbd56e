"""Notes on a span: annotations and progress, the same for every engine."""

from __future__ import annotations

import math
from typing import Any

from monkit_core import faults, masking
from monkit_core.convert import to_float
from monkit_core.locks import LOCK

__all__ = ["annotate", "progress"]

_MOST = 256
_TEXT_LIMIT = 1000


def annotate(span: Any, key: str, value: object) -> None:
    """See `Span.annotate`."""
    name = masking.describe(key, _TEXT_LIMIT)
    note = (name, masking.describe(value, _TEXT_LIMIT, name))
    with LOCK:
        if span._annotations is None:
            span._annotations = []
        if len(span._annotations) < _MOST:
            span._annotations.append(note)
        else:
            span.annotations_dropped += 1


def progress(span: Any, done: float, total: float | None) -> None:
    """See `Span.progress`."""
    try:
        progressed = (to_float(done), None if total is None else to_float(total))
        if not all(math.isfinite(number) for number in progressed if number is not None):
            raise ValueError(f"finite numbers were expected, found {progressed}")
        span.progressed = progressed
    except Exception as problem:  # a user's number, of any kind
        faults.report(f"progress of {span.func.full_name}", problem)
