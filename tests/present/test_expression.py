from __future__ import annotations

import re
import time
from collections.abc import Callable

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from monkit_present import expression
from monkit_present.expression import BadExpression, compile_expression, nearest

MATCH_S = 0.1
"""The longest that an expression may take on a name of a thousand characters."""


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Callable[[str], bool]]:
    """What is understood where RE2 is not installed."""
    monkeypatch.setattr(expression, "re2", None)
    return compile_expression


def took_s(matcher: Callable[[str], bool], name: str) -> float:
    begun = time.perf_counter()
    matcher(name)
    return time.perf_counter() - begun


# With RE2.


@pytest.mark.parametrize("pattern", ["(a+)+$", "(a|aa)+$", "(.*)*b", "a?" * 30 + "a" * 30, "((a{1,9}){1,9}){1,9}$"])
def test_expression_that_would_stop_python_s_own_answers_within_a_tenth_of_a_second(pattern: str) -> None:
    matcher = compile_expression(pattern)
    assert min(took_s(matcher, "a" * 999 + "!") for _ in range(3)) < MATCH_S


@pytest.mark.parametrize(
    ("pattern", "name", "found"),
    [
        ("handle", "shop.Orders.handle_http", True),
        ("^shop", "shop.handle", True),
        ("^handle", "shop.handle", False),
        ("handle$", "shop.handle", True),
        ("(?i)HANDLE", "shop.handle", True),
        ("create|update", "shop.update", True),
        (r"\bhandle\b", "shop.handle", True),
        (r"^shop\.[a-z]+$", "shop.handle", True),
        ("", "", True),
        ("宽", "shop.宽", True),
        ("^.$", "宽", True),
        ("a\x00b", "a\x00b", True),
    ],
)
def test_expression_is_found_in_a_name(pattern: str, name: str, found: bool) -> None:
    assert compile_expression(pattern)(name) is found


@pytest.mark.parametrize("pattern", ["[", "(", ")", "*", "a{1001}", "(?=x)", r"(a)\1", "(?<=a)b", "a**", "\\"])
def test_expression_that_cannot_be_parsed_says_why(pattern: str, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(BadExpression) as caught:
        compile_expression(pattern)
    assert str(caught.value)
    assert capfd.readouterr() == ("", "")  # RE2 writes nothing by itself


def test_expression_that_would_take_too_much_memory_is_refused() -> None:
    with pytest.raises(BadExpression):
        compile_expression("((((((x{10}){10}){10}){10}){10}){10}){10}")


# Without it.


@pytest.mark.parametrize(
    ("pattern", "name", "found"),
    [
        ("", "", True),
        ("handle", "shop.handle_http", True),
        ("handle", "shop.HANDLE", False),
        ("^shop", "shop.handle", True),
        ("^handle", "shop.handle", False),
        ("handle$", "shop.handle", True),
        ("shop$", "shop.handle", False),
        ("^shop.handle$", "shop.handle", True),
        ("^shop$", "shop.handle", False),
        ("^$", "", True),
        ("^$", "a", False),
        ("s.op", "shop", True),
        ("^....$", "shop", True),
        ("^.....$", "shop", False),
        ("shop.*handle", "shop.Orders.handle", True),
        ("handle.*shop", "shop.handle", False),
        ("^s.*p$", "shop", True),
        ("^s.*op.*p$", "shop", False),
        ("a.*a", "a", False),
        ("a.*a$", "a", False),
        ("^a.*a$", "aa", True),
        (r"shop\.handle", "shop.handle", True),
        (r"shop\.handle", "shop-handle", False),
        (r"\$\^\*", "$^*", True),
        (r"a\\b", "a\\b", True),
    ],
)
def test_plain_expression_is_found_in_a_name(
    plain: Callable[[str], Callable[[str], bool]], pattern: str, name: str, found: bool
) -> None:
    assert plain(pattern)(name) is found


@pytest.mark.parametrize(
    "pattern", ["(a+)+$", "a+", "a*", "*", ".**", "a?", "[ab]", "a|b", "a{2}", "a^", ")", "]", "}"]
)
def test_plain_expression_refuses_what_it_does_not_understand(
    plain: Callable[[str], Callable[[str], bool]], pattern: str
) -> None:
    with pytest.raises(BadExpression, match="is not supported: without google-re2 only text"):
        plain(pattern)


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [("a$b", r"text after \$"), ("$$", r"text after \$"), ("a\\", "nothing to escape"), (r"\d", "nothing to escape")],
)
def test_plain_expression_says_what_is_wrong(
    plain: Callable[[str], Callable[[str], bool]], pattern: str, reason: str
) -> None:
    with pytest.raises(BadExpression, match=reason):
        plain(pattern)


