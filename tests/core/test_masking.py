from __future__ import annotations

import json
import string
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from monkit_core import Span, masking, telling
from monkit_core.arguments import show
from monkit_core.errors import error_text
from monkit_core.masking import MASK, add_keys, mask, mask_to, mask_value, reach
from tests.helpers import fresh_scope

SECRET = "hunter2!Xq9"
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dozjgNryP4J3jVmNHl0w5N"


@dataclass
class Login:
    user: str
    password: str
    api_key: object = None


class Opaque:
    """Its repr is of no form that a reader of text could take apart."""

    def __repr__(self) -> str:
        return f"Opaque, that is {SECRET}, and more"


class Field(StrEnum):
    TOKEN = "token"


def twice(value: object) -> str:
    return json.dumps(json.dumps(value))


IN_TEXT = {
    "key=value": (f"host=x password={SECRET} dbname=z", "host=x password=*** dbname=z"),
    "key: value": (f"token: {SECRET}", "token: ***"),
    "key = 'value'": (f"secret = 'a b {SECRET}', x", "secret = '***', x"),
    "key := value": (f"secret := {SECRET}", "secret := ***"),
    "key => value": (f"clientSecret => {SECRET}", "clientSecret => ***"),
    "quote written twice": (f"pwd='a''b {SECRET}', x", "pwd='***', x"),
    "three quotes": (f'password = """{SECRET}""" x', 'password = "***" x'),
    "mark after a bracket": (f"password=a)!{SECRET}, x", "password=***, x"),
    "comparison": (f"{{'token'}} != 'x', token == '{SECRET}'", "{'token'} != 'x', token == '***'"),
    "item of a mapping": (f"environ['SECRET_KEY'] = '{SECRET}'", "environ['SECRET_KEY'] = '***'"),
    "variable of a shell": (f"PGPASSWORD={SECRET} psql", "PGPASSWORD=*** psql"),
    "connection string": (f"Server=x;Pwd={SECRET};Database=y", "Server=x;Pwd=***;Database=y"),
    "flag": (f"mysql --password {SECRET} db", "mysql --password *** db"),
    "flag with =": (f"mysql --password={SECRET} db", "mysql --password=*** db"),
    "list of flags": (repr(["mysql", "--password", SECRET, "db"]), "['mysql', '--password', '***', 'db']"),
    "prose": (f"Incorrect API key: {SECRET} (see docs)", "Incorrect API key: *** (see docs)"),
    "long path": (f"{'deep.' * 100}password={SECRET}", f"{'deep.' * 100}password=***"),
    "query": (f"/in?a=1&access_token={SECRET}&b=2", "/in?a=1&access_token=***&b=2"),
    "query of forms": (f"user[password]={SECRET}&b=2", "user[password]=***&b=2"),
    "query of lists": (f"tokens[]={SECRET}&token[0]={SECRET}&b=2", "tokens[]=***&token[0]=***&b=2"),
    "escaped query of lists": (f"tokens%5B0%5D={SECRET}&b=2", "tokens%5B0%5D=***&b=2"),
    "escaped query": (f"user%5Btoken%5D={SECRET}&b=2", "user%5Btoken%5D=***&b=2"),
    "escaped =": (f"next=%2Fin%3Ftoken%3D{SECRET}&b=2", "next=%2Fin%3Ftoken%3D***&b=2"),
    "JSON": (json.dumps({"password": SECRET, "n": 1}), '{"password": "***", "n": 1}'),
    "JSON of numbers": ('{"pwd":123456,"n":1}', '{"pwd":***,"n":1}'),
    "JSON of lists": (json.dumps({"tokens": [SECRET, [SECRET]], "n": 1}), '{"tokens": ***, "n": 1}'),
    "JSON with quotes": (json.dumps({"password": f'a"{SECRET}\\"', "n": 1}), '{"password": "***", "n": 1}'),
    "JSON in JSON": (twice({"password": f'a"{SECRET}', "n": 1}), twice({"password": "***", "n": 1})),
    "JSON in JSON, cut short": (f'"{{\\"password\\": \\"{SECRET}", n', '"{\\"password\\": \\"***", n'),
    "JSON cut short": (f'{{"password": "{SECRET}', '{"password": "***'),
    "repr of a dict": (repr({"password": f"it's {SECRET}", "n": 1}), "{'password': \"***\", 'n': 1}"),
    "repr of bytes": (repr({b"password": SECRET.encode()}), "{b'password': b'***'}"),
    "repr of a dataclass": (repr(Login("a", SECRET, [{"x": SECRET}])), "Login(user='a', password='***', api_key=***)"),
    "repr of an object": (f"User(token=<Token '{SECRET}'>, n=1)", "User(token=***, n=1)"),
    "repr with spaces": (f"x(auth=<Auth {SECRET}>, n=1)", "x(auth=***, n=1)"),
    "repr with brackets": (f"x(cred=Key({SECRET!r}, 1)[{SECRET}], n=1)", "x(cred=***, n=1)"),
    "scheme in a value": (f"auth=Basic {SECRET}, n=1", "auth=***, n=1"),
    "repr of pairs": (repr([("authorization", SECRET), ("n", "1")]), "[('authorization', '***'), ('n', '1')]"),
    "repr of raw headers": (repr([(b"cookie", SECRET.encode()), (b"n", b"")]), "[(b'cookie', b'***'), (b'n', b'')]"),
    "Authorization": (f"Authorization: Token {SECRET}, x\r\nHost: x", "Authorization: ***\r\nHost: x"),
    "Digest": (f'Authorization: Digest u="a", response="{SECRET}", nc=1\nHost: x', "Authorization: ***\nHost: x"),
    "cookies in quotes": (f'Set-Cookie: a="b", c={SECRET}\nHost: x', "Set-Cookie: ***\nHost: x"),
    "header in a list": (f'["Authorization: {SECRET}", "n=1"]', '["Authorization: ***", "n=1"]'),
    "Cookie": (f"Cookie: a={SECRET}; b={SECRET}\nHost: x", "Cookie: ***\nHost: x"),
    "Set-Cookie": (f"Set-Cookie: sid={SECRET}; Path=/", "Set-Cookie: ***"),
    "headers spelt out": (f"'GET /\\r\\nToken: {SECRET}\\r\\nHost: x'", "'GET /\\r\\nToken: ***\\r\\nHost: x'"),
    "spelt-out line end within a value": (f"password={SECRET}\\n{SECRET} x", "password=*** x"),
    "X-Api-Key": (f"X-Api-Key: {SECRET}\r\nHost: x", "X-Api-Key: ***\r\nHost: x"),
    "command line of curl": (f"curl -H 'Authorization: Bearer {SECRET}' x", "curl -H 'Authorization: ***' x"),
    "Bearer": (f"sent bearer {SECRET}, got 401", "sent bearer ***, got 401"),
    "Bearer that begins like prose": (f"Bearer a-{SECRET}, Bearer token.{SECRET}", "Bearer ***, Bearer ***"),
    "escaped Bearer": (f"h=Bearer%20{SECRET}", "h=Bearer%20***"),
    "Basic": ("sent Basic YW5uOmh1bnRlcjIhWHE5==, got 401", "sent Basic ***, got 401"),
    "user information": (f"postgres://ann:{SECRET}@db:5432/x", "postgres://***@db:5432/x"),
    "user alone": (f"https://{SECRET}@github.com/x.git", "https://***@github.com/x.git"),
    "password alone": (f"redis://:{SECRET}@db:1/0", "redis://***@db:1/0"),
    "password with marks": (f"amqp://ann:a/b?c#@{SECRET}@db/", "amqp://***@db/"),
    "password with a quote": (f"postgres://ann:a'{SECRET}@db/x", "postgres://***@db/x"),
    "password with a quote and a mark": (f"postgres://ann:a/b'{SECRET}@db/x", "postgres://***@db/x"),
    "two URLs": (f"a://x:{SECRET}@h, b://y:{SECRET}@i", "a://***@h, b://***@i"),
    "JWT": (f"got {JWT} from x", "got *** from x"),
    "JWT with an empty part": (f"got eyJhbGciOiJkaXIifQ..{SECRET.replace('!', '')}.x from x", "got *** from x"),
    "JWT in a path": (f"/in/{JWT}/x", "/in/***/x"),
    "PEM": (f"a -----BEGIN RSA PRIVATE KEY-----\n{SECRET}\n-----END RSA PRIVATE KEY----- b", "a *** b"),
    "PEM in a repr": (f"'-----BEGIN PRIVATE KEY-----\\n{SECRET}\\n-----END PRIVATE KEY-----'", "'***'"),
    "PEM cut short": (f"a -----BEGIN OPENSSH PRIVATE KEY-----\n{SECRET}", "a ***"),
    "PGP": (f"-----BEGIN PGP PRIVATE KEY BLOCK-----\n{SECRET}\n-----END PGP PRIVATE KEY BLOCK-----", "***"),
}  # fmt: skip
STAYS = (
    "monkey=7", "keyboard: us", "author: Ann", "authority=x.y", "key=a", "{'key': 'value'}", "cache_key='user:7'",
    "primary_key=7", "foreign key: x", "max_tokens=400", "token_count: 3", "password_length=12", "passenger=4",
    "bypass=True", "tokenizer=bpe", "secretary='Jo'", "credit=5", "discrete: yes", "basic training",
    "Basic authentication is off", "bearer of news", "the bearer token.", "bearer is: x",
    "'http://h','a@b'", "eyJhbGciOiJIUzI1NiJ9...",
    "a bearer token is missing", "'password'", "no password given",
    "password=None", "token=''", "{'token': None, 'auth': False}", "https://example.com/a@b", "https://example.com:80/@x",
    "mail ann@example.com", "eyJhbGciOiJIUzI1NiJ9", "eyJ.txt", "['abc', 'token', 'def']", "AuthError: no such user",
    "-----BEGIN CERTIFICATE-----\nMII\n-----END CERTIFICATE-----", "session_timeout=3", "if token > 5", "",
    "missing: 'token', 'user'", "password=, n=1", "user.auth()",
)  # fmt: skip


