"""Line 8 of the security checklist: hostile text through every renderer and every address.

The corpus enters through the public API, so it meets the place where text is
made harmless, and is read back over HTTP, as a browser or a script would.
"""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import Context
from functools import cache
from html.parser import HTMLParser
from importlib.resources import files

import pytest

from monkit_core import Registry, Span
from monkit_core.text import clean, name_of
from monkit_present.render import dot, text
from monkit_present.render import json as as_json
from monkit_present.render.trace_svg import render_message
from tests.helpers import in_fresh_context
from tests.http_helpers import BROWSER, READ, SVG, Answer, Wait, ask, bars, parse_dot, served

CORPUS = {
    "double quotes": '"><img src=x onerror=alert(1)>',
    "single quotes": "'><img src=x onerror=alert(1)>",
    "script": "<script>alert(1)</script>",
    "end of script": "</script><script>alert(1)</script>",
    "end of style": "</style><svg onload=alert(1)>",
    "end of title": "</title></text></g></svg><a xmlns='x' href='javascript:alert(1)'>",
    "comment": "--><!-- x --!>",
    "CDATA": "]]><![CDATA[<b>",
    "processing": "<?xml version='1.0'?><!DOCTYPE x [<!ENTITY e SYSTEM 'file:///etc/passwd'>]>&e;",
    "entities": "&lt;b&gt; &amp;lt; &#60;b&#62; &#x3c; &nbsp; &bogus; &#0; &#xD800;",
    "template": "{{7*7}} ${7*7} %s {0} {style} {process!r}",
    "controls": "".join(map(chr, range(0x20))) + "\x7f" + "".join(map(chr, range(0x80, 0xA0))),
    "terminal": "\x1b]0;owned\x07\x1b[2J\x1b[31mred",
    "surrogates": "\ud800 \udfff \udc80\udbff",
    "no characters": "\ufffe \uffff \U0001fffe \U0010ffff \ufeff",
    "bidi": "\u202eexe.gpj\u202c \u2066x\u2069 \u200f \u200e \u061c",
    "lines": "a\nb\r\nc\rd\x0be\x0cf\x85g\u2028h\u2029i\tj",
    "forged line": "x\n[0000000000000001] forged\n  parents: entry\nforged,scope=x value=1.0",
    "series": "a,b=c d=e \\, \\= \\  \\\\ \\n=1",
    "graphviz": r'\N \G \L \T \E \H \l \r \\ \" "]; a -> b; "x" [URL="javascript:alert(1)"] }',
    "graphviz HTML": '<<table><tr><td href="javascript:alert(1)">x</td></tr></table>>',
    "graphviz record": "{a|<b> c|d}",
    "graphviz comment": "/* x */ // x # x",
    "JSON": '{"a":"\\u003c"}],[ \\ud800 \\',
    "JSON lines": "\u2028alert(1)\u2029",
    "spreadsheet": "=cmd|'/C calc'!A0",
    "wide": "宽" * 300 + "👩‍👩‍👧‍👦" * 50 + "e\u0301" * 100,
    "empty": "",
    "spaces": "  \t  ",
}
MEGABYTE = "<b>&\"'\n" * 150_000
NAMES = tuple(CORPUS)
PLAIN = "plain"
ELEMENTS = {"svg", "title", "desc", "style", "defs", "pattern", "path", "text", "tspan", "g", "rect", "script"}


def fill(registry: Registry, hostile: str) -> None:
    """Metrics and functions that are called *hostile* wherever that is possible."""
    scope = registry.scope(hostile)
    tags = {hostile + "k": hostile + "v"}
    scope.counter(hostile, tags=tags).inc()
    scope.gauge(hostile + "g", lambda: 1.5, tags=tags)
    scope.bool_val(hostile + "b", tags=tags).observe(True)
    scope.int_val(hostile + "i").observe(2)
    for error in (LookupError(hostile), named_error(hostile)):
        with pytest.raises(type(error)), scope.task(hostile + "f", tags=tags):
            raise error
    with scope.task(hostile + "f", tags=tags), scope.task(hostile + "h"):
        pass


def named_error(name: str) -> Exception:
    """An error that gives itself a name."""
    error = Exception(name)
    error.monkit_error_name = name  # type: ignore[attr-defined]
    return error


@contextmanager
def running(registry: Registry, hostile: str) -> Iterator[Span]:
    """A span with a child, both with all that a span can hold."""
    scope = registry.scope(hostile)
    with scope.task(hostile + "f", args={hostile + "a": hostile, "o": Shown(hostile)}) as span:
        span.annotate(hostile + "n", hostile)
        with scope.task(hostile + "h"):
            yield span


