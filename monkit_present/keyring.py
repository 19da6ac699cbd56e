"""A keyring: random secrets that were handed out, a limited number for a limited time."""

from __future__ import annotations

import hashlib
import os
import secrets
import threading
import time
from collections.abc import Callable

__all__ = ["Keyring"]


class Keyring:
    """Secrets that were handed out and are good for a while. Only their hashes are kept.

    May be used from any thread. In a child of fork none is good: there, what is
    good once would be good once more.

    Args:
        bits: of each secret.
        most: how many are good at once; one more puts the oldest out.
        lifetime_s: seconds until one is no longer good.
        clock: seconds that never go back.
    """

    def __init__(self, *, bits: int, most: int, lifetime_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._bytes = bits // 8
        self._most = most
        self._lifetime_s = lifetime_s
        self._clock = clock
        self._lock = threading.Lock()
        self._expiry_s: dict[bytes, float] = {}  # by hash, oldest first
        self._pid = os.getpid()

    def __len__(self) -> int:
        """How many are good."""
        with self._lock:
            self._forget_old()
            return len(self._expiry_s)

    def issue(self) -> str:
        """Hand out a new secret."""
        secret = secrets.token_urlsafe(self._bytes)
        with self._lock:
            self._forget_old()
            while len(self._expiry_s) >= self._most:
                del self._expiry_s[next(iter(self._expiry_s))]
            self._expiry_s[_digest(secret)] = self._clock() + self._lifetime_s
        return secret

    def holds(self, secret: str) -> bool:
        """Whether *secret* was handed out and is good."""
        with self._lock:
            self._forget_old()
            return _digest(secret) in self._expiry_s

    def take_back(self, secret: str) -> bool:
        """The same, and from now on it is good no more."""
        with self._lock:
            self._forget_old()
            return self._expiry_s.pop(_digest(secret), None) is not None

    def _forget_old(self) -> None:
        if self._pid != os.getpid():
            self._pid = os.getpid()
            self._expiry_s.clear()
        now = self._clock()
        for digest in [digest for digest, expiry in self._expiry_s.items() if expiry <= now]:
            del self._expiry_s[digest]


def _digest(secret: str) -> bytes:
    # What is looked up is a hash, so the time of a look tells nothing about a secret.
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()
