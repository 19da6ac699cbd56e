"""The names that tell that a secret stands under them: ``password``, ``X-Api-Key``, ``sessionId``.

The words are data. Which of them stays harmless in which company is said beside
them; in doubt a name tells.
"""

from __future__ import annotations

import re
from functools import lru_cache

from monkit_core.locks import LOCK
from monkit_core.text import exact

__all__ = ["IN_PROSE", "add_keys", "hints", "is_telling"]

_TELLING = frozenset({
    "auth", "authentication", "authorization", "bearer", "cookie", "cookies", "cred", "credential", "credentials",
    "creds", "csrf", "dsn", "oauth", "passcode", "passphrase", "passphrases", "passwd", "password",
    "passwords", "pwd", "secret", "secrets", "session", "sessions", "token", "tokens", "xsrf",
})  # fmt: skip
# Found within a word too, for names that are written without a gap: PGPASSWORD, apikey, JSESSIONID.
_TELLING_PARTS = (
    "password", "passwd", "passphrase", "credential", "apikey", "accesskey", "privatekey", "secretkey", "signingkey",
    "encryptionkey", "accesstoken", "authtoken", "bearertoken", "csrftoken", "refreshtoken", "sessiontoken",
    "sessionid", "sessid", "clientsecret",
)  # fmt: skip
# These tell after another word only: `api_key`, `smtp_pass`. Alone they are the key of a cache, a run over some data.
_TELLING_IN_COMPANY = frozenset({"key", "keys", "pass"})
_HARMLESS_COMPANY = frozenset({
    "any", "array", "arrow", "bad", "bucket", "business", "by", "cache", "candidate", "column", "composite", "config",
    "context", "dict", "duplicate", "each", "enter", "escape", "every", "expected", "feature", "first", "foreign",
    "from", "function", "group", "has", "hot", "idempotency", "index", "is", "json", "label", "last", "lookup", "map",
    "max", "message", "metric", "min", "missing", "modifier", "natural", "next", "no", "object", "or", "order",
    "other", "partition", "previous", "primary", "public", "range", "redis", "registry", "render", "routing", "row",
    "second", "series", "settings", "shard", "shortcut", "sort", "state", "surrogate", "tag", "test", "the", "this",
    "to", "translation", "unexpected", "unique", "unknown", "wrong",
})  # fmt: skip
# What is said about a secret, when it is the last word: `token_count`, `session_timeout`, `AuthError: no such user`.
_ABOUT = frozenset({
    "age", "at", "attempts", "class", "count", "enabled", "error", "errors", "exception", "expired", "expires",
    "expiration", "expiry", "failed", "failure", "file", "found", "invalid", "kind", "len", "length", "limit",
    "lifetime", "method", "mismatch", "missing", "mode", "name", "names", "path", "policy", "required", "size",
    "status", "timeout", "ttl", "type", "usage", "valid", "version", "warning",
})  # fmt: skip
# Before a plural they count it: `max_tokens`, `active_sessions`.
_COUNTING = frozenset({
    "active", "cached", "completion", "input", "max", "min", "n", "num", "number", "of", "open", "output", "prompt",
    "reasoning", "remaining", "total", "used",
})  # fmt: skip
_COUNTED = frozenset({"sessions", "tokens"})
# Names of two words as prose writes them: "Incorrect API key: …".
IN_PROSE = frozenset({
    "access key", "account key", "api key", "auth key", "encryption key", "license key", "master key", "private key",
    "secret key", "shared key", "signing key", "ssh key", "storage key", "session id",
})  # fmt: skip
_WORD = re.compile(r"[A-Z]+(?![^\W\d_A-Z])|[A-Z]?[^\W\d_A-Z]+|\d+")  # of apiKey2: api, Key, 2
# What a name looks like: one to four words with the marks that names are put together with. Anything else is a text.
_NAME = re.compile(r"\s*[\w.:/@$()\[\]-]+(?: [\w.:/@$()\[\]-]+){0,3}\s*")
_LONGEST_CACHED = 100

_HINTS = (
    "pass", "pwd", "cre", "token", "key", "auth", "cookie", "dsn", "sess", "srf", "bearer",
)  # fmt: skip
hints: tuple[str, ...] = _HINTS
"""One of these is in every telling name, in lower case: a text without them holds none."""
_own_keys: frozenset[str] = frozenset()


def is_telling(name: str) -> bool:
    """Whether what stands under *name* is to be masked.

    Case, camelCase and punctuation between words are seen through. A bare ``key``
    is harmless, as are ``cache_key``, ``max_tokens`` and ``password_length``; so is
    what is no name but a text: of more than four words, or with other marks than
    names have.
    """
    name = exact(name)
    return (_tells if len(name) <= _LONGEST_CACHED else _tells.__wrapped__)(name, _own_keys)


@lru_cache(maxsize=2048)
def _tells(name: str, own: frozenset[str]) -> bool:
    if not _NAME.fullmatch(name):
        return False
    words = [word.lower() for word in _WORD.findall(name)]
    if own:
        joined = f" {' '.join(words)} "
        if any(f" {key} " in joined for key in own):
            return True
    words = [word for word in words if not word.isdigit()]
    if not words or words[-1] in _ABOUT:
        return False
    lower = name.lower()
    return (
        any(part in lower for part in _TELLING_PARTS)
        or _has_telling_word(words)
        or _has_telling_word([word for word in _WORD.findall(lower) if not word.isdigit()])  # no camel's humps: toKen
    )


def _has_telling_word(words: list[str]) -> bool:
    previous, counting = "", False
    for word in words:
        if word in _TELLING and not (counting and word in _COUNTED):
            return True
        if word in _TELLING_IN_COMPANY and previous and previous not in _HARMLESS_COMPANY:
            return True
        previous, counting = word, counting or word in _COUNTING
    return False


def add_keys(*words: str) -> None:
    """Mask what stands under these names too: ``add_keys("iban", "customer_number")``.

    A name is telling when it holds the words of one of them, in their order and
    without others between. For what is recorded from now on, in every registry.

    Raises:
        ValueError: one holds neither a letter nor a digit.
        TypeError: one is no string.
    """
    global _own_keys, hints
    added = set()
    for key in words:
        parts = _WORD.findall(key)
        if not parts:
            raise ValueError(f"add_keys takes names such as 'iban', {key!r} has neither a letter nor a digit")
        added.add(" ".join(parts).lower())
    with LOCK:
        _own_keys = _own_keys | added
        hints = (*_HINTS, *sorted({key.partition(" ")[0] for key in _own_keys}))
