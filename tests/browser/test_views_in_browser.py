"""Views in a real browser: they load without a complaint, change as one looks, and can be read by everybody."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

import monkit_core as monkit
import monkit_present

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

pytestmark = pytest.mark.browser
PAGES = ("/", "/funcs", "/funcs/shop.handle", "/graph", "/stats", "/ps", "/traces", "/capture", "/help")
LIVE = ("/", "/funcs", "/funcs/shop.handle", "/stats", "/ps")


class Visit:
    """A page in a browser, with what it complained of and whom it asked."""

    def __init__(self, context: BrowserContext, port: monkit_present.Server) -> None:
        self.page = context.new_page()
        self.url = str(port.url)
        self.complaints: list[str] = []
        self.strangers: list[str] = []
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self._ask(request.url))

    def _ask(self, url: str) -> None:
        if not url.startswith((self.url, "data:")):
            self.strangers.append(url)

    def open(self, path: str) -> Page:
        self.page.goto(self.url + path, wait_until="domcontentloaded")
        return self.page

    def check(self) -> None:
        assert self.complaints == []
        assert self.strangers == []


@pytest.fixture
def visit(context: BrowserContext, port: monkit_present.Server) -> Visit:
    return Visit(context, port)


@pytest.fixture(autouse=True)
def calls(registry: monkit.Registry) -> Iterator[None]:
    """Calls one after the other, some of which fail, and one that goes on, as long as the test runs."""
    mon = registry.scope("shop")
    over = threading.Event()

    def drive() -> None:
        with mon.task("endless", args={"month": "2026-10"}), mon.task("inner"):
            number = 0
            while not over.is_set():
                number += 1
                with mon.func("handle").reset_trace(), mon.task("query"):
                    over.wait(0.003)
                try:
                    with mon.task("charge", args={"order": number}):
                        if number % 3 == 0:
                            raise ValueError("declined")
                except ValueError:
                    pass

    thread = threading.Thread(target=drive)
    thread.start()
    yield
    over.set()
    thread.join()


@pytest.mark.parametrize("path", PAGES)
def test_page_loads_without_a_complaint_and_asks_nobody_else(visit: Visit, path: str) -> None:
    page = visit.open(path)
    assert page.locator("h1").count() == 1
    assert page.locator(".nav a").count() == 7
    page.wait_for_load_state("load")
    visit.check()


@pytest.mark.parametrize("path", LIVE)
def test_page_goes_on_to_change(visit: Visit, path: str) -> None:
    page = visit.open(path)
    page.wait_for_function("() => document.querySelector('#live span').textContent.startsWith('live')")
    page.evaluate("addEventListener('monkit-live', () => { document.looks = (document.looks ?? 0) + 1; })")
    page.wait_for_function("() => document.looks >= 2")
    visit.check()


def test_figures_of_a_row_change_and_rows_keep_their_place(visit: Visit) -> None:
    page = visit.open("/funcs")
    names = "[...document.querySelectorAll('tbody tr')].map(r => r.id).join()"
    order, before = page.evaluate(names), page.locator("tbody tr").first.inner_text()
    page.wait_for_function("before => document.querySelector('tbody tr').innerText !== before", arg=before)
    assert page.evaluate(names) == order
    visit.check()


def test_pause_stops_the_changes_and_resume_goes_on(visit: Visit) -> None:
    page = visit.open("/funcs")
    page.wait_for_function("() => document.querySelector('#live span').textContent.startsWith('live')")
    page.get_by_role("button", name="Pause").click()
    assert "paused" in page.locator("#live").inner_text()
    page.evaluate("addEventListener('monkit-live', () => { document.looked = true; })")
    page.get_by_role("button", name="Resume").click()
    page.wait_for_function("() => document.looked")
    visit.check()


def test_table_is_sorted_and_filtered(visit: Visit) -> None:
    page = visit.open("/funcs")
    page.get_by_role("button", name="Function").click()
    names = page.locator("tbody tr .fn").all_inner_texts()
    assert names == ["shop.charge", "shop.endless", "shop.handle", "shop.inner", "shop.query"]
    page.get_by_placeholder("Filter by name or error").fill("char")
    assert page.locator("tbody tr:visible").count() == 1
    assert page.locator("#count").inner_text() == "1 of 5 functions"
    page.get_by_placeholder("Filter by name or error").fill("")
    page.get_by_label("with errors only").check()
    assert page.locator("tbody tr:visible .fn").all_inner_texts() == ["shop.charge"]
    visit.check()


def test_page_says_when_the_port_is_gone(visit: Visit, port: monkit_present.Server) -> None:
    page = visit.open("/funcs")
    page.wait_for_function("() => document.querySelector('#live span').textContent.startsWith('live')")
    port.close()
    page.wait_for_selector("#live.stale")
    assert re.match(r"stale, \d+ s", page.locator("#live").inner_text())


def test_figures_are_charted_and_a_mark_is_set(visit: Visit) -> None:
    page = visit.open("/stats?regex=handle")
    page.locator("[data-chart]").first.check()
    page.wait_for_selector("#chart path", state="attached")
    page.get_by_role("button", name="Set mark now").click()
    page.wait_for_url("**/stats?since=mark*")
    assert "Differences since the mark" in page.locator("main").inner_text()
    visit.check()


def test_tree_is_folded_and_stays_so(visit: Visit) -> None:
    page = visit.open("/ps")
    root = page.locator("tbody", has_text="shop.endless")
    root.get_by_role("button").first.click()
    assert root.locator("tr:visible").count() == 1
    page.evaluate("addEventListener('monkit-live', () => { document.looks = (document.looks ?? 0) + 1; })")
    page.wait_for_function("() => document.looks >= 2")
    assert page.locator("tbody", has_text="shop.endless").locator("tr:visible").count() == 1
    visit.check()


def test_press_on_a_function_of_the_graph_lights_up_its_neighbours(visit: Visit) -> None:
    page = visit.open("/graph")
    page.locator(".nd", has_text="charge").click()
    assert page.locator(".nd.on").count() == 1
    assert page.locator(".nd.dim").count() >= 1
    page.keyboard.press("Escape")
    assert page.locator(".nd.on, .nd.dim").count() == 0
    page.locator(".nd", has_text="charge").dblclick()
    page.wait_for_url("**/funcs/shop.charge")
    visit.check()


def test_slow_function_is_found_captured_and_its_trace_seen(visit: Visit) -> None:
    """The whole way: overview, function, the next call of at least a millisecond, its critical path, a file."""
    page = visit.open("/")
    page.locator("#slowest a.fn", has_text="handle").first.click()
    page.wait_for_url("**/funcs/shop.handle")
    page.get_by_label("At least").fill("1ms")
    page.get_by_role("button", name="Wait for it").click()
    page.wait_for_function("() => document.querySelector('#w-say')?.textContent.startsWith('Caught')")
    assert page.locator("#caught").get_by_text("query").count() >= 1
    assert "on the path" in page.locator("#caught [data-f=path]").inner_text()
    with page.expect_download() as download:
        page.locator("#formats a", has_text="perfetto").click()
    assert re.fullmatch(r"trace-[0-9a-f]{16}\.perfetto\.json", download.value.suggested_filename)
    events = json.loads(download.value.path().read_text("utf-8"))["traceEvents"]
    assert {event["name"] for event in events if event["ph"] == "X"} == {"shop.handle", "shop.query"}
    visit.check()


def test_wait_says_what_went_by_and_can_be_cancelled(visit: Visit, registry: monkit.Registry) -> None:
    page = visit.open("/capture?regex=handle&min_duration=5m")
    page.wait_for_function("() => document.querySelector('#seen').textContent.includes('began since you asked')")
    assert registry.watcher_count == 1
    page.get_by_role("button", name="Cancel").click()
    assert page.locator("#w-say").inner_text().startswith("Cancelled after")
    while registry.watcher_count:
        page.wait_for_timeout(5)
    visit.check()


def test_capture_waits_for_a_note_that_the_form_asks_for(visit: Visit) -> None:
    page = visit.open("/capture")
    page.get_by_label("Name matches").fill("handle")
    page.get_by_label("Note or tag").fill("tenant=a=b")
    page.get_by_role("button", name="Wait for it").click()
    page.wait_for_url("**/capture?*tag.tenant=a%3Db*")
    assert page.get_by_label("tenant is").input_value() == "a=b"
    assert "tag.tenant=a=b" in page.locator("#w-say").inner_text()
    visit.check()


@pytest.mark.parametrize("path", PAGES)
def test_page_can_be_read_with_scripts_off(browser: Browser, port: monkit_present.Server, path: str) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{port.url}{path}")
    assert page.locator("h1").is_visible()
    assert page.get_by_role("button", name="Pause").count() == 0
    if path in ("/funcs", "/ps", "/stats", "/traces"):
        assert page.locator("tbody tr").count() >= 3
    context.close()


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize("width", [360, 1440])
def test_page_never_scrolls_sideways(browser: Browser, port: monkit_present.Server, path: str, width: int) -> None:
    context = browser.new_context(viewport={"width": width, "height": 800})
    page = context.new_page()
    page.goto(f"{port.url}{path}", wait_until="domcontentloaded")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    context.close()


CONTRAST = """() => {
  const lum = c => { const v = c.map(x => { x /= 255; return x <= .04045 ? x / 12.92 : ((x + .055) / 1.055) ** 2.4; });
    return .2126 * v[0] + .7152 * v[1] + .0722 * v[2]; };
  const rgb = t => (t.match(/[\\d.]+/g) ?? []).map(Number);
  const ground = e => { for (; e; e = e.parentElement) { const c = rgb(getComputedStyle(e).backgroundColor);
    if (c.length === 3 || c[3] > 0) return c.slice(0, 3); } return [255, 255, 255]; };
  const poor = [];
  for (const e of document.querySelectorAll('body *')) {
    if (e.closest('svg, [hidden], .vh, .skip') || !e.checkVisibility()) continue;
    if (![...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim())) continue;
    const a = lum(rgb(getComputedStyle(e).color).slice(0, 3)), b = lum(ground(e));
    const ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
    if (ratio < 4.5) poor.push(ratio.toFixed(2) + ' ' + e.outerHTML.slice(0, 120));
  }
  return poor;
}"""


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_has_the_contrast_to_be_read(
    browser: Browser, port: monkit_present.Server, path: str, scheme: str
) -> None:
    context = browser.new_context(color_scheme="dark" if scheme == "dark" else "light")
    page = context.new_page()
    page.goto(f"{port.url}{path}", wait_until="domcontentloaded")
    assert page.evaluate(CONTRAST) == []
    context.close()


@pytest.mark.parametrize("path", PAGES)
def test_everything_that_can_be_pressed_or_filled_has_a_name(visit: Visit, path: str) -> None:
    page = visit.open(path)
    nameless = page.evaluate(
        """() => [...document.querySelectorAll('a, button, input:not([type=hidden]), select')].filter(e =>
            !(e.textContent.trim() || e.ariaLabel || e.labels?.length || e.querySelector('title')))
            .map(e => e.outerHTML)"""
    )
    assert nameless == []


def test_page_is_used_by_keyboard(visit: Visit) -> None:
    page = visit.open("/funcs")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.get_by_role("button", name="Calls").focus()
    page.keyboard.press("Enter")
    assert page.locator("th[aria-sort]").get_attribute("aria-sort") == "ascending"


def test_theme_is_chosen_and_kept(visit: Visit) -> None:
    page = visit.open("/funcs")
    ground = "getComputedStyle(document.body).backgroundColor"
    before = page.evaluate(ground)
    page.locator("#theme").click()
    chosen = page.evaluate(ground)
    assert chosen != before
    visit.open("/ps")
    assert page.evaluate(ground) == chosen
