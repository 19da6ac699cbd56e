from __future__ import annotations

import json
import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monkit_core.formats.text import go_duration
from monkit_present.render.figures import count, counted, duration, number, per_cent
from tests.present.trace_cases import VECTORS

US, MS, S, MIN, HOUR = 1_000, 1_000_000, 10**9, 60 * 10**9, 3600 * 10**9


@pytest.mark.parametrize(
    ("ns", "text"),
    [
        *json.loads((VECTORS / "dist_duration.json").read_text("utf-8"))["duration_string"].items(),
        ("2204042", "2.204042ms"),
        ("-3600000000000", "-1h0m0s"),
    ],
)
def test_go_duration_is_what_go_prints(ns: str, text: str) -> None:
    assert go_duration(int(ns)) == text


@given(st.integers(-(2**63), 2**63))
def test_go_duration_loses_nothing(ns: int) -> None:
    units = {"h": HOUR, "m": MIN, "s": S, "ms": MS, "µs": US, "ns": 1}
    sign, text = (-1, go_duration(ns)[1:]) if ns < 0 else (1, go_duration(ns))
    total = 0
    for whole, fraction, unit in re.findall(r"(\d+)(?:\.(\d+))?(h|ms|m|s|µs|ns)", text):
        total += int(whole + fraction) * units[unit] // 10 ** len(fraction)
    assert sign * total == ns


@pytest.mark.parametrize(
    ("ns", "text"),
    [
        (0, "0s"),
        (17, "17ns"),
        (914 * US, "914µs"),
        (8_300_000, "8.30ms"),
        (413 * MS, "413ms"),
        (2_200 * MS, "2.20s"),
        (72 * S, "1m12s"),
        (3 * HOUR + 12 * MIN + 7 * S, "3h12m07s"),
        (70 * HOUR, "2d22h"),
        (-1_500_000, "−1.50ms"),
    ],
)
def test_a_duration_has_three_digits_and_its_unit(ns: int, text: str) -> None:
    assert duration(ns) == text


@pytest.mark.parametrize(
    ("ns", "text"),
    [
        (999, "999ns"),
        (1_000, "1.00µs"),
        (9_994, "9.99µs"),
        (9_995, "10.0µs"),
        (99_949, "99.9µs"),
        (99_950, "100µs"),
        (999_499, "999µs"),
        (999_500, "1.00ms"),
        (999_499_999, "999ms"),
        (999_500_000, "1.00s"),
        (999_999_500, "1.00s"),
        (59_949_999_999, "59.9s"),
        (59_950_000_000, "1m00s"),
        (119_500_000_000, "2m00s"),
        (HOUR - 1, "1h00m00s"),
        (24 * HOUR - S, "23h59m59s"),
        (24 * HOUR - 1, "1d00h"),
        (48 * HOUR - 1, "2d00h"),
    ],
)
def test_rounding_moves_to_the_next_unit_instead_of_printing_a_thousand(ns: int, text: str) -> None:
    assert duration(ns) == text


@given(st.integers(0, 10**16))
def test_no_duration_runs_over_its_unit(ns: int) -> None:
    text = duration(ns)
    assert not re.search(r"\d{4}|(?<!\d)[6-9]\d(\.\d)?s$|m[6-9]\ds|h[6-9]\dm", text) or ns < 59 * S
    assert len(re.sub(r"\D", "", text)) == 3 or ns < 1_000 or ns >= 59 * S


@given(st.integers(0, 10**15), st.integers(0, 10**15))
def test_a_longer_duration_never_reads_as_a_shorter_one(a: int, b: int) -> None:
    low, high = sorted((a, b))
    assert _read(duration(low)) <= _read(duration(high))


def _read(text: str) -> float:
    units = {"d": 24 * HOUR, "h": HOUR, "m": MIN, "s": S, "ms": MS, "µs": US, "ns": 1}
    return sum(float(n) * units[u] for n, u in re.findall(r"([\d.]+)(d|h|ms|m|s|µs|ns)", text))


@pytest.mark.parametrize(
    ("ns", "text"), [(16.6, "17ns"), (0.2, "0s"), (8.3e6, "8.30ms"), (math.nan, "–"), (-math.inf, "–")]
)
def test_a_duration_may_be_a_fraction_or_no_number(ns: float, text: str) -> None:
    assert duration(ns) == text


@pytest.mark.parametrize(
    ("n", "text"),
    [
        (0, "0"),
        (999, "999"),
        (1_000, "1.00k"),
        (92_400, "92.4k"),
        (999_499, "999k"),
        (999_500, "1.00M"),
        (1_284_031, "1.28M"),
        (615_000_000_000, "615G"),
        (10**13, "10,000G"),
    ],
)
def test_counts_in_pictures_have_three_digits(n: int, text: str) -> None:
    assert number(n) == text


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0.0, "0 %"),
        (1e-9, "<0.1 %"),
        (0.00099, "<0.1 %"),
        (0.001, "0.1 %"),
        (0.028, "2.8 %"),
        (0.0994, "9.9 %"),
        (0.0996, "10 %"),
        (0.194, "19 %"),
        (1.0, "100 %"),
    ],
)
def test_per_cent_has_a_decimal_below_ten_and_tells_a_trace_from_none(share: float, text: str) -> None:
    assert per_cent(share) == text


def test_counts_are_whole_with_commas_and_agree_with_their_noun() -> None:
    assert [count(n) for n in (0, 999, 1_000, 1_234_567)] == ["0", "999", "1,000", "1,234,567"]
    assert counted(1, "error") == "1 error"
    assert counted(2_000, "error") == "2,000 errors"
    assert counted(0, "cancelled", "cancelled") == "0 cancelled"
