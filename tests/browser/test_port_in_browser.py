"""The port in a real browser: pages load without a complaint, and nothing hostile runs."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

import pytest

import monkit_core as monkit
import monkit_present

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.browser
HOSTILE = "</title></script><script>document.hacked=1</script><img src=x onerror=document.hacked=1>]]>\"'&\\N"


class Visit:
    """A page in a browser, with what it complained of and whom it asked."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.complaints: list[str] = []
        self.requests: list[str] = []
        page.on("console", lambda message: self.complaints.append(message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", lambda request: self.requests.append(request.url))


@pytest.fixture
def visit(page: Page) -> Visit:
    return Visit(page)


@pytest.fixture
def calls(registry: monkit.Registry) -> Iterator[None]:
    """Calls of ``VLite.HandleHTTP``, one after the other, as long as the test runs."""
    mon = registry.scope("vlite")
    over = threading.Event()

    def handle() -> None:
        with mon.task("VLite.HandleHTTP", args={"path": HOSTILE}):
            over.wait(0.01)
            with mon.task("VLite.Proxy") as span:
                span.annotate(HOSTILE, HOSTILE)
                over.wait(0.01)

    def drive() -> None:
        while not over.is_set():
            handle()

    thread = threading.Thread(target=drive)
    thread.start()
    yield
    over.set()
    thread.join()


def point_at(page: Page, bar: int) -> tuple[float, float]:
    """Move the mouse into a bar, and say where that is."""
    box = page.locator("g.s .b").nth(bar).bounding_box()
    assert box is not None
    place = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.move(*place)
    return place


def picture(visit: Visit, port: monkit_present.Server) -> Page:
    visit.page.goto(f"{port.url}/trace/svg?regex=HandleHTTP")
    return visit.page


@pytest.mark.usefixtures("calls")
def test_picture_is_drawn_without_a_complaint_and_asks_nobody_else(visit: Visit, port: monkit_present.Server) -> None:
    page = picture(visit, port)
    assert page.locator("g.s").count() == 2
    assert visit.complaints == []
    assert all(url.startswith(str(port.url)) for url in visit.requests)


@pytest.mark.usefixtures("calls")
def test_script_of_the_picture_shows_details_on_hover_and_zooms_on_click(
    visit: Visit, port: monkit_present.Server
) -> None:
    page = picture(visit, port)
    assert "hover" in (page.locator("#tip").text_content() or "")
    place = point_at(page, 1)
    assert (page.locator("#info").text_content() or "").startswith("vlite.VLite.Proxy · took ")
    before = page.locator("g.s").nth(1).get_attribute("transform")
    page.mouse.click(*place)
    assert page.locator("g.s").nth(1).get_attribute("transform") != before
    page.keyboard.press("Escape")
    assert page.locator("g.s").nth(1).get_attribute("transform") == before


@pytest.mark.usefixtures("calls")
def test_click_brings_all_details_and_typing_finds_spans(visit: Visit, port: monkit_present.Server) -> None:
    page = picture(visit, port)
    page.mouse.click(*point_at(page, 1))
    details = page.locator("#more text").all_text_contents()
    assert details[0] == "vlite.VLite.Proxy"
    assert any("onerror" in line for line in details)
    page.keyboard.press("Escape")
    assert page.locator("#more").count() == 0
    page.keyboard.type("proxy")
    assert (page.locator("#info").text_content() or "").startswith("find: proxy · 1 of 2")
    assert [("q" in (group.get_attribute("class") or "").split()) for group in page.locator("g.s").all()] == [
        True,
        False,
    ]
    page.keyboard.press("Enter")
    assert page.locator("#more text").first.text_content() == "vlite.VLite.Proxy"
    page.keyboard.press("Escape")
    assert page.locator("g.q, #more").count() == 0
    assert visit.complaints == []
    assert page.evaluate("document.hacked") is None


@pytest.mark.usefixtures("calls")
def test_hostile_text_is_shown_and_does_not_run(visit: Visit, port: monkit_present.Server) -> None:
    page = picture(visit, port)
    point_at(page, 0)
    assert "onerror" in (page.locator("#info").text_content() or "")
    assert page.evaluate("document.hacked") is None
    assert page.locator("img").count() == 0
    assert visit.complaints == []


@pytest.mark.usefixtures("calls")
def test_picture_can_be_read_with_scripts_off(browser: Browser, port: monkit_present.Server) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{port.url}/trace/svg?regex=HandleHTTP")
    assert "VLite.Proxy" in page.content()
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_call_graph_is_drawn_without_a_complaint_and_hostile_names_do_not_run(
    browser: Browser, port: monkit_present.Server, registry: monkit.Registry, scheme: Literal["light", "dark"]
) -> None:
    mon = registry.scope(HOSTILE)
    with mon.task("VLite.HandleHTTP"), mon.task(HOSTILE, tags={HOSTILE: HOSTILE}):
        pass
    context = browser.new_context(color_scheme=scheme)
    visit = Visit(context.new_page())
    visit.page.goto(f"{port.url}/funcs/svg?layout=own")
    assert visit.page.locator("g.nd").count() == 2
    assert "onerror" in (visit.page.locator("g.nd title").nth(1).text_content() or "")
    assert visit.page.locator("img").count() == 0
    boxes = [box.bounding_box() for box in visit.page.locator("g.nd text").all()]
    assert all(box is not None and box["width"] > 0 for box in boxes)
    assert visit.complaints == []
    assert all(url.startswith(str(port.url)) for url in visit.requests)
    context.close()


def test_help_waits_for_the_next_call_and_shows_it(
    visit: Visit, port: monkit_present.Server, registry: monkit.Registry
) -> None:
    task = registry.scope("vlite").task("VLite.HandleHTTP")
    assert task.func.current == 0
    page = visit.page
    page.goto(f"{port.url}/help")
    page.get_by_label("Function name matches").fill("HandleHTTP")
    page.get_by_role("button", name="Wait for it").click(no_wait_after=True)
    while registry.watcher_count == 0:
        page.wait_for_timeout(5)
    with task:
        pass
    page.wait_for_selector("g.s", state="attached")
    assert visit.complaints == []


def test_every_link_of_help_opens(visit: Visit, port: monkit_present.Server) -> None:
    visit.page.goto(f"{port.url}/help")
    links = [link.get_attribute("href") for link in visit.page.get_by_role("link").all()]
    assert len(links) >= 10
    files = ("perfetto", "speedscope", "otlp", "zipkin")  # which a browser saves
    for link in filter(lambda link: link != "#main" and not str(link).endswith(files), links):
        response = visit.page.goto(f"{port.url}{link}")
        assert response is not None
        assert response.status == 200
    assert visit.complaints == []


@pytest.mark.parametrize("width", [360, 1280])
def test_help_never_scrolls_sideways(browser: Browser, port: monkit_present.Server, width: int) -> None:
    context = browser.new_context(viewport={"width": width, "height": 800})
    page = context.new_page()
    page.goto(f"{port.url}/")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    context.close()


def test_page_of_another_site_gets_no_picture_and_no_answer(visit: Visit, port: monkit_present.Server) -> None:
    other = monkit_present.serve(monkit.Registry(), port=0)
    try:
        visit.page.goto(str(other.url))
        outcome = visit.page.evaluate(
            "url => fetch(url, {mode: 'no-cors'}).then(r => r.type, e => 'refused: ' + e)", f"{port.url}/stats"
        )
    finally:
        other.close()
    assert outcome.startswith("refused")


@pytest.mark.usefixtures("calls")
def test_remote_trace_leads_the_browser_to_where_it_is_shown(visit: Visit, registry: monkit.Registry) -> None:
    shows = monkit_present.serve(monkit.Registry(), port=0)
    port = monkit_present.serve(registry, port=0, viz_hosts=[f"127.0.0.1:{shows.port}"])
    try:
        visit.page.goto(f"{port.url}/trace/remote?regex=HandleHTTP&viz={shows.url}/nowhere")
        visit.page.wait_for_url(f"{shows.url}/nowhere/*")
        (digits,) = visit.page.url.rsplit("/", 1)[1:]
        assert len(digits) == 32
        assert f"path not found: /nowhere/{digits}" in (visit.page.text_content("body") or "")
    finally:
        port.close()
        shows.close()