class Shown:
    """An object whose repr is *text*."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text


def read_all(hostile: str) -> dict[str, Answer]:
    """Every page while a span runs."""
    registry = Registry()
    fill(registry, hostile)
    with served(registry) as server, running(registry, hostile):
        pages = {place.path: ask(server, place.path) for place in READ}
        views = {f"{place.path} as a view": ask(server, place.path, headers=BROWSER) for place in READ if place.view}
        return {**pages, **views}


@cache
def plain_pages() -> dict[str, Answer]:
    """The same pages with harmless names; a context of its own, so that no test's span is their parent."""
    return Context().run(read_all, PLAIN)


class Tags(HTMLParser):
    """Tags of a page with the names of their attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, list[str]]] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, [name for name, _ in attrs]))


@in_fresh_context
def check_pages(hostile: str) -> None:
    pages = read_all(hostile)
    assert {path: answer.status for path, answer in pages.items()} == dict.fromkeys(pages, 200)
    for path, answer in pages.items():
        page = answer.text  # UTF-8
        usual = plain_pages()[path].text
        if answer.header("content-type").startswith("text/html"):
            check_markup(Tags(page).found, Tags(usual).found)
        elif path.startswith("/static/"):
            assert page == usual
        elif path.endswith("/json"):
            check_json(path, page, hostile)
        elif path.endswith("/svg"):
            drawn, plain_picture = ET.fromstring(answer.body), ET.fromstring(usual.encode())
            check_picture(drawn, "graph")
            assert elements(drawn) == elements(plain_picture)
        elif path.endswith("/dot"):
            graph, plain = parse_dot(page), parse_dot(usual)
            assert (len(graph.labels), len(graph.edges)) == (len(plain.labels), len(plain.edges))
            assert any(shown(hostile) in "\n".join(lines) for lines in graph.labels.values())
        else:
            assert len(page.splitlines()) == len(usual.splitlines()), path
            assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]", page)


def elements(picture: ET.Element) -> list[str]:
    """What is drawn but words: which boxes have room for them depends on how long calls took."""
    return [element.tag for element in picture.iter() if not element.tag.endswith("}text")]


ACTIVE = frozenset(["base", "embed", "form", "iframe", "img", "input", "link", "meta", "object", "script", "style"])
"""Elements that do something, or bring something in."""


def check_markup(found: list[tuple[str, list[str]]], usual: list[tuple[str, list[str]]]) -> None:
    """As many of what does something; how many rows tables have depends on how long calls took."""
    mine, theirs = (sorted((tag, names) for tag, names in tags if tag in ACTIVE) for tags in (found, usual))
    assert mine == theirs
    assert {tag for tag, _ in found} <= {tag for tag, _ in usual} | {"a", "b", "div", "p", "span", "td", "tr"}
    assert not {name for _, names in found for name in names if name.startswith("on") or name in ("style", "srcdoc")}


def shown(hostile: str) -> str:
    """What a reader sees of it; the first thousand characters are enough."""
    return clean(hostile)[:1000].rstrip("\n")


def check_json(path: str, page: str, hostile: str) -> None:
    rows = json.loads(page)
    usual = json.loads(plain_pages()[path].text)
    assert len(rows) == len(usual)
    for row, plain in zip(rows, usual, strict=True):
        assert type(row) is type(plain)
        assert len(row) == len(plain)
    found = {
        "/funcs/json": lambda: {row["package"] for row in rows},
        "/ps/json": lambda: {row["func"]["package"] for row in rows},
        "/trace/recent/json": lambda: {row["func"]["package"] for row in rows},
        "/stats/json": lambda: {row[1]["scope"] for row in rows},
        "/traces/json": lambda: {row["func"]["package"] for row in rows},
    }[path]()
    assert found == {clean(hostile)}
    assert page.count("\n") == len(rows) + 1  # an item a line


@pytest.mark.parametrize("name", NAMES)
def test_line_8_hostile_text_breaks_out_of_no_page(name: str) -> None:
    check_pages(CORPUS[name])


@pytest.mark.parametrize("name", NAMES)
@in_fresh_context
def test_line_8_hostile_text_breaks_out_of_no_capture(name: str) -> None:
    hostile = CORPUS[name]
    registry = Registry()
    scope = registry.scope(hostile)
    scope.func(hostile + "f")
    query = "regex=f%24"
    with (
        served(registry) as server,
        Wait(server, f"/trace/svg?{query}") as drawn,
        Wait(server, f"/trace/json?{query}") as listed,
    ):
        with pytest.raises(Exception, match="f"), running(registry, hostile):
            raise named_error(hostile + "f")
        picture, rows = drawn.svg(), listed.json()
    check_picture(picture)
    assert len(bars(picture)) == len(rows) == 2
    assert {row["func"]["package"] for row in rows} == {clean(hostile)}
    assert rows[0]["err"].startswith(shown(hostile)[:900])
    assert rows[0]["annotations"][0][1] == clean(hostile if len(hostile) <= 1000 else hostile[:999] + "…")
    assert rows[0]["args"][1].startswith("o=" + shown(hostile)[:150])


def check_picture(picture: ET.Element, name: str = "trace") -> None:
    """Nothing but the drawing's own elements, and no attribute that could run or load anything."""
    static = files("monkit_present") / "static"
    for element in picture.iter():
        assert isinstance(element.tag, str)
        assert element.tag.removeprefix(SVG) in ELEMENTS
        for key, value in element.attrib.items():
            assert not key.startswith(("on", "{", "href", "xlink"))
            assert "javascript:" not in value or key == "aria-label"
        if element.tag == f"{SVG}script":
            assert element.text == (static / f"{name}.js").read_text("utf-8")
        if element.tag == f"{SVG}style":
            assert element.text == (static / f"{name}.css").read_text("utf-8")
    assert len(list(picture.iter(f"{SVG}style"))) == 1
    assert len(list(picture.iter(f"{SVG}script"))) <= 1


