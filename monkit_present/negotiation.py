"""Negotiation: which of several media types a client would rather have, by its ``Accept`` header."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

__all__ = ["preferred"]

_MOST_RANGES = 50


def preferred(offered: Sequence[str], accept: str) -> int:
    """The place of the media type that *accept* weighs highest, the first of equals.

    A range with a ``version`` stands for that version only. Nobody is refused: where nothing of it fits, and
    without a header, it is the first that is offered.

    Args:
        offered: media types with their parameters, at least one.
        accept: the header, of several lines joined by commas.
    """
    ranges = [_read(text) for text in accept.split(",")[:_MOST_RANGES]]
    weights = [_weight(media_type, ranges) for media_type in offered]
    best = max(weights)
    return weights.index(best) if best > 0 else 0


def _read(text: str) -> tuple[str, dict[str, str]]:
    """A media type, or range of them, and its parameters, in small letters."""
    name, *rest = (part.strip().lower() for part in text.split(";"))
    pairs = (part.partition("=") for part in rest)
    return name, {key.strip(): value.strip().strip('"') for key, _, value in pairs}


def _weight(media_type: str, ranges: Iterable[tuple[str, dict[str, str]]]) -> float:
    """What the closest of *ranges* says of *media_type*, from 0 to 1; 0 if none fits."""
    name, parameters = _read(media_type)
    closeness = {"*/*": 0, f"{name.partition('/')[0]}/*": 1, name: 2}
    version = parameters.get("version")
    fitting = [
        (closeness[wanted], _quality(asked.get("q", "1")))
        for wanted, asked in ranges
        if wanted in closeness and asked.get("version", version) == version
    ]
    return max(fitting, default=(0, 0.0))[1]


def _quality(text: str) -> float:
    try:
        weight = float(text)
    except ValueError:
        return 0.0
    return weight if 0 <= weight <= 1 else 0.0
