"""The viewer of traces in a real browser: what it shows, what one can do with it, and what it makes of wrong files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

import monkit_present
from monkit_present.render import json as as_json
from monkit_present.render.trace_layout import lay_out
from monkit_present.rows import SpanRow, TraceRows
from monkit_present.trace_formats import TRACE_FORMATS
from tests.present.test_hostile import CORPUS
from tests.present.trace_cases import SHAPES, KeptTraces, large_trace, small_trace, span, trace

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.browser

ROOT = "/traces/0000000000000001"
SELECTED = ".tv-row[aria-selected=true]"
VIEW = "canvas[data-f=bars]"


class Visit:
    """A page in a browser, with what it complained of and whom it asked."""

    def __init__(self, page: Page, port: monkit_present.Server) -> None:
        self.page = page
        self.port = port
        self.complaints: list[str] = []
        self.requests: list[str] = []
        page.on("console", lambda message: self.complaints.append(message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", lambda request: self.requests.append(request.url))

    def open(self, path: str = ROOT) -> Page:
        self.page.goto(f"{self.port.url}{path}")
        self.page.wait_for_selector(".tv-row")
        self.settle()
        return self.page

    def settle(self) -> None:
        """Until the next picture has been drawn."""
        self.page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def names(self) -> list[str]:
        """What the rows that exist are called, from top to bottom."""
        found: list[str] = self.page.evaluate(
            """() => [...document.querySelectorAll('.tv-row')].sort((a, b) => a.ariaRowIndex - b.ariaRowIndex)
                .map(row => row.querySelector('.fn').textContent)"""
        )
        return found

    def selected(self) -> str:
        return self.page.locator(f"{SELECTED} .fn").text_content() or ""

    def field(self, name: str) -> str:
        return self.page.locator(f"[data-f={name}]").text_content() or ""

    def drawn(self, name: str = "bars") -> str:
        """The picture as it is now, to be compared."""
        self.settle()
        found: str = self.page.evaluate("name => document.querySelector(`canvas[data-f=${name}]`).toDataURL()", name)
        return found

    def press(self, keys: str) -> None:
        for key in keys.split():
            self.page.keyboard.press(key)
        self.settle()

    def type(self, field: str, text: str) -> None:
        self.page.locator(f"input[data-f={field}]").fill(text)
        self.settle()


def serve(*traces: TraceRows) -> monkit_present.Server:
    return monkit_present.serve(KeptTraces(*traces), port=0)


@pytest.fixture
def rows() -> TraceRows:
    return small_trace()


@pytest.fixture
def port(rows: TraceRows) -> Iterator[monkit_present.Server]:
    server = serve(rows)
    yield server
    server.close()


@pytest.fixture
def visit(page: Page, port: monkit_present.Server) -> Iterator[Visit]:
    found = Visit(page, port)
    yield found
    assert found.complaints == []
    assert [url for url in found.requests if not url.startswith(str(port.url))] == []


@pytest.fixture
def read(visit: Visit) -> Callable[[TraceRows], dict[str, Any]]:
    """What the script makes of a trace."""
    visit.open()

    def read_trace(rows: TraceRows) -> dict[str, Any]:
        found: dict[str, Any] = visit.page.evaluate(
            """text => { const { own, pieces, start, end, items, length } = monkit.readTrace(text);
                return { own, pieces, start, end, length, ids: items.map(row => row.id_hex) }; }""",
            written(rows),
        )
        return found

    return read_trace


def written(rows: TraceRows) -> str:
    return b"".join(as_json.trace(rows)).decode()


# What it shows.


def test_every_span_has_a_row_and_the_table_is_gone(visit: Visit, rows: TraceRows) -> None:
    page = visit.open()
    assert visit.names() == [row.full_name for row in rows.spans]
    assert page.locator("table").count() == 0
    tree = page.get_by_role("treegrid")
    assert tree.get_attribute("aria-rowcount") == "21"
    levels = [row.get_attribute("aria-level") for row in page.locator(".tv-row").all()]
    assert levels[:5] == ["1", "2", "3", "3", "2"]
    assert "2 errors · " in (page.locator(".sub").text_content() or "")


def test_head_is_that_of_the_server(browser: Browser, visit: Visit) -> None:
    head = visit.open().locator(".head > div:first-child")
    context = browser.new_context(java_script_enabled=False)
    plain = context.new_page()
    plain.goto(f"{visit.port.url}{ROOT}")
    said = plain.locator(".head > div:first-child").text_content() or ""
    context.close()
    assert "".join((head.text_content() or "").split()) == "".join(said.split())


def test_details_tell_all_of_the_selected_span(visit: Visit) -> None:
    page = visit.open(f"{ROOT}#s13")
    assert visit.selected() == visit.field("name") == "shop.payments.Gateway.post"
    assert visit.field("state") == "error Timeout"
    assert (visit.field("took"), visit.field("own"), visit.field("start")) == ("100ms", "600µs, 0.6 %", "+163ms")
    assert visit.field("path") == "600µs of it on the path"
    assert visit.field("id") == "000000000000000e"
    assert visit.field("args") == "none recorded"
    assert not page.locator("[data-f=notes]").is_visible()
    assert page.get_by_role("link", name="All calls").get_attribute("href") == "/funcs/shop.payments.Gateway.post"
    capture = page.get_by_role("link", name="Capture the next").get_attribute("href")
    assert capture == r"/capture?regex=shop%5C.payments%5C.Gateway%5C.post%24"
    page.evaluate("location.hash = '#s1'")
    page.wait_for_function("document.querySelector('[data-f=notes]').textContent === 'alg  ES256'")


def test_text_of_an_error_is_shown_where_the_trace_has_it(visit: Visit, rows: TraceRows) -> None:
    page = visit.open()
    page.evaluate("text => { monkit.showTrace(text, document.querySelector('#trace')); }", written(rows))
    page.evaluate("location.hash = '#s13'")
    page.wait_for_function("document.querySelector('[data-f=error]').textContent.startsWith('Timeout: read timed out')")


def test_call_that_runs_is_as_long_as_it_has_run(visit: Visit) -> None:
    page = visit.open()
    running = span(1, None, "shop.handle", 0, 29.6, unfinished=True)
    text = written(trace(running, span(2, 1, "shop.query", 3, 4)))
    page.evaluate("text => { monkit.showTrace(text, document.querySelector('#trace')); }", text)
    assert visit.field("took") == "29.6ms+"
    assert visit.field("own").startswith("25.6ms")


def test_hostile_text_is_shown_and_does_not_run(visit: Visit) -> None:
    page = visit.open()
    for text in CORPUS.values():
        hostile = text.encode("utf-8", "replace").decode() + "<img src=x onerror=document.hacked=1>"
        rows = trace(
            span(1, None, f"a.{hostile}", 0, 5, error_name=hostile, error=hostile, args=(hostile,)),
            span(2, 1, f"b.{hostile}", 1, 2, annotations=((hostile, hostile),)),
        )
        page.evaluate("text => { monkit.showTrace(text, document.querySelector('#trace')); }", written(rows))
        visit.press("j k")
        assert hostile in visit.field("args")
        assert page.locator("#trace img, #trace script").count() == 0
        assert page.evaluate("document.hacked") is None


# What it reckons, against the same in Python.


def critical_path(spans: tuple[SpanRow, ...]) -> list[tuple[int, int, int]]:
    """The pieces of the path from the end of the root backwards, written as the rule is: by recursion."""
    children: dict[int | None, list[int]] = {}
    for number, row in enumerate(spans):
        if not (row.orphaned or row.unfinished or row.start_ns == row.finish_ns):
            children.setdefault(row.parent_id, []).append(number)

    def walk(number: int, low: int, until: int) -> Iterator[tuple[int, int, int]]:
        while True:
            ended = [child for child in children.get(spans[number].id, ()) if low < spans[child].finish_ns <= until]
            child = max(ended, key=lambda found: (spans[found].finish_ns, -spans[found].start_ns), default=None)
            end = low if child is None else spans[child].finish_ns
            if until > end:
                yield number, end, until
            if child is None:
                return
            until = max(spans[child].start_ns, low)
            yield from walk(child, until, end)

    return list(walk(0, spans[0].start_ns, spans[0].finish_ns))[::-1]


def reckoned() -> list[TraceRows]:
    """Small traces of every shape, with microseconds that 53 bits would not tell apart since 1970."""
    odd = trace(
        span(1, None, "a.root", 0, 10.000001),
        span(2, 1, "a.before", -1, 3.000003),
        span(3, 1, "a.beyond", 9, 5, orphaned=True),
        span(4, 1, "a.nothing", 4, 0),
        span(5, 1, "a.both", 5, 2.000007),
        span(6, 1, "a.both", 6, 2.000001),
        span(7, 6, "a.inner", 6.5, 0.000001),
        span(8, 99, "a.stranger", 1, 2),
    )
    return [small_trace(), odd, *(large_trace(shape, 60) for shape in SHAPES)]


def test_own_time_and_critical_path_are_those_of_the_rules(read: Callable[[TraceRows], dict[str, Any]]) -> None:
    for rows in reckoned():
        check_reckoning(rows, read(rows))


def check_reckoning(rows: TraceRows, found: dict[str, Any]) -> None:
    place = {f"{row.id:016x}": number for number, row in enumerate(rows.spans)}
    order = [place[name] for name in found["ids"]]
    layout = lay_out(rows.spans)
    assert found["start"] == [layout.starts[index] for index in order]
    for at, index in enumerate(order):
        if not any(row.unfinished for row in rows.spans):
            assert found["own"][at] == layout.own[index]
    pieces = [(order[at], start, end) for at, start, end in found["pieces"]]
    assert pieces == [
        (index, start - layout.start_ns, end - layout.start_ns) for index, start, end in critical_path(rows.spans)
    ]
    root = rows.spans[0]
    assert sum(end - start for _, start, end in pieces) == root.duration_ns
    assert not any(rows.spans[index].orphaned or rows.spans[index].unfinished for index, _, _ in pieces)


def test_depth_of_a_hundred_thousand_is_read(visit: Visit) -> None:
    page = visit.open()
    found = page.evaluate(
        """() => { const rows = [];
            for (let k = 0; k < 1e5; k++) rows.push({ id_hex: 'i' + k, parent_id_hex: k ? 'i' + (k - 1) : undefined,
                func: { package: 'a', name: 'f' }, start: k, finish: 3e5 - k });
            const m = monkit.readTrace(rows);
            return [m.depth.at(-1), m.last[0], m.pieces.length, m.pieces.reduce((s, p) => s + p[2] - p[1], 0)]; }"""
    )
    assert found == [99_999, 100_000, 199_999, 300_000]


# What one does with it.


def test_search_lights_up_and_hides_nothing(visit: Visit, rows: TraceRows) -> None:
    page = visit.open()
    visit.type("find", "QUERY")
    assert visit.names() == [row.full_name for row in rows.spans]
    assert page.locator(".tv-row.hit").count() == 2
    assert visit.field("hits") == "2 matches"
    page.keyboard.press("Enter")
    page.keyboard.press("Enter")
    visit.settle()
    assert page.evaluate("location.hash") == "#s8"
    for text, words in (("jwks", "1 match"), ("timeout", "2 matches"), ("es256", "1 match"), ("nothing", "0 matches")):
        visit.type("find", text)
        assert visit.field("hits") == words


def test_filter_keeps_matches_and_their_ancestors_dimmed(visit: Visit) -> None:
    page = visit.open()
    page.get_by_role("button", name="Filter").click()
    visit.type("find", "pool")
    assert [name.rpartition(".")[2] for name in visit.names()] == [
        "handle", "create", "reserve", "transaction", "acquire"
    ]  # fmt: skip
    assert page.locator(".tv-row.dim").count() == 4
    visit.type("find", "no such")
    assert visit.names() == []
    page.get_by_role("button", name="Show all").click()
    visit.settle()
    assert len(visit.names()) == 20


def test_least_duration_works_with_search_and_with_filter(visit: Visit) -> None:
    page = visit.open()
    visit.type("least", "60ms")
    assert len(visit.names()) == 8
    assert page.locator(".tv-row.dim .fn").all_text_contents() == ["shop.cache.warm"]
    assert visit.field("hits") == "7 matches"
    visit.type("find", "gateway")
    assert (len(visit.names()), visit.field("hits")) == (8, "1 match")
    page.get_by_role("button", name="Filter").click()
    visit.settle()
    assert (len(visit.names()), visit.field("hits")) == (4, "1 match")
    visit.type("least", "0.06s")
    assert len(visit.names()) == 4


def test_fold_hides_what_is_below_and_says_how_much(visit: Visit) -> None:
    page = visit.open()
    page.locator("#s4 .tw").click()
    visit.settle()
    row = page.locator("#s4")
    assert row.get_attribute("aria-expanded") == "false"
    assert (row.locator(".nm > .s").text_content(), len(visit.names())) == ("+12", 8)
    assert page.get_by_role("treegrid").get_attribute("aria-rowcount") == "9"
    page.evaluate("location.hash = '#s10'")
    page.wait_for_function("document.querySelectorAll('.tv-row').length === 20")
    assert visit.selected() == "shop.cache.fill"


def test_keys_move_fold_zoom_and_find(visit: Visit) -> None:
    page = visit.open()
    visit.press("j j ArrowDown k")
    assert visit.selected() == "shop.cache.get"
    assert page.evaluate("location.hash") == "#s2"
    visit.press("h")
    assert visit.selected() == "shop.auth.verify_token"
    visit.press("ArrowLeft")
    assert page.locator("#s1").get_attribute("aria-expanded") == "false"
    visit.press("l ArrowRight")
    assert visit.selected() == "shop.cache.get"
    visit.press("e e")
    assert visit.selected() == "shop.recommend.similar"
    whole = visit.drawn()
    seen = {whole}
    for keys in ("z", "+", "d", "a", "-", "="):
        visit.press(keys)
        seen.add(visit.drawn())
    assert len(seen) == 4
    visit.press("0")
    assert visit.drawn() == whole
    visit.press("c")
    assert page.locator("[data-f=crit]").get_attribute("aria-pressed") == "false"
    assert visit.drawn() != whole
    visit.press("/ j")
    assert page.locator("[data-f=find]").input_value() == "j"
    visit.press("Escape c")
    assert page.locator("[data-f=crit]").get_attribute("aria-pressed") == "true"
    assert page.get_by_role("treegrid").get_attribute("aria-activedescendant") == "s11"


def test_selection_is_in_the_address_and_comes_from_it(visit: Visit) -> None:
    page = visit.open(f"{ROOT}#s16")
    assert visit.selected() == "shop.loyalty.award"
    page.locator("#s3 .fn").click()
    assert page.evaluate("location.hash") == "#s3"
    page.reload()
    page.wait_for_selector(SELECTED)
    assert visit.selected() == "shop.db.query"
    visit.open(f"{ROOT}?#s999")
    assert visit.selected() == "shop.orders.Orders.handle"


def test_selected_row_comes_into_view_wherever_it_is(page: Page) -> None:
    server = serve(large_trace("bushy", 1000))
    try:
        visit = Visit(page, server)
        visit.open(f"{ROOT}#s700")
        box = page.locator(SELECTED).bounding_box()
        assert box is not None
        viewport = page.viewport_size
        assert viewport is not None
        assert 60 < box["y"] < viewport["height"] - 30
        assert page.locator(".tv-row").count() < 60
        assert visit.complaints == []
    finally:
        server.close()


def test_wheel_zooms_at_the_pointer_with_ctrl_and_pans_with_shift(visit: Visit) -> None:
    page = visit.open()
    box = page.locator(VIEW).bounding_box()
    assert box is not None
    whole = visit.drawn("ruler")
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 50)
    page.keyboard.down("Control")
    page.mouse.wheel(0, -400)
    page.keyboard.up("Control")
    nearer = visit.drawn("ruler")
    assert nearer != whole
    assert page.evaluate("scrollY") == 0
    page.keyboard.down("Shift")
    page.mouse.wheel(0, 300)
    page.keyboard.up("Shift")
    assert visit.drawn("ruler") not in (nearer, whole)
    page.get_by_role("button", name="Whole trace").click()
    assert visit.drawn("ruler") == whole


def test_double_press_zooms_to_the_span(visit: Visit) -> None:
    page = visit.open()
    whole = visit.drawn("ruler")
    page.locator("#s2 .tl").dblclick()
    by_mouse = visit.drawn("ruler")
    assert by_mouse != whole
    visit.press("0 z")
    assert visit.drawn("ruler") == by_mouse


def test_minimap_picks_a_window_centres_it_and_has_handles(visit: Visit) -> None:
    page = visit.open()
    mini = page.locator("canvas[data-f=mini]").bounding_box()
    assert mini is not None
    y = mini["y"] + 20

    def drag(start: float, end: float) -> str:
        page.mouse.move(mini["x"] + mini["width"] * start, y)
        page.mouse.down()
        page.mouse.move(mini["x"] + mini["width"] * end, y, steps=4)
        page.mouse.up()
        return visit.drawn("ruler")

    whole = visit.drawn("ruler")
    window = drag(0.2, 0.4)
    assert window != whole
    centred = drag(0.7, 0.7)
    assert centred not in (whole, window)
    wider = drag(0.8, 0.95)
    assert wider not in (whole, window, centred)
    page.get_by_role("button", name="Zoom out").click()
    assert visit.drawn("ruler") != wider


def test_buttons_copy_a_link_and_what_was_recorded(browser: Browser, port: monkit_present.Server) -> None:
    context = browser.new_context(permissions=["clipboard-read", "clipboard-write"])
    visit = Visit(context.new_page(), port)
    page = visit.open()
    visit.press("j")
    page.get_by_role("button", name="Copy link").click()
    page.get_by_role("button", name="Copied").wait_for()
    assert page.evaluate("navigator.clipboard.readText()") == f"{port.url}{ROOT}#s1"
    page.locator("#s0").click()
    page.locator("[data-take=args]").click()
    page.locator("[data-take=args]", has_text="Copied").wait_for()
    assert page.evaluate("navigator.clipboard.readText()") == "method='POST'\npath='/orders'"
    assert visit.complaints == []
    context.close()


def test_colours_follow_the_theme(visit: Visit) -> None:
    page = visit.open()
    light = visit.drawn()
    page.locator("#theme").click()
    dark = visit.drawn()
    assert dark != light
    page.locator("#theme").click()
    assert visit.drawn() == light
    page.evaluate("document.documentElement.removeAttribute('data-theme')")
    page.emulate_media(color_scheme="dark")
    assert visit.drawn() == dark


# Files.


def drop(visit: Visit, name: str, text: str) -> None:
    visit.page.evaluate(
        """([name, text]) => {
            const all = new DataTransfer(); all.items.add(new File([text], name));
            document.body.dispatchEvent(new DragEvent('drop', { dataTransfer: all, bubbles: true, cancelable: true }));
        }""",
        [name, text],
    )


def test_dropped_file_takes_the_place_of_the_trace(visit: Visit) -> None:
    page = visit.open(f"{ROOT}#s3")
    drop(visit, "<b>.json", written(large_trace("bushy", 20)))
    page.get_by_text("<b>.json").wait_for()
    visit.settle()
    assert len(visit.names()) == 20
    assert page.evaluate("location.hash") == ""
    assert page.locator(".acts a").count() == 0
    assert not page.get_by_role("link", name="All calls").is_visible()
    page.locator("[data-open]").set_input_files(
        {"name": "next.json", "mimeType": "application/json", "buffer": written(large_trace("deep", 5)).encode()}
    )
    page.get_by_text("next.json").wait_for()
    visit.settle()
    assert len(visit.names()) == 5


@pytest.mark.parametrize(
    "text",
    [
        "",
        "<svg/>",
        "[]",
        "{}",
        '{"timeout": true}',
        "[1]",
        '[{"func": {"name": "f"}}]',
        '[{"id": 7, "func": {"name": "f"}, "start": 5, "finish": 6}]',
        "null",
    ],
)
def test_wrong_file_is_refused_in_words_and_the_trace_stays(visit: Visit, text: str) -> None:
    page = visit.open()
    drop(visit, "notes.txt", text)
    alert = page.get_by_role("alert")
    alert.wait_for()
    assert alert.text_content() == "notes.txt is no trace: expected a list of spans as /trace/json writes it."
    assert len(visit.names()) == 20


def test_trace_that_went_meanwhile_leaves_the_table(page: Page, rows: TraceRows) -> None:
    registry = KeptTraces(rows)
    server = monkit_present.serve(registry, port=0)

    def forget(route: Any) -> None:
        registry.kept.clear()
        route.continue_()

    try:
        page.route("**/json", forget)
        page.goto(f"{server.url}{ROOT}")
        page.get_by_role("alert").wait_for()
        assert "is kept: it may have been" in (page.get_by_role("alert").text_content() or "")
        assert page.locator("tbody tr").count() == 20
    finally:
        server.close()


def test_other_page_shows_a_trace_and_lets_go_of_the_one_before(visit: Visit) -> None:
    page = visit.open()
    for rows in (large_trace("bushy", 9), large_trace("deep", 7)):  # parsed, so to some hundred nanoseconds
        page.evaluate(
            "text => { monkit.showTrace(JSON.parse(text), document.querySelector('#trace')); }", written(rows)
        )
        visit.settle()
    assert len(visit.names()) == 7
    visit.press("j")
    assert page.evaluate("location.hash") == "#s1"
    assert page.locator(".acts").get_by_role("link").count() == len(TRACE_FORMATS)  # the buttons of the page stay


# Screens, and none of it.


def test_page_can_be_read_with_scripts_off(browser: Browser, port: monkit_present.Server) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{port.url}{ROOT}")
    assert page.locator("tbody tr").count() == 20
    box = page.locator("#s13 .tl .row").bounding_box()
    assert box is not None
    assert box["width"] > 300
    assert not page.get_by_role("button", name="Copy link").is_visible()
    assert page.get_by_role("link", name="JSON", exact=True).is_visible()
    context.close()


@pytest.mark.parametrize("scripts", [True, False])
@pytest.mark.parametrize("width", [360, 800, 1280, 2400])
def test_page_never_scrolls_sideways(browser: Browser, port: monkit_present.Server, width: int, scripts: bool) -> None:
    context = browser.new_context(viewport={"width": width, "height": 800}, java_script_enabled=scripts)
    page = context.new_page()
    page.goto(f"{port.url}{ROOT}")
    page.wait_for_selector(".tv-row" if scripts else "#s19")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    context.close()


def test_narrow_rows_have_two_lines_and_the_bar_is_as_wide_as_the_screen(
    browser: Browser, port: monkit_present.Server
) -> None:
    context = browser.new_context(viewport={"width": 360, "height": 740})
    visit = Visit(context.new_page(), port)
    page = visit.open()
    row, picture = page.locator("#s1").bounding_box(), page.locator(VIEW).bounding_box()
    assert row is not None
    assert picture is not None
    assert (row["height"], picture["width"]) == (42, row["width"])
    page.set_viewport_size({"width": 1200, "height": 740})
    page.wait_for_function("document.querySelector('#s1').offsetHeight === 22")
    assert visit.complaints == []
    context.close()


# Size.


@pytest.mark.parametrize("shape", SHAPES)
def test_ten_thousand_spans_have_rows_only_where_one_looks(visit: Visit, shape: str) -> None:
    page = visit.open()
    drop(visit, "large.json", written(large_trace(shape, 10_000)))
    page.get_by_text("10,000 spans").wait_for()
    visit.settle()
    assert 20 < page.locator(".tv-row").count() < 60
    assert page.get_by_role("treegrid").get_attribute("aria-rowcount") == "10001"
    page.evaluate("scrollTo(0, document.body.scrollHeight / 2)")
    visit.settle()
    assert 20 < page.locator(".tv-row").count() < 60
    page.evaluate("location.hash = '#s9999'")
    page.locator(f"#s9999{SELECTED.removeprefix('.tv-row')}").wait_for()
    before = visit.drawn("ruler")
    visit.press("z")
    assert visit.drawn("ruler") != before
    visit.type("find", "cache")
    assert visit.field("hits") == "2,500 matches"
    page.get_by_role("button", name="Filter").click()
    visit.settle()
    assert page.locator(".tv-row").count() > 0
