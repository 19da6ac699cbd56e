"""The page of a kept trace, as a browser without scripts and as a program gets it."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from html.parser import HTMLParser

import pytest

from monkit_core import Registry
from monkit_core.clock import NS_PER_S, wall_offset_ns
from monkit_core.text import clean
from monkit_present.access import Access
from monkit_present.gather import recent_rows
from monkit_present.kept_pages import KEPT
from monkit_present.render.assets import static_text
from monkit_present.render.waterfall import waterfall
from monkit_present.rows import TraceRows
from monkit_present.server import Server
from monkit_present.tokens import Token
from monkit_present.views import trace as view
from monkit_present.views.frame import VIEW_POLICY
from monkit_present.views.kept_traces import kept_rows
from tests.helpers import fresh_scope, in_fresh_context
from tests.http_helpers import TOKEN, Answer, ask, bars, served
from tests.present.test_hostile import CORPUS
from tests.present.trace_cases import KeptTraces, large_trace, small_trace, span, trace

BROWSER = (("Accept", "text/html,application/xhtml+xml,*/*;q=0.8"),)
VOID = {"meta", "link", "input", "br", "img"}


class Document(HTMLParser):
    """A page whose tags have to close, with the text and the attributes of its elements."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append((self.open[-1] if self.open else "", data))

    @property
    def text(self) -> str:
        return "".join(data for _, data in self.texts)

    def classes(self, name: str) -> list[dict[str, str | None]]:
        return [attrs for _, attrs in self.elements if name in (attrs.get("class") or "").split()]

    @property
    def rows(self) -> list[str]:
        return [attrs["id"] or "" for tag, attrs in self.elements if tag == "tr" and "id" in attrs]


@pytest.fixture
def rows() -> TraceRows:
    return small_trace()


@pytest.fixture
def server(rows: TraceRows) -> Iterator[Server]:
    with served(KeptTraces(rows)) as server:
        yield server


def read(server: Server, path: str = "/traces/0000000000000001") -> tuple[Answer, Document]:
    answer = ask(server, path, headers=BROWSER)
    assert answer.status == 200
    return answer, Document(answer.text)


# What was kept.


@in_fresh_context
def test_kept_call_becomes_rows_with_all_that_was_recorded() -> None:
    registry, scope = fresh_scope("shop.orders")

    def fail() -> None:
        with scope.task("Orders.create", args={"path": "/x"}), scope.task("db.query") as child:
            child.annotate("rows", "3")
            raise TimeoutError("read timed out")

    with pytest.raises(TimeoutError):
        fail()
    kept = next(tree for tree in registry.recent_traces() if len(tree.records) == 2)
    found = recent_rows(kept)
    assert (found.trace_id, found.dropped) == (kept.trace_id, 0)
    assert found.wall_offset_ns == pytest.approx(wall_offset_ns(), abs=60 * NS_PER_S)
    assert found.process
    assert found.pid
    first, second = found.spans
    assert (first.parent_id, first.full_name) == (None, "shop.orders.Orders.create")
    assert (second.parent_id, second.name, second.annotations) == (first.id, "db.query", (("rows", "3"),))
    assert first.args == ("path='/x'",)
    assert [row.error_name for row in found.spans] == ["Timeout", "Timeout"]
    assert [row.unfinished for row in found.spans] == [False, False]
    assert first.start_ns <= second.start_ns <= second.finish_ns <= first.finish_ns


@in_fresh_context
def test_row_of_the_table_of_kept_calls_leads_to_the_page() -> None:
    registry, scope = fresh_scope()
    with scope.task("outer"), scope.task("inner"):
        pass
    with served(registry) as server:
        paths = {row.path for row in kept_rows(registry.recent_traces(), 0)}
        assert len(paths) == 2
        for path in paths:
            assert "none dropped" in read(server, path)[1].text


def test_trace_id_leads_to_the_newest_tree_of_the_trace(rows: TraceRows) -> None:
    newer = trace(span(50, None, "orders.newer", 0, 1))
    with served(KeptTraces(rows, newer)) as server:
        for name in (f"{rows.trace_id:032x}", f"{50:016x}"):
            assert [row["id"] for row in ask(server, f"/traces/{name}/json").json] == [50]
        assert len(ask(server, f"/traces/{1:016x}/json").json) == len(rows.spans)


