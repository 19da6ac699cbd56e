"""Past captures: the latest ones, so that what one has seen can be opened again and saved in other formats."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from monkit_core import Capture

__all__ = ["MOST_CAPTURES", "MOST_SPANS", "Earlier", "PastCaptures"]

MOST_CAPTURES = 20
MOST_SPANS = 20_000
"""Of all captures that are kept together; the newest one is kept whatever it has."""


@dataclass(frozen=True, slots=True)
class Earlier:
    """A capture that was sent.

    Attributes:
        capture: the spans.
        words: what was asked for.
    """

    capture: Capture
    words: str


class PastCaptures:
    """The latest captures, bounded in number and spans. To be used in one thread."""

    def __init__(self) -> None:
        self._kept: deque[Earlier] = deque(maxlen=MOST_CAPTURES)

    def add(self, capture: Capture, words: str) -> None:
        """Keep *capture*; older ones make room for it."""
        if not capture.spans:
            return
        self._kept.append(Earlier(capture, words))
        spans = sum(len(earlier.capture.spans) for earlier in self._kept)
        while spans > MOST_SPANS and len(self._kept) > 1:
            spans -= len(self._kept.popleft().capture.spans)

    def all(self) -> list[Earlier]:
        """Those that are kept, the newest first."""
        return list(reversed(self._kept))

    def find(self, wanted: int, *, of_trace: bool) -> Capture | None:
        """The newest one whose first span, or whose trace, has this id."""
        for earlier in reversed(self._kept):
            first = earlier.capture.spans[0].span
            if (first.trace.id if of_trace else first.id) == wanted:
                return earlier.capture
        return None
