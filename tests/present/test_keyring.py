"""Line 3 of the security checklist: codes and sessions are few, short-lived and, where said, good once."""

from __future__ import annotations

import os
import re
from concurrent.futures import ThreadPoolExecutor

import pytest

from monkit_present.access import MAX_CODES, MAX_SESSIONS, SESSION_S, Access
from monkit_present.keyring import Keyring


class Clock:
    """Time that tests turn."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def ring(most: int = 3, lifetime_s: float = 10) -> tuple[Keyring, Clock]:
    clock = Clock()
    return Keyring(bits=128, most=most, lifetime_s=lifetime_s, clock=clock), clock


def test_line_3_secret_is_good_until_it_is_taken_back() -> None:
    keyring, _ = ring()
    secret = keyring.issue()
    assert keyring.holds(secret)
    assert keyring.holds(secret)
    assert keyring.take_back(secret)
    assert not keyring.take_back(secret)
    assert not keyring.holds(secret)
    assert len(keyring) == 0


def test_line_3_secret_expires() -> None:
    keyring, clock = ring()
    secret = keyring.issue()
    clock.now_s += 9.999
    assert keyring.holds(secret)
    clock.now_s += 0.001
    assert not keyring.holds(secret)
    assert not keyring.take_back(secret)
    assert len(keyring) == 0


def test_line_3_one_more_puts_the_oldest_out() -> None:
    keyring, _ = ring()
    first, second, third, fourth = (keyring.issue() for _ in range(4))
    assert [keyring.holds(secret) for secret in (first, second, third, fourth)] == [False, True, True, True]
    assert len(keyring) == 3


def test_line_3_expired_secret_makes_room_before_a_good_one_does() -> None:
    keyring, clock = ring(most=2)
    keyring.issue()
    clock.now_s += 5
    good = keyring.issue()
    clock.now_s += 6
    keyring.issue()
    assert keyring.holds(good)


def test_line_3_unknown_secret_is_not_good() -> None:
    keyring, _ = ring()
    secret = keyring.issue()
    for other in ("", secret[:-1], secret + "x", secret.swapcase(), "\ud800", "é"):
        assert not keyring.holds(other)
        assert not keyring.take_back(other)
    assert keyring.holds(secret)


def test_line_3_secret_is_not_kept_itself() -> None:
    keyring, _ = ring()
    secret = keyring.issue()
    assert secret not in repr(vars(keyring))
    assert secret.encode() not in b"".join(keyring._expiry_s)


def test_line_3_code_is_taken_back_once_though_many_try_at_once() -> None:
    keyring, _ = ring()
    for _ in range(50):
        secret = keyring.issue()
        with ThreadPoolExecutor(8) as pool:
            assert sum(pool.map(keyring.take_back, [secret] * 16)) == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_line_3_nothing_that_was_handed_out_is_good_in_a_child_of_fork() -> None:
    """Workers that are forked from one process would each take its code once."""
    keyring, _ = ring()
    secret = keyring.issue()
    child = os.fork()
    if child == 0:
        found = keyring.holds(secret) or keyring.take_back(secret) or len(keyring) > 0
        os._exit(1 if found or not keyring.holds(keyring.issue()) else 0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert keyring.take_back(secret)


def test_line_3_codes_and_sessions_have_their_bits_numbers_and_ages() -> None:
    clock = Clock()
    access = Access(clock=clock)
    assert (MAX_CODES, MAX_SESSIONS) == (16, 64)
    assert re.fullmatch(r"[A-Za-z0-9_-]{22}", access.codes.issue())  # 128 bits in base64
    assert re.fullmatch(r"[A-Za-z0-9_-]{43}", access.sessions.issue())  # 256 bits
    for _ in range(100):
        access.codes.issue()
        access.sessions.issue()
    assert (len(access.codes), len(access.sessions)) == (16, 64)
    clock.now_s += 600
    assert (len(access.codes), len(access.sessions)) == (0, 64)
    clock.now_s += SESSION_S - 600
    assert len(access.sessions) == 0