@pytest.mark.parametrize(
    "pattern", [".*" * 500, ".*a" * 300 + "b", "^" + "a.*" * 300 + "b$", "." * 1000, "a" * 500 + "b"]
)
def test_plain_expression_answers_within_a_tenth_of_a_second(
    plain: Callable[[str], Callable[[str], bool]], pattern: str
) -> None:
    matcher = plain(pattern)
    assert min(took_s(matcher, "a" * 999 + "!") for _ in range(3)) < MATCH_S


def test_plain_expression_looks_at_each_character_of_a_name_once(
    plain: Callable[[str], Callable[[str], bool]],
) -> None:
    class Counted(str):
        looks = 0

        def __getitem__(self, place: object) -> str:
            Counted.looks += 1
            return str.__getitem__(self, place)  # type: ignore[index]

    assert not plain("a" * 499 + ".*" + "a." * 200 + "b")(Counted("a" * 3000))
    assert Counted.looks <= 3000


PIECES = st.sampled_from(["a", "b", ".", ".*", r"\.", r"\*", r"\\", "宽"])
PLAIN_PATTERNS = st.builds(
    lambda start, pieces, end: start + "".join(pieces) + end,
    st.sampled_from(["", "^"]),
    st.lists(PIECES, max_size=6),
    st.sampled_from(["", "$"]),
)


@settings(deadline=None, max_examples=400)
@given(PLAIN_PATTERNS | st.text("ab.*\\^$+?()[]{}|", max_size=6), st.text("ab.*\\宽\n", max_size=7))
@example("^a.*$", "")
@example(".*a$", "aa")
def test_plain_expression_agrees_with_python_s_own(pattern: str, name: str) -> None:
    """Where it is understood at all. On short texts only: Python's own may take for ever on others."""
    try:
        matcher = expression._compile_plain(pattern)
    except BadExpression:
        return
    same = re.compile(pattern.removesuffix("$") + r"\Z" if ends_there(pattern) else pattern, re.DOTALL)
    assert matcher(name) is (same.search(name) is not None)


def ends_there(pattern: str) -> bool:
    """Whether the pattern ends by an anchor, which Python's own lets stand before a last newline too."""
    return re.search(r"(?<!\\)(\\\\)*\$\Z", pattern) is not None


@settings(deadline=None)
@given(PLAIN_PATTERNS, st.text("ab.*\\宽", max_size=7))
def test_both_engines_agree_on_what_both_understand(pattern: str, name: str) -> None:
    assert expression._compile_plain(pattern)(name) is compile_expression(pattern)(name)


def test_python_s_own_expressions_are_never_used_on_what_came_in(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> object:
        raise AssertionError("re was used")

    for name in ("compile", "search", "match", "fullmatch"):
        monkeypatch.setattr(re, name, refuse)
    assert compile_expression("(a+)+$")("aaa")
    monkeypatch.setattr(expression, "re2", None)
    assert compile_expression("^a.*a$")("aaa")
    with pytest.raises(BadExpression):
        compile_expression("(a+)+$")


# Nearest names.


@pytest.mark.parametrize(
    ("wanted", "names", "found"),
    [
        ("HandleHTTP", ["shop.handle_http", "shop.list"], ["shop.handle_http"]),
        ("handel", ["shop.handle", "shop.hand", "x"], ["shop.hand", "shop.handle"]),
        ("", ["a"], []),
        (".*", ["a"], []),
        ("x", ["x"], []),
        ("abc", [], []),
        ("abcdef", ["uvwxyz"], []),
    ],
)
def test_nearest_names_come_best_first(wanted: str, names: list[str], found: list[str]) -> None:
    assert nearest(wanted, names) == found


def test_nearest_names_are_five_at_most_and_in_a_fixed_order() -> None:
    names = [f"handle_{letter}" for letter in "hgfedcba"]
    assert nearest("handle", names) == nearest("handle", reversed(names)) == sorted(names)[:5]