@pytest.mark.parametrize("name", ["ffffffffffffffff", "f" * 32])
@pytest.mark.parametrize("end", ["", "/json", "/svg"])
def test_trace_that_is_not_kept_is_a_404_that_says_why(server: Server, name: str, end: str) -> None:
    answer = ask(server, f"/traces/{name}{end}", headers=BROWSER)
    assert (answer.status, answer.header("content-type")) == (404, "text/plain; charset=utf-8")
    assert answer.text == (
        f"Not Found: no trace {name} is kept: it may have been, but newer ones take the place of older ones; "
        "/traces lists what is kept\n"
    )


@pytest.mark.parametrize("name", ["1", "xyz", "0x00000000000001", "1" * 17, "%3Cscript%3E", "%0a", "../ps"])
def test_what_is_no_id_is_a_404_that_says_what_was_expected(server: Server, name: str) -> None:
    answer = ask(server, f"/traces/{name}", headers=BROWSER)
    assert answer.status == 404
    assert answer.text.splitlines(keepends=True) == [answer.text]
    assert "path not found" in answer.text or "expected 16 hex digits of its root, or 32 of its own" in answer.text


def test_page_needs_the_token(rows: TraceRows) -> None:
    with served(KeptTraces(rows), access=Access(Token(TOKEN))) as server:
        for end in ("", "/json", "/svg"):
            path = f"/traces/0000000000000001{end}"
            assert ask(server, path).status == 401
            assert ask(server, path, headers=[("Authorization", f"Bearer {TOKEN}")]).status == 200


# Formats.


def test_program_gets_the_tree_as_text_and_each_format_by_its_name(server: Server, rows: TraceRows) -> None:
    bare, words = (ask(server, f"/traces/0000000000000001{end}") for end in ("", "/text"))
    picture = ask(server, "/traces/0000000000000001/svg")
    listed = ask(server, "/traces/0000000000000001/json")
    assert bare.body == words.body
    assert len(bars(ET.fromstring(picture.body))) == len(rows.spans)
    assert "sandbox" in picture.header("content-security-policy")
    assert [row["id"] for row in listed.json] == [row.id for row in rows.spans]


def test_json_says_how_many_spans_were_dropped() -> None:
    with served(KeptTraces(trace(span(1, None, "a.b", 0, 1), dropped=7))) as server:
        assert ask(server, "/traces/0000000000000001/json").json[0]["dropped"] == 7
        assert "1 span · 1.00ms · 7 spans dropped" in read(server)[1].text


def test_page_names_its_formats_and_says_where_the_viewer_finds_the_spans(server: Server) -> None:
    answer, page = read(server)
    links = {attrs.get("href") for tag, attrs in page.elements if tag == "a"}
    assert {f"/traces/0000000000000001/{item.name}" for item in KEPT.formats} <= links
    (place,) = [attrs for _, attrs in page.elements if attrs.get("id") == "trace"]
    assert (place["data-trace"], place["data-root"]) == ("/traces/0000000000000001/json", "")
    assert answer.header("content-security-policy") == VIEW_POLICY
    assert [attrs["src"] for tag, attrs in page.elements if tag == "script"] == ["/static/ui.js", "/static/viewer.js"]


# The table.


def test_page_is_well_formed_without_inline_style_or_script(server: Server) -> None:
    answer, page = read(server)
    assert not [attrs for _, attrs in page.elements if "style" in attrs or any(key.startswith("on") for key in attrs)]
    assert not [data for tag, data in page.texts if tag in ("script", "style")]
    ids = [attrs["id"] for _, attrs in page.elements if "id" in attrs]
    assert len(ids) == len(set(ids))
    assert "<style" not in answer.text


def test_head_counts_every_mark(server: Server) -> None:
    text = read(server)[1].text
    for words in ("20 spans", "413ms", "2 errors", "1 cancelled", "1 panic", "2 orphans", "none dropped"):
        assert words in text
    assert "unfinished" not in text.split("Function")[0]  # a kept tree has none


def test_failed_root_says_so_beside_its_name() -> None:
    with served(KeptTraces(trace(span(1, None, "a.b", 0, 1, error_name="Timeout")))) as server:
        (pill,) = read(server)[1].classes("pill")
    assert pill["class"] == "pill err"