@pytest.mark.parametrize("name", NAMES)
def test_line_8_hostile_text_in_a_message_is_text(name: str) -> None:
    picture = ET.fromstring(render_message(CORPUS[name], [CORPUS[name]] * 50).encode())
    check_picture(picture)


@pytest.mark.parametrize("name", NAMES)
def test_line_8_near_names_of_a_refusal_are_one_line_of_plain_text(name: str) -> None:
    registry = Registry()
    registry.scope("shop").func("handle" + CORPUS[name])
    registry.scope("shop").func("handle")
    with served(registry) as server:
        answer = ask(server, "/trace/svg?regex=handle_it")
    assert (answer.status, answer.header("content-type")) == (400, "text/plain; charset=utf-8")
    assert answer.header("x-content-type-options") == "nosniff"
    assert answer.text.splitlines(keepends=True) == [answer.text]
    assert len(answer.text) < 1000


@pytest.mark.parametrize("name", NAMES)
def test_line_8_process_may_be_called_anything(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    hostile = CORPUS[name]
    monkeypatch.setattr("sys.argv", [hostile])
    registry = Registry()
    scope = registry.scope("shop")
    scope.func("handle")
    with served(registry) as server, Wait(server, "/trace/svg?regex=handle") as wait:
        page = ask(server)
        assert (page.status, Tags(page.text).found) == (200, Tags(plain_pages()["/"].text).found)
        with scope.task("handle"):
            pass
        check_picture(wait.svg())


@in_fresh_context
def test_line_8_megabyte_of_name_is_kept_short_everywhere() -> None:
    registry = Registry()
    short = name_of(MEGABYTE)
    assert len(short) <= 1000
    scope = registry.scope("shop")
    scope.counter(MEGABYTE).inc()
    with served(registry) as server, Wait(server, "/trace/svg?regex=shop&preselect=false") as wait:
        assert len(ask(server, "/stats").text.splitlines()) == len(json.loads(ask(server, "/stats/json").body)) == 3
        with scope.task(MEGABYTE, args={MEGABYTE: MEGABYTE}) as span:
            span.annotate(MEGABYTE, MEGABYTE)
            (row,) = json.loads(ask(server, "/ps/json").body)
            assert row["func"]["name"] == short
            (label,) = parse_dot(ask(server, "/ps/dot").text).labels.values()
            assert "\n".join(label).startswith(f"shop.{short}(")
            page = ask(server, "/ps").text
            assert (len(page.splitlines()), len(page) < 5000) == (3, True)
        picture = wait.rest()
        assert len(picture) < 100_000
        check_picture(ET.fromstring(picture))
        assert "<b>" not in ask(server, "/trace/svg?regex=no_such_name").text


@pytest.mark.parametrize("name", NAMES)
def test_line_8_rows_that_were_not_made_by_the_engine_are_escaped_too(name: str) -> None:
    """Renderers rely on clean text for control characters, but for mark-up on nobody."""
    hostile = clean(CORPUS[name])
    assert not set(dot.escape_label(hostile).replace("&#", "").replace(";", "").replace("\\l", "")) & set(
        "<>\"'&{}|\\[]"
    )
    assert "\n" not in text.one_line(hostile)
    assert json.loads(as_json.message({hostile + "k": hostile})) == {hostile + "k": hostile}
