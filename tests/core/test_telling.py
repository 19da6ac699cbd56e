from __future__ import annotations

import threading
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monkit_core import telling
from monkit_core.telling import add_keys, is_telling

TELLING = [
    "password",
    "Password",
    "PASSWORD",
    "passwords",
    "old_password",
    "db.password",
    "user-password",
    "passwd",
    "pwd",
    "MYSQL_PWD",
    "PGPASSWORD",
    "dbpassword",
    "passphrase",
    "passcode",
    "secret",
    "secrets",
    "client_secret",
    "clientSecret",
    "SECRET_KEY",
    "token",
    "tokens",
    "access_token",
    "accessToken",
    "refresh-token",
    "id_token",
    "csrf_token",
    "X-CSRFToken",
    "csrf",
    "xsrf",
    "api_key",
    "apiKey",
    "APIKey",
    "APIKEY",
    "apikeys",
    "X-Api-Key",
    "x_api_keys",
    "access_key",
    "AWS_SECRET_ACCESS_KEY",
    "access_key_id",
    "private_key",
    "privateKey",
    "private_keys",
    "signing_key",
    "fernet_key",
    "OPENAI_KEY",
    "sha256_key",
    "key_key",
    "auth",
    "http_auth",
    "proxyAuth",
    "auth0",
    "authentication",
    "Authorization",
    "Proxy-Authorization",
    "oauth",
    "oauth2",
    "bearer",
    "cookie",
    "cookies",
    "Set-Cookie",
    "session_cookie",
    "cred",
    "creds",
    "credential",
    "credentials",
    "dbCredentials",
    "dsn",
    "SENTRY_DSN",
    "session",
    "session_id",
    "sessionId",
    "sessionid",
    "JSESSIONID",
    "PHPSESSID",
    "password2",
    "password_hash",
    "token_1",
    "api_key_2",
    "smtp_pass",
    "dbPass",
    "pAsSwOrD",
    "_token_",
    "(token)",
    "toKen",
]
HARMLESS = [
    "monkey",
    "Monkey",
    "keyboard",
    "keyword",
    "key",
    "keys",
    "Key",
    "key1",
    "key_name",
    "keyName",
    "KeyError",
    "cache_key",
    "cacheKey",
    "sort_key",
    "primary_key",
    "foreign_key",
    "partition_key",
    "idempotency_key",
    "publicKey",
    "hotkey",
    "turkey",
    "hockey",
    "author",
    "authors",
    "author_id",
    "authority",
    "authentic",
    "tokenizer",
    "tokenize",
    "tokenized",
    "detokenize",
    "secretary",
    "secretion",
    "session_timeout",
    "sessionmaker",
    "obsession",
    "max_tokens",
    "prompt_tokens",
    "total_tokens",
    "completionTokens",
    "token_count",
    "tokenType",
    "active_sessions",
    "password_length",
    "passwordLength",
    "AuthError",
    "InvalidTokenError",
    "token_expires_at",
    "cookie_name",
    "credentials_path",
    "private_key_file",
    "pass",
    "passed",
    "passenger",
    "compass",
    "bypass",
    "first_pass",
    "pass_count",
    "cookiecutter",
    "accredited",
    "sacred",
    "design",
    "item",
    "user",
    "url",
    "host",
    "dsnx",
    "x",
    "1",
    "_",
    "-",
]


@pytest.fixture(autouse=True)
def _own_keys_of_this_test(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telling, "_own_keys", telling._own_keys)
    monkeypatch.setattr(telling, "hints", telling.hints)


@pytest.mark.parametrize("name", TELLING)
def test_name_of_a_secret_tells(name: str) -> None:
    assert is_telling(name)


@pytest.mark.parametrize("name", ["", *HARMLESS])
def test_name_that_only_looks_like_one_does_not(name: str) -> None:
    assert not is_telling(name)


@pytest.mark.parametrize("name", TELLING)
def test_every_telling_name_holds_a_hint(name: str) -> None:
    assert any(hint in name.lower() for hint in telling.hints)


def test_every_telling_word_holds_a_hint() -> None:
    words = {*telling._TELLING, *telling._TELLING_PARTS, *telling._TELLING_IN_COMPANY}
    assert [word for word in words if not any(hint in word for hint in telling.hints)] == []


def test_words_of_the_tables_are_such_as_names_are_split_into() -> None:
    single = (telling._TELLING, telling._TELLING_IN_COMPANY, telling._HARMLESS_COMPANY, telling._ABOUT)
    words = set().union(*single, telling._COUNTING, telling._COUNTED)
    assert [word for word in words if telling._WORD.findall(word) != [word]] == []


def test_every_name_of_prose_tells() -> None:
    assert [name for name in telling.IN_PROSE if not is_telling(name)] == []


@given(st.text())
def test_no_name_is_an_error(name: str) -> None:
    assert is_telling(name) in (True, False)


@pytest.mark.parametrize("length", [50, telling._LONGEST_CACHED, 10_000])
def test_name_of_any_length_is_read_to_its_end(length: int) -> None:
    assert is_telling("x" * length + "_token")
    assert not is_telling("x" * length + "_tokenizer")


def test_names_that_are_remembered_are_bounded_in_number_and_length() -> None:
    telling._tells.cache_clear()
    for number in range(5_000):
        is_telling(f"name {number}")
    remembered = telling._tells.cache_info()
    assert remembered.currsize == remembered.maxsize == 2048
    is_telling("x" * 101)
    assert telling._tells.cache_info() == remembered


def test_own_keys_tell_from_then_on_however_they_are_written() -> None:
    assert not is_telling("customerNumber")
    add_keys("iban", "customer_number", "Größe 2")
    for name in ("iban", "IBAN", "user_iban", "ibanOfBob", "customerNumber", "CUSTOMER-NUMBER", "größe2"):
        assert is_telling(name), name
    for name in (
        "urban",
        "ibans",
        "customer",
        "number",
        "number_customer",
        "customer_phone_number",
        "größe",
        "größe22",
    ):
        assert not is_telling(name), name


def test_own_key_tells_in_any_company() -> None:
    add_keys("key", "max_tokens")
    assert is_telling("key")
    assert is_telling("cache_key_name")
    assert is_telling("max_tokens")
    assert not is_telling("keyboard")


def test_own_keys_add_up() -> None:
    add_keys("iban")
    add_keys("tax_id")
    add_keys()
    assert is_telling("iban")
    assert is_telling("taxId")
    assert telling.hints[-2:] == ("iban", "tax")


def test_keys_added_by_several_threads_are_all_kept() -> None:
    threads = [threading.Thread(target=add_keys, args=(f"own{chr(97 + number)}",)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(is_telling(f"own{chr(97 + number)}") for number in range(20))


@pytest.mark.parametrize("key", ["", "_", "---", " "])
def test_key_without_a_letter_or_digit_is_refused_and_the_others_with_it(key: str) -> None:
    with pytest.raises(ValueError, match="neither a letter nor a digit"):
        add_keys("iban", key)
    assert not is_telling("iban")


def test_key_that_is_no_string_is_refused() -> None:
    with pytest.raises(TypeError):
        add_keys(5)  # type: ignore[arg-type]


def test_hints_are_in_no_other_hint() -> None:
    """One would be looked for in vain."""
    assert [(a, b) for a, b in pairwise(sorted(telling.hints)) if b.startswith(a)] == []
