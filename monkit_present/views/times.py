"""Times: what views say of the calls of one function, out of its counts and histograms."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from heapq import merge

from monkit_core import Func
from monkit_core.series import Tags

__all__ = ["CANCELED", "CallFigures", "call_figures", "spelled", "spelled_name"]

CANCELED = "Canceled"
"""The name of the error of a cancelled call."""
_MARKED_SHARE = 0.01
_QUANTILES = (0.5, 0.9, 0.99)


@dataclass(frozen=True, slots=True)
class CallFigures:
    """What is known of the calls of a function.

    Attributes:
        calls: that have ended.
        current: that run.
        highwater: the most that ever ran at once.
        failures: errors and panics.
        panics: among them.
        errors: pairs of error name and count, the most frequent first.
        total_ns: of all calls that have ended.
        quantiles_ns: half, nine in ten and 99 of 100 calls took less.
        longest_ns: of any call.
        ok_bins: nanoseconds of successes, each with its count, rising.
        bad_bins: the same of errors and panics.
    """

    calls: int
    current: int
    highwater: int
    failures: int
    panics: int
    errors: tuple[tuple[str, int], ...]
    total_ns: float
    quantiles_ns: tuple[float, ...]
    longest_ns: float
    ok_bins: Sequence[tuple[float, int]]
    bad_bins: Sequence[tuple[float, int]]

    @property
    def failed_share(self) -> float:
        """Of all calls that have ended, 0 to 1."""
        return self.failures / self.calls if self.calls else 0.0

    @property
    def most_often(self) -> str:
        """The name of the most frequent error, ``panic``, or nothing."""
        if self.errors and self.errors[0][1] >= self.panics:
            return self.errors[0][0]
        return "panic" if self.panics else ""

    @property
    def mark(self) -> str:
        """The mark to put beside the share of failures, empty for few: ``err``, ``pan`` or ``can``."""
        if self.failed_share <= _MARKED_SHARE:
            return ""
        return {CANCELED: "can", "panic": "pan"}.get(self.most_often, "err")

    @property
    def bins(self) -> Iterator[tuple[float, int]]:
        """Of all calls."""
        return merge(self.ok_bins, self.bad_bins)


def call_figures(func: Func) -> CallFigures:
    """What is known of the calls of *func* now."""
    ok, bad = func.success_times.summary(), func.failure_times.summary()
    ok_bins, bad_bins = func.success_times.middles(), func.failure_times.middles()
    errors = sorted(func.errors.items(), key=lambda item: (-item[1], item[0]))
    longest = max(ok.high, bad.high)
    return CallFigures(
        calls=ok.count + bad.count,
        current=func.current,
        highwater=func.highwater,
        failures=bad.count,
        panics=func.panics,
        errors=tuple(errors),
        total_ns=ok.sum + bad.sum,
        quantiles_ns=tuple(min(value, longest) for value in _quantiles(merge(ok_bins, bad_bins))),
        longest_ns=longest,
        ok_bins=ok_bins,
        bad_bins=bad_bins,
    )


def _quantiles(bins: Iterator[tuple[float, int]]) -> list[float]:
    found = list(bins)
    total = sum(count for _, count in found)
    if not total:
        return [0.0] * len(_QUANTILES)
    quantiles = []
    passed, place = 0, -1
    for fraction in _QUANTILES:
        while passed <= fraction * (total - 1):
            place += 1
            passed += found[place][1]
        quantiles.append(found[place][0])
    return quantiles


def spelled(func: Func) -> str:
    """Its name with its tags, as pages and addresses spell it: ``shop.orders.create,method=GET``."""
    return spelled_name(func.full_name, func.tags)


def spelled_name(full_name: str, tags: Tags) -> str:
    """The same of a name and tags."""
    return full_name + "".join(f",{key}={value}" for key, value in tags)