@pytest.fixture(autouse=True)
def _own_keys_of_this_test(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telling, "_own_keys", telling._own_keys)
    monkeypatch.setattr(telling, "hints", telling.hints)


@pytest.mark.parametrize("name", IN_TEXT)
def test_secret_goes_and_what_is_around_it_stays(name: str) -> None:
    text, masked = IN_TEXT[name]
    assert mask(text) == masked
    assert mask(masked) == masked


@pytest.mark.parametrize("text", STAYS)
def test_what_only_looks_like_a_secret_stays(text: str) -> None:
    assert mask(text) == text


@pytest.mark.parametrize(
    ("key", "shown"), [("token", MASK), ("DB password", MASK), ("key", SECRET), ("<!ENTITY 'passwd'>", SECRET)]
)
def test_value_goes_as_a_whole_under_a_name_that_tells_and_not_under_a_text(key: str, shown: str) -> None:
    assert mask_value(key, SECRET) == shown


@pytest.mark.parametrize("nothing", ["", "None", "False", "{}", "''"])
def test_what_says_that_there_is_no_secret_stays(nothing: str) -> None:
    assert mask_value("password", nothing) == nothing


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("password", SECRET, "password=***"),
        ("pin_token", 1234, "pin_token=***"),
        ("pin", 1234, "pin=1234"),
        ("password", None, "password=None"),
        ("auth", ("ann", SECRET), "auth=***"),
        ("login", Login("ann", SECRET), "login=Login(user='ann', password='***', api_key=None)"),
        ("data", {"token": Opaque(), "n": 1}, "data={'token': ***, 'n': 1}"),
        ("data", {Field.TOKEN: Opaque(), "n": 1}, "data={<Field.TOKEN: '***'>: ***, 'n': 1}"),
        ("data", [{"a": [{"client_secret": [SECRET]}]}], "data=[{'a': [{'client_secret': ***}]}]"),
        ("url", f"https://ann:{SECRET}@h/", "url='https://***@h/'"),
    ],
)
def test_argument_is_recorded_without_its_secrets(name: str, value: object, shown: str) -> None:
    assert show(name, value) == shown


