"""Ids of spans (64 bits, top bit clear), traces (128 bits) and functions.

Span and trace ids are random and drawn anew after a fork. The id of a
function is a hash of its name and tags, so pages of two runs can be compared.
"""

from __future__ import annotations

import hashlib
import os
import random

__all__ = ["func_id", "span_id", "trace_id"]

_random = random.Random()
_bits = _random.getrandbits

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_random.seed)


def span_id() -> int:
    """Draw an id of 63 bits that is not zero."""
    return _bits(63) or 1


def trace_id() -> int:
    """Draw an id of 128 bits that is not zero."""
    return _bits(128) or 1


def func_id(scope: str, name: str, tags: tuple[tuple[str, str], ...]) -> int:
    """The same 63 bits for the same scope, name and tags in every process."""
    text = "\0".join([scope, name, *(f"{key}\1{value}" for key, value in tags)])
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return (int.from_bytes(digest, "big") >> 1) or 1
