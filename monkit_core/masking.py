"""The one place that decides what is a secret, and puts ``***`` in its place.

A secret is known by the name it stands under (`is_telling`), or by its shape: user
information in a URL, a private key, a JWT, what follows ``Bearer`` or ``Basic``. In
doubt it goes: a masked word costs a look into the code, a shown password more.

The rule of the file: linear time for any text, and what has been masked is masked
the same way again. So the scanner walks forward over words and never back, a pattern
repeats a class of characters at most up to something that cannot be in the class,
and where a value ends depends on what follows it, never on what was in it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

from monkit_core import telling
from monkit_core.telling import IN_PROSE, add_keys, is_telling
from monkit_core.text import clean, clip, exact, told

__all__ = ["MASK", "add_keys", "describe", "is_telling", "mask", "mask_to", "mask_value", "reach"]

MASK = "***"

# What hints at a secret beside the hints at names: at the shapes, and at a name of two words as far as its end.
_SHAPES = ("://", "eyj", "basic", "session id")
_PRIVATE_KEY = re.compile(  # without its end too, which may have been cut off
    r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----.*?"
    r"(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----|\Z)",
    re.DOTALL,
)
# A word with what makes it the name of a value, or the start of a URL's authority.
_TOKEN = re.compile(
    r"""(?P<word>[\w.-]++)
        (?=(?P<pair>
            (?P<closing>\\*["'])? (?:\]|%5[Dd]|%22)? (?:(?:\[|%5[Bb])[\w.-]{0,40}+(?:\]|%5[Dd]))?+
            [ \t]*+ (?:=>|:=|!?={1,3}|:(?!//)|%3[AaDd]) [ \t]*+
        )?)
      | ://""",
    re.VERBOSE,
)
# As people write them: the password may hold "/", "?" and "#", unless what stands before is a port. Never beyond the
# mark, which may stand for an end of it that was masked with a value.
_USER_INFORMATION = re.compile(
    r"""(?: (?: (?:[^\s/?#"'<>@*]++ | \*(?!\*\*) | '(?=\w))* @ )+
          | (?:[^\s/?#"'<>@*:\[]++ | \*(?!\*\*) | '(?=\w))* : (?!\d{1,5}[/?#])
            (?:[^\s"'<>@] | '(?=\w)){1,256}+ @ (?: (?:[^\s/?#"'<>@*]++ | \*(?!\*\*) | '(?=\w))* @ )*
        )""",
    re.VERBOSE,
)
_CREDENTIALS = {
    # What prose says after the word is let through.
    "bearer": re.compile(
        r"""(?:[ \t+]|%20)++
            (?!(?:a|an|and|auth|authentication|authorization|error|for|format|is|of|or|realm|scheme|tokens?|was)
               (?![\w~+/=-]|\.\w))
            ([^\s,;"'<>()\[\]{}\\]++)""",
        re.IGNORECASE | re.VERBOSE,
    ),
    # Base64 of any use has a capital or a digit inside; "Basic authentication" has not.
    "basic": re.compile(r"(?:[ \t+]|%20)++(?=[\w+/-]{8})(?=[\w+/-][a-z_-]*+[A-Z0-9+/=])([A-Za-z0-9+/_-]++={0,2})"),
}
_SCHEME = re.compile(r"(?<!\w)(?:apikey|basic|bearer|digest|negotiate|ntlm|token)\Z", re.IGNORECASE)
_AFTER_SCHEME = re.compile(r"[ \t]++[^\s,;\"'<>()\[\]{}\\]++")
_FLAG = re.compile(r"[ \t]++(?!-)")
_ITEM = re.compile(r"""\\*["'],[ \t]*+(?=[bBuU]?\\*["'])""")
_BEFORE_ITEM = re.compile(r"""[(\[][bBuU]?\\*["']\Z""")

_OPENING = re.compile(r"""[bBfFrRuU]{0,2}(\\*)(["'])""")
_TO_QUOTE = {quote: re.compile(rf"[^{quote}\\]*+(\\*+)({quote}?)") for quote in "'\""}
# Closing marks and separators end a value only where nothing that looks like more of it follows.
_BARE = re.compile(
    r"""(?: [^\s,;&)\]}>"'(\[{\\]++
          | \\ (?! (?:r\\n|[rn]) [\w-]++ : [ \t])  # a spelt-out line end, and a header in the next line
          | [)\]}>"'] (?=[\w!#$%@^])
          | [,;&] (?= [^\s,;&=:)\]}>"'(\[{%]++ (?:[\s,;&)\]}>"']|\Z) )
        )+""",
    re.VERBOSE,
)
# A quote ends the line, which stands in quotes, except before more of its own: another parameter, another cookie.
_LINE = re.compile(
    r"""(?: [^\r\n"'\\]++ | \\(?![rn]) | ["'](?: (?=[ \t]*+,[ \t]*+[\w-]++=) | (?![\s,\])}>:]|\Z) ) )+""", re.VERBOSE
)
_BRACKETS = ("(", "[", "{")
_CLOSERS = {"(": ")", "[": "]", "{": "}", "<": ">"}
_TO_BRACKET = {
    opening: re.compile(rf"[^\"'{re.escape(opening + closing)}\\]*+(\\*+)([\"'{re.escape(opening + closing)}]?)")
    for opening, closing in _CLOSERS.items()
}
_LINES = ("authorization", "cookie", "cookies")  # headers, whose value is the rest of the line
_NO_SECRETS = frozenset({
    "None", "True", "False", "null", "true", "false", "''", '""', "b''", 'b""', "()", "[]", "{}", "set()",
})  # fmt: skip

_SPARE = 512


def mask(text: str) -> str:
    """*text* with ``***`` in place of each secret that can be recognised in it.

    Never raises, and masks what is masked already to itself. The result is at
    most twice as long as *text*. Quotes around a value stay. About 0.3 to 1 µs
    for a text of up to 100 characters in which nothing hints at a secret.
    """
    text = exact(text)
    lower = text.lower()
    for hint in telling.hints:  # a generator within any() would take twice as long
        if hint in lower:
            break
    else:
        if "://" not in lower and "eyj" not in lower and "basic" not in lower:
            return text
    if "-----BEGIN" in text:
        text = _PRIVATE_KEY.sub(MASK, text)
    parts: list[str] = []
    position = 0
    for start, end in _secrets(text):
        parts += (text[position:start], MASK)
        position = end
    return "".join((*parts, text[position:])) if parts else text


def mask_value(name: str, text: str) -> str:
    """*text*, which stands under *name*: ``***`` if that is telling, otherwise masked as free text.

    What says that there is no secret stays: ``None``, a truth value, an empty string or container.
    """
    if is_telling(name):
        return text if text in _NO_SECRETS or not text else MASK
    return mask(text)


def reach(limit: int) -> int:
    """How much of a text `mask_to` looks at to give *limit* characters."""
    return 2 * limit + _SPARE


def mask_to(text: str, limit: int, name: str = "") -> str:
    """The first *limit* characters of what `mask_value` gives; *text* itself may be cut at `reach`.

    Only after masking is the text cut to size, so that no secret loses by the cut
    what it would be recognised by. Of a text longer than `reach` the last word
    before that is left out, for it may be half a secret.
    """
    end = reach(limit)
    if len(text) < end or is_telling(name):
        return clip(mask_value(name, text), limit)
    masked = mask(text[:end])
    if not masked.endswith(MASK):
        masked = masked[: _last_word(masked)]
    return clip(f"{masked}…", limit)


def describe(value: object, limit: int, name: str = "") -> str:
    """``str(value)``, which stands under *name*: masked, clean, of at most *limit* characters.

    Runs the value's own ``__str__``, so never call this under a lock.
    """
    return clean(mask_to(told(value), limit, name))


def _last_word(text: str) -> int:
    """Where the last run without spaces and quotes starts, `_SPARE` characters before the end at the most."""
    start = max(0, len(text) - _SPARE)
    return max(start, *(text.rfind(mark, start) + 1 for mark in " \t\n\"'"))


@lru_cache(maxsize=2)
def _hint(names: tuple[str, ...]) -> re.Pattern[str]:
    """What finds the next place in a lower-case text where a secret may be."""
    return re.compile("|".join(re.escape(hint) for hint in (*_SHAPES, *sorted(names, key=len, reverse=True))))


def _secrets(text: str) -> Iterator[tuple[int, int]]:
    """Start and end of each secret, in order."""
    lower = text.lower()
    aligned = len(lower) == len(text)  # a few capitals become two characters
    hint = _hint(telling.hints)
    hint_at, position, free_from = -1, 0, 0
    previous: re.Match[str] | None = None
    while True:
        if aligned and hint_at < position:
            hinted = hint.search(lower, position)
            if hinted is None:
                return
            hint_at = hinted.end() - 1
            position = _two_words_before(text, position, hinted.start())
        found = _TOKEN.search(text, position)
        if found is None:
            return
        word = found["word"]
        if word is None:
            span = _user_information(text, found.end())
        else:
            span = _token(word, found.start()) or _credentials(text, found) or _named(text, found, previous, free_from)
        if span is None:
            position, previous = found.end(), found
        else:
            yield span
            position = free_from = span[1]


def _two_words_before(text: str, start: int, end: int) -> int:
    """A gap between words from which *end* is two words away, or *start*."""
    last = text.rfind(" ", start, end)
    return start if last < 0 else max(start, text.rfind(" ", start, last))


def _user_information(text: str, start: int) -> tuple[int, int] | None:
    found = _USER_INFORMATION.match(text, start)
    return _filled(start, found.end() - 1) if found and MASK not in found.group() else None


def _token(word: str, offset: int) -> tuple[int, int] | None:
    """A JWT: parts between dots, of which the first begins as any JSON object does in base64."""
    if "eyJ" not in word:
        return None
    start = 0
    parts = word.split(".")
    for part, following, next_but_one in zip(parts, parts[1:], [*parts[2:], ""], strict=False):
        head = part.find("eyJ")
        # One that is encrypted with a key of its own has nothing in its second part.
        if head >= 0 and len(part) - head >= 10 and len(following or next_but_one) >= 4:
            return offset + start + head, offset + len(word)
        start += len(part) + 1
    return None


def _credentials(text: str, found: re.Match[str]) -> tuple[int, int] | None:
    """What follows ``Bearer`` or ``Basic``."""
    for word in _readings(text, found):
        scheme = _CREDENTIALS.get(word.lower()) if len(word) <= len("bearer") else None
        if scheme is not None and (credentials := scheme.match(text, found.end())):
            return credentials.span(1)
    return None


def _readings(text: str, found: re.Match[str]) -> tuple[str, ...]:
    r"""The word, and what it is if it begins with the rest of a spelt-out ``\n``, ``\r``, ``\t`` or ``%5B``."""
    word, before = found["word"], text[found.start() - 1 : found.start()]
    if before == "%":
        return word, word[2:]
    return (word, word[1:]) if before == "\\" and word[0] in "nrt" else (word,)


def _named(text: str, found: re.Match[str], previous: re.Match[str] | None, free_from: int) -> tuple[int, int] | None:
    """The value that stands under the word *found*, if that is telling; before *free_from* all is dealt with."""
    end = found.end()
    names = _readings(text, found)
    if found["pair"] is not None:
        names += _in_prose(text, found, previous)
        name = next(filter(is_telling, names), None)
        return None if name is None else _value(text, end + len(found["pair"]), name, found)
    if names[-1].startswith("--") and (gap := _FLAG.match(text, end)) and is_telling(names[-1]):
        return _bare_value(text, gap.end())
    item = _ITEM.match(text, end)
    if item is None or not any(map(is_telling, names)):
        return None
    # The first item of a list of words looks the same, and what follows a pair may be masked with something in it.
    if names[-1].startswith("--") or _BEFORE_ITEM.search(text, max(free_from, found.start() - 12), found.start()):
        opening = _OPENING.match(text, item.end())
        assert opening is not None  # the pattern of items has looked ahead
        return _string(text, opening)[0]
    return None


def _in_prose(text: str, found: re.Match[str], previous: re.Match[str] | None) -> tuple[str, ...]:
    """A name of two words that are a space apart."""
    if previous is None or found.start() - previous.end() != 1 or text[previous.end()] != " ":
        return ()
    name = f"{(previous['word'] or '').lower()} {found['word'].lower()}"
    return (name.replace(" ", "_"),) if name in IN_PROSE else ()


def _value(text: str, start: int, name: str, found: re.Match[str]) -> tuple[int, int] | None:
    """The value that begins at *start*, under a telling *name*."""
    opening = _OPENING.match(text, start)
    if found["closing"] is None and name.lower().endswith(_LINES) and not (opening and ":" not in found["pair"]):
        line = _LINE.match(text, start)
        return line.span() if line and line.group() not in _NO_SECRETS else None
    if opening:
        return _string(text, opening)[0]
    return _bare_value(text, start)


def _string(text: str, opening: re.Match[str]) -> tuple[tuple[int, int] | None, int]:
    """What stands in quotes, ``None`` if nothing does; and where the text goes on.

    The quotes may have been spelt out once or more often, as JSON within JSON has
    them; then a quote of the content has more backslashes than the last one.
    """
    depth, quote = len(opening[1]), opening[2]
    start = position = opening.end()
    while True:
        found = _TO_QUOTE[quote].match(text, position)
        assert found is not None  # the pattern accepts any text
        position = found.end()
        if not found[2]:
            if position == len(text):
                return _filled(start, position), position
            continue
        slashes = len(found[1])
        if slashes < depth:  # the end of the text around it: this one was cut
            return _filled(start, found.start(1)), found.start(1)
        following = text[position : position + 1]
        more_follows = following.isalnum() or (depth == 0 and following == quote)  # one twice is one within; or three
        if (slashes - depth) % (2 * depth + 2) == 0 and not more_follows:
            return _filled(start, position - 1 - depth), position


def _filled(start: int, end: int) -> tuple[int, int] | None:
    return (start, end) if start < end else None


def _bare_value(text: str, start: int) -> tuple[int, int] | None:
    """A value without quotes, with the brackets that belong to it."""
    end = _bracket(text, start) if text.startswith("<", start) else start
    while True:
        if bare := _BARE.match(text, end):
            end = bare.end()
            if _SCHEME.search(text, max(start, end - 12), end) and (more := _AFTER_SCHEME.match(text, end)):
                end = more.end()
        elif text[end : end + 1] in _BRACKETS:
            end = _bracket(text, end)
        else:
            break
    return None if text[start:end] in _NO_SECRETS else _filled(start, end)


def _bracket(text: str, start: int) -> int:
    """Where the bracket that opens at *start* has closed; the end of the text if it does not."""
    opening = text[start]
    depth, position = 0, start
    while position < len(text):
        found = _TO_BRACKET[opening].match(text, position)
        assert found is not None  # the pattern accepts any text
        position, mark = found.end(), found[2]
        if mark in ("'", '"'):
            string = _OPENING.match(text, found.start(1))
            assert string is not None
            position = _string(text, string)[1]
        elif mark:
            depth += 1 if mark == opening else -1
            if depth == 0:
                return position
    return len(text)