def annotated(key: str, value: object) -> tuple[str, str]:
    _, scope = fresh_scope()
    with scope.task("work") as span:
        assert isinstance(span, Span)
        span.annotate(key, value)
    (note,) = span.annotations
    return note


def test_annotation_is_kept_without_its_secrets() -> None:
    assert annotated("password", SECRET) == ("password", MASK)
    assert annotated("headers", {"Authorization": SECRET}) == ("headers", "{'Authorization': '***'}")
    assert annotated("user", SECRET) == ("user", SECRET)  # nothing tells


def test_key_of_an_annotation_is_masked_as_text_too() -> None:
    assert annotated(f"https://ann:{SECRET}@h/", 1) == ("https://***@h/", "1")


def test_text_of_an_error_is_kept_without_its_secrets() -> None:
    assert (
        error_text(ConnectionError(f"cannot reach postgres://ann:{SECRET}@db/x")) == "cannot reach postgres://***@db/x"
    )


def test_own_keys_are_masked_in_texts_from_then_on() -> None:
    text = f"iban={SECRET} customerNumber: {SECRET}"
    assert mask(text) == text
    add_keys("iban", "customer_number")
    assert mask(text) == "iban=*** customerNumber: ***"
    assert masking.is_telling("IBAN")


# The pieces that secrets are made of, in any order: nearer to the edges of the patterns than any text.
PIECES = st.lists(
    st.sampled_from((
        *" \t\n,;&=:@/?#<>()[]{}'\"\\|.-_%+aZ9é", "://", "\\n", "\\'", '\\"', "token", "İ", "key", "api key", "--token",
        "Bearer ", "Basic ", "authorization", "Cookie: ",
        '", a=', "[0]", "..", "eyJhbGciOi.", "abcdefgh", "('token', '", "%5B", "***",
        "-----BEGIN PRIVATE KEY-----", "-----END PRIVATE KEY-----", "None", "''", "=>", "session id", "\ud800",
    ))
).map("".join)  # fmt: skip
TEXTS = PIECES | st.text()


