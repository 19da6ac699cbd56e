"""Cron schedules: when the next run of a workflow begins. No clock is read.

What both servers take: the five fields of cron, ``@daily`` and the like,
``@every 1h30m``, and ``CRON_TZ=Europe/Berlin`` in front of them; UTC otherwise.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

__all__ = ["check_cron", "next_start_ns"]

_NAMED = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_EVERY = re.compile(r"@every\s+((?:\d+h)?(?:\d+m)?(?:\d+s)?)")
_UNIT_S = {"h": 3600, "m": 60, "s": 1}
_FIELDS = re.compile(r"(?:[\d*/,\-]|[A-Za-z]{3})+(?:\s+(?:[\d*/,\-]|[A-Za-z]{3})+){4}")
"""Five fields without the extensions (``L``, ``#``, seconds) that one cron has and another has not."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@lru_cache(maxsize=1024)
def _parse(schedule: str) -> int | tuple[str, tzinfo]:
    """The interval of ``@every`` in seconds, or fields and time zone."""
    zone: tzinfo = UTC
    rest = schedule.strip()
    if rest.startswith(("CRON_TZ=", "TZ=")):
        name, _, rest = rest.partition("=")[2].partition(" ")
        rest = rest.strip()
        try:
            zone = ZoneInfo(name)
        except (KeyError, ValueError, OSError):
            raise ValueError(f"cron={schedule!r}: there is no time zone {name!r}") from None
    if every := _EVERY.fullmatch(rest):
        seconds = sum(int(number) * _UNIT_S[unit] for number, unit in re.findall(r"(\d+)([hms])", every[1]))
        if seconds:
            return seconds
    fields = _NAMED.get(rest, rest)
    if not _FIELDS.fullmatch(fields):
        raise ValueError(
            f"cron={schedule!r} is no schedule: give five fields (minute, hour, day of month, month, day of week) "
            "such as '0 9 * * MON-FRI', '@daily' or the like, or '@every 1h30m'"
        )
    try:
        next(CronSim(fields, _EPOCH))
    except (CronSimError, StopIteration) as problem:
        raise ValueError(f"cron={schedule!r} has no times: {problem or 'it never comes'}") from None
    return fields, zone


def check_cron(schedule: str) -> str:
    """Return *schedule* if it is one.

    Raises:
        ValueError: it is none, or it never comes.
    """
    _parse(schedule)
    return schedule


def next_start_ns(schedule: str, began_ns: int, now_ns: int) -> int:
    """When the run after one that began at *began_ns* begins, all in nanoseconds since the epoch.

    It is the first time of the schedule after *began_ns* that is not before
    *now_ns*: times that passed while the run went on are left out.
    """
    parsed = _parse(schedule)
    if isinstance(parsed, int):
        every_ns = parsed * 1_000_000_000
        return began_ns + max(1, -(-(now_ns - began_ns) // every_ns)) * every_ns
    fields, zone = parsed
    # A time at *now_ns* itself counts, but not the one at which the run began.
    after_ns = max(began_ns, now_ns - 1)
    moment = (_EPOCH + timedelta(seconds=after_ns // 1_000_000_000)).astimezone(zone)
    found = next(CronSim(fields, moment)) - _EPOCH
    return (found.days * 86_400 + found.seconds) * 1_000_000_000