def test_each_span_has_a_row_with_name_own_time_duration_and_marks_in_words(server: Server, rows: TraceRows) -> None:
    answer, page = read(server)
    assert page.rows == [f"s{number}" for number in range(len(rows.spans))]
    lines = dict(re.findall(r'<tr id="(s\d+)">(.*?)</tr>', answer.text, re.DOTALL))
    texts = {key: " ".join(re.sub("<[^>]*>", " ", line).split()) for key, line in lines.items()}
    assert texts["s0"].startswith("shop.orders. Orders.handle 4.30ms 413ms")
    assert texts["s5"].startswith("shop.inventory. reserve 1.90ms 58.5ms 58.5ms")
    assert "orphan shop.cache. fill" in texts["s10"]
    assert "cancelled Canceled shop.recommend. similar" in texts["s11"]
    assert "error Timeout shop.http. request" in texts["s14"]
    assert "panic SystemExit shop.loyalty. award" in texts["s16"]
    assert lines["s14"].count('class="gd"') == 4


def test_bars_are_where_the_spans_ran_in_per_cent_of_the_whole(rows: TraceRows) -> None:
    found = waterfall(rows.spans)
    table = list(found.rows)
    assert found.length_ns == 412_600_000
    for row in table:
        assert 0 <= row.x <= row.x + row.width <= 100.000001
        assert sum(width for _, width in row.own) == pytest.approx(0 if row.span.unfinished else row.own_ns / 4_126_000)
    create = table[4]
    assert [create.x, create.width] == pytest.approx([12.6 / 4.126, 385.4 / 4.126])
    assert [row.label for row in table if row.span.unfinished] == ["29.6ms+ orphan running", "14.4ms+ running"]
    assert [words for _, words in found.ticks] == ["0", "100ms", "200ms", "300ms"]


@pytest.mark.parametrize("took_ms", [0, 1e-6, 7e-6, 0.3, 9, 10, 86_400_000, 1e12])
def test_ruler_has_few_marks_for_any_length(took_ms: float) -> None:
    ticks = waterfall(trace(span(1, None, "a.b", 0, took_ms)).spans).ticks
    assert 1 <= len(ticks) <= 9
    assert len({words for _, words in ticks}) == len(ticks)


def test_deep_trace_stops_indenting_and_says_how_deep_it_is() -> None:
    with served(KeptTraces(large_trace("deep", 40))) as server:
        answer, page = read(server)
    assert len(page.rows) == 40
    last = answer.text.rpartition('<tr id="s39">')[2]
    assert last.count('class="gd"') == 12
    assert '<span class="s">39</span>' in last


def test_table_ends_at_its_limit_and_says_how_many_are_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(view, "MOST_ROWS", 5)
    with served(KeptTraces(large_trace("bushy", 12))) as server:
        _, page = read(server)
        assert len(page.rows) == 5
        assert "7 more spans of this trace are not in the table, which has the first 5." in page.text
        assert len(ask(server, "/traces/0000000000000001/json").json) == 12


@pytest.mark.parametrize("name", CORPUS)
def test_line_8_hostile_text_breaks_out_of_no_trace_page(name: str) -> None:
    hostile = clean(CORPUS[name])

    def page_of(text: str) -> Document:
        rows = trace(
            span(1, None, f"a.{text}", 0, 5, error_name=f"E{text}", args=(text,), annotations=((text, text),)),
            span(2, 1, f"b.{text}f", 1, 2, panicked=True, error_name=f"P{text}"),
        )
        with served(KeptTraces(rows)) as server:
            return read(server)[1]

    page, usual = page_of(hostile), page_of("plain")
    assert [(tag, sorted(attrs)) for tag, attrs in page.elements] == [
        (tag, sorted(attrs)) for tag, attrs in usual.elements
    ]


def test_viewer_asks_nobody_else() -> None:
    viewer = static_text("viewer.js")
    assert not re.search(r"https?:|eval\(|new Function|insertAdjacentHTML|outerHTML|document\.write", viewer)
    assert viewer.count("innerHTML") == 1  # an icon, whose name is one of ours


def test_empty_registry_has_no_trace() -> None:
    with served(Registry()) as server:
        assert ask(server, "/traces/0000000000000001").status == 404