@given(TEXTS)
def test_masking_again_changes_nothing(text: str) -> None:
    masked = mask(text)
    assert mask(masked) == masked


@given(TEXTS)
def test_masked_text_is_at_most_twice_as_long(text: str) -> None:
    assert len(mask(text)) <= 2 * len(text)


@given(TEXTS, st.integers(1, 40), TEXTS)
@example("x" * 2_000, 5, "token")
def test_text_is_bounded_by_its_limit(text: str, limit: int, name: str) -> None:
    assert len(mask_to(text, limit, name)) <= max(limit, len(MASK))


@given(TEXTS)
def test_text_without_a_hint_is_left_alone(text: str) -> None:
    lower = text.lower()
    if not any(hint in lower for hint in (*telling.hints, "://", "eyj", "basic")):
        assert mask(text) == text


@pytest.mark.parametrize(
    "kind", [str, type("Loud", (str,), {"lower": lambda self: 1 / 0, "__str__": lambda self: 1 / 0})]
)
def test_text_of_a_subclass_is_masked_without_asking_it(kind: Callable[[str], str]) -> None:
    assert mask(kind(f"token={SECRET}")) == "token=***"


PLANTED = st.text(string.ascii_letters + string.digits, min_size=12, max_size=40).map(lambda text: f"Q7{text}")
FRAMES = (
    "password={}", "password: {}", "{{'token': '{}'}}", '{{"api_key": "{}"}}', '{{\\"api_key\\": \\"{}\\"}}',
    "x(secret='{}', n=1)", "?access_token={}&n=1", "X-Api-Key: {}", "Authorization: Digest {}", "Bearer {}",
    "https://ann:{}@host/", "[('authorization', '{}')]", "--token {}", "eyJhbGciOiJIUzI1NiJ9.{}.{}",
    "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----",
)  # fmt: skip
PROSE = st.text(string.ascii_letters + " .,()\n", max_size=60)


@pytest.mark.parametrize("frame", FRAMES)
@given(secret=PLANTED, before=PROSE, after=PROSE)
def test_planted_secret_is_gone_whatever_stands_around_it(frame: str, secret: str, before: str, after: str) -> None:
    text = f"{before} {frame.format(secret, secret)} {after}"
    assert secret not in mask(text)
    assert secret not in mask_to(text, 50)
    assert secret not in error_text(ValueError(text))


@pytest.mark.parametrize("frame", FRAMES)
def test_cut_never_uncovers_a_secret(frame: str) -> None:
    limit, secret = 100, "Q7" * 20
    for start in range(0, reach(limit) + 20, 7):
        text = f"{'so ' * (start // 3)} {frame.format(secret, secret)} {'x ' * 500}"
        assert "Q7" not in mask_to(text, limit)
        assert "Q7" not in show("text", text)


HALF_CHARACTERS = 200_000
ADVERSARIAL = (
    "a", "://a:", "://a:/", "://***@", "@", "-----BEGIN PRIVATE KEY", "-----BEGIN PRIVATE KEY-----", "eyJ.", "bearer ",
    "basic ", "token='", "token=\\", "token=(", 'token=["', "token=<", "token=a,",
    "://a'", "://a:/'a", "bearer a", "eyJaaaaaaa..", 'cookie: "a", b=', 'cookie: "  ', "token='x''", "token[",
    "token[a", "token: ", "token  \t", "TOKEN", "token.",
    "--token ", "('token', \"x", "('token', 'x\\", "cookie: \\n", "api key ", "İtoken=", "token=None ",
)  # fmt: skip


@pytest.mark.parametrize("unit", ADVERSARIAL)
def test_time_is_linear_for_any_text(unit: str) -> None:
    """Twice the text takes about twice the time; quadratic would be four times, of minutes."""
    half = (unit * HALF_CHARACTERS)[:HALF_CHARACTERS]
    assert min(ratios(half)) < 3.2


def ratios(half: str) -> Iterator[float]:
    """How many times longer the double takes, until one is plain; a busy machine may spoil some."""
    for _ in range(5):
        ratio = (seconds(half + half) + 0.005) / (seconds(half) + 0.005)  # what is this quick is no matter
        yield ratio
        if ratio < 3:
            return


def seconds(text: str) -> float:
    start = time.thread_time()
    mask(text)
    return time.thread_time() - start
