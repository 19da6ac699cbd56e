"""Schedules: which times they have."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from monkit_workflow.cron import check_cron, next_start_ns

SECOND = 1_000_000_000
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def ns(moment: str) -> int:
    return (datetime.fromisoformat(moment) - EPOCH) // timedelta(microseconds=1) * 1000


@pytest.mark.parametrize(
    ("schedule", "began", "now", "then"),
    [
        ("0 9 * * *", "2026-01-01T08:59:59Z", None, "2026-01-01T09:00:00Z"),
        ("0 9 * * *", "2026-01-01T09:00:00Z", None, "2026-01-02T09:00:00Z"),
        ("0 9 * * MON-FRI", "2026-01-02T09:00:00Z", None, "2026-01-05T09:00:00Z"),
        ("*/15 2-4 * * *", "2026-01-01T04:45:00Z", None, "2026-01-02T02:00:00Z"),
        ("@monthly", "2026-01-31T12:00:00Z", None, "2026-02-01T00:00:00Z"),
        ("@yearly", "2026-01-01T00:00:00Z", None, "2027-01-01T00:00:00Z"),
        ("@every 1h30m", "2026-01-01T00:00:00Z", None, "2026-01-01T01:30:00Z"),
        ("@every 10s", "2026-01-01T00:00:00Z", "2026-01-01T00:00:25Z", "2026-01-01T00:00:30Z"),
        ("@every 10s", "2026-01-01T00:00:00Z", "2026-01-01T00:00:30Z", "2026-01-01T00:00:30Z"),
        ("@hourly", "2026-01-01T00:00:00Z", "2026-01-01T03:30:00Z", "2026-01-01T04:00:00Z"),
        ("@hourly", "2026-01-01T00:00:00Z", "2026-01-01T04:00:00Z", "2026-01-01T04:00:00Z"),
        ("@hourly", "2026-01-01T00:00:00.5Z", None, "2026-01-01T01:00:00Z"),
        ("CRON_TZ=Europe/Berlin 0 9 * * *", "2026-01-01T00:00:00Z", None, "2026-01-01T08:00:00Z"),
        ("CRON_TZ=Europe/Berlin 0 9 * * *", "2026-07-01T00:00:00Z", None, "2026-07-01T07:00:00Z"),
        ("CRON_TZ=Europe/Berlin 30 2 * * *", "2026-03-28T12:00:00Z", None, "2026-03-29T01:00:00Z"),
    ],
)
def test_run_begins_at_the_next_time_that_is_not_over(schedule: str, began: str, now: str | None, then: str) -> None:
    assert next_start_ns(schedule, ns(began), ns(now or began)) == ns(then)


@pytest.mark.parametrize(
    ("schedule", "reason"),
    [
        ("", "five fields"),
        ("* * * *", "five fields"),
        ("0 * * * * *", "five fields"),
        ("0 0 L * *", "five fields"),
        ("@every 0s", "five fields"),
        ("@sometimes", "five fields"),
        ("61 * * * *", "Bad minute"),
        ("0 0 30 2 *", "has no times"),
        ("CRON_TZ=Nowhere/Land 0 0 * * *", "no time zone 'Nowhere/Land'"),
        ("CRON_TZ=../etc/passwd 0 0 * * *", "no time zone"),
    ],
)
def test_what_is_no_schedule_is_told(schedule: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        check_cron(schedule)
