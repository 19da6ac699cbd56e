"""Expressions that arrive over HTTP: matched in time linear in the text, whatever they say.

Python's own ``re`` backtracks and holds the interpreter lock while it does, so
one request could stop the process; it is never used on them. RE2 is, where
it is installed; elsewhere text, anchors and wildcards are understood.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

try:
    import re2
except ImportError:  # no wheel for this platform
    re2 = None

__all__ = ["BadExpression", "compile_expression", "nearest"]

_UNDERSTOOD = "without google-re2 only text, ^, $, \\ and the wildcards . and .* are understood"
_MOST_NEAREST = 5

Matcher = Callable[[str], bool]


class BadExpression(ValueError):
    """An expression that cannot be used; the message says why."""


def compile_expression(pattern: str) -> Matcher:
    """What tells whether an expression is found somewhere in a text.

    Raises:
        BadExpression: it cannot be parsed.
    """
    return _compile_plain(pattern) if re2 is None else _compile_re2(pattern)


def _compile_re2(pattern: str) -> Matcher:
    options = re2.Options()
    options.log_errors = False
    try:
        compiled = re2.compile(pattern, options)
    except re2.error as problem:
        detail = problem.args[0] if problem.args else "cannot be parsed"
        words = detail.decode("utf-8", "replace") if isinstance(detail, bytes) else str(detail)
        raise BadExpression(words) from None
    return lambda text: compiled.search(text) is not None


def _compile_plain(pattern: str) -> Matcher:
    """The little language that is understood without RE2, as runs of text between ``.*``."""
    at_start = pattern.startswith("^")
    body = pattern[1:] if at_start else pattern
    runs: list[list[str]] = [[]]
    at_end = False
    characters = list(body)
    while characters:
        character = characters.pop(0)
        if at_end:
            raise BadExpression(f"text after $: {_UNDERSTOOD}")
        if character == "." and characters[:1] == ["*"]:
            characters.pop(0)
            runs.append([])
        elif character == "\\":
            if not characters or characters[0].isalnum():
                raise BadExpression(f"nothing to escape after \\: {_UNDERSTOOD}")
            runs[-1].append(characters.pop(0))
        elif character == "$":
            at_end = True
        elif character in "*+?()[]{}|^":
            raise BadExpression(f"{character!r} is not supported: {_UNDERSTOOD}")
        else:
            runs[-1].append("" if character == "." else character)
    compiled = [_Run(run) for run in runs]
    return lambda text: _matches(compiled, text, at_start=at_start, at_end=at_end)


class _Run:
    """Characters one after the other, the empty text standing for any.

    Found by the bits of one number, of which each says how far an attempt has
    come; so every character of a text is looked at once.
    """

    def __init__(self, characters: list[str]) -> None:
        self.length = len(characters)
        self._any = sum(1 << place for place, character in enumerate(characters) if not character)
        self._places = dict.fromkeys(filter(None, characters), self._any)
        for place, character in enumerate(characters):
            if character:
                self._places[character] |= 1 << place

    def end(self, text: str, start: int, stop: int) -> int:
        """Where the first place of it that begins at *start* or later ends, at *stop* or before; -1 if nowhere."""
        if not self.length:
            return start if start <= stop else -1
        attempts, whole = 0, 1 << (self.length - 1)
        for position in range(start, stop):
            attempts = (attempts << 1 | 1) & self._places.get(text[position], self._any)
            if attempts & whole:
                return position + 1
        return -1


def _matches(runs: list[_Run], text: str, *, at_start: bool, at_end: bool) -> bool:
    """Place the runs one after the other, each as early as it fits."""
    position = 0
    for number, run in enumerate(runs):
        start, stop = position, len(text)
        if number == len(runs) - 1 and at_end:
            start = max(position, len(text) - run.length)
        if number == 0 and at_start:
            stop = min(position + run.length, len(text))
        position = run.end(text, start, stop)
        if position < 0:
            return False
    return not at_end or position == len(text)


def nearest(pattern: str, names: Iterable[str]) -> list[str]:
    """Up to five *names* that look most like *pattern*, letter case and punctuation aside.

    Likeness is the share of common pairs of neighbouring letters, so the work
    is linear in the length of the names.
    """
    wanted = _pairs(pattern)
    if not wanted:
        return []
    scored = []
    for name in names:
        pairs = _pairs(name)
        common = len(wanted & pairs)
        if 2 * common >= len(wanted):
            scored.append((-common / (len(wanted) + len(pairs)), name))
    return [name for _, name in sorted(scored)[:_MOST_NEAREST]]


def _pairs(text: str) -> set[str]:
    letters = "".join(character for character in text.casefold() if character.isalnum())
    return {letters[index : index + 2] for index in range(len(letters) - 1)}
