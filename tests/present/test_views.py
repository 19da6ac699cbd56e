"""Views: what a browser gets. Every page of the table that has one, whole and live."""

from __future__ import annotations

import asyncio
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

import monkit_present
from monkit_core import Registry, default_registry
from monkit_present import app
from monkit_present.catalogue import PAGES
from monkit_present.gather import process_name
from monkit_present.trace_pages import TRACE
from monkit_present.views import functions, spans
from monkit_present.views.frame import VIEW_POLICY
from tests.helpers import fresh_scope, in_fresh_context
from tests.http_helpers import (
    BROWSER,
    PLACES,
    READ,
    SESSIONS,
    STREAMS,
    Answer,
    Wait,
    ask,
    busy_registry,
    connect,
    request,
    served,
)

VIEWED = [place for place in READ if place.view is not None]
STATIC = Path(monkit_present.__file__).parent / "static"


class Mark(HTMLParser):
    """Targets of links, forms with the names of their fields, ids, and whether every element is closed."""

    VOID = frozenset({"meta", "link", "input", "br", "img", "path", "rect", "circle", "use", "line"})

    def __init__(self, page: str) -> None:
        super().__init__()
        self.hrefs: list[str] = []
        self.actions: list[str] = []
        self.fields: list[str] = []
        self.ids: list[str] = []
        self.attributes: set[str] = set()
        self.open: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.attributes |= found.keys()
        if tag == "a" and "href" in found:  # scripts put it into others
            self.hrefs.append(found["href"] or "")
        if tag == "form":
            self.actions.append(found["action"] or "")
        if tag == "input" and "name" in found:
            self.fields.append(found["name"] or "")
        if found.get("id"):
            self.ids.append(found["id"] or "")
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag


def view(server: object, path: str = "/") -> Answer:
    return ask(server, path, headers=BROWSER)  # type: ignore[arg-type]


def full_registry() -> Registry:
    """A busy one, with kept traces and errors."""
    registry = busy_registry()
    mon = registry.scope("shop")

    @mon.task
    def fails() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        fails()
    return registry


@pytest.mark.parametrize("place", VIEWED, ids=lambda place: str(place.path))
def test_browser_gets_a_whole_document_and_curl_the_first_format(place: monkit_present.pages.Address) -> None:
    with served(full_registry()) as server:
        answer, plain = view(server, place.path), ask(server, place.path)
    assert answer.header("content-type") == "text/html; charset=utf-8"
    assert plain.header("content-type") == place.formats[0].media_type
    assert answer.header("vary") == plain.header("vary") == "Accept"
    assert answer.header("content-security-policy") == VIEW_POLICY
    mark = Mark(answer.text)
    assert mark.open == []
    assert len(set(mark.ids)) == len(mark.ids)
    assert not {name for name in mark.attributes if name.startswith("on") or name == "style"}
    assert re.search(r"<h1>.+</h1>", answer.text)


def test_policy_of_views_allows_files_of_the_port_and_nothing_inline() -> None:
    assert "unsafe" not in VIEW_POLICY
    assert "http" not in VIEW_POLICY


@pytest.mark.parametrize("place", VIEWED, ids=lambda place: str(place.path))
def test_every_link_of_a_view_works(place: monkit_present.pages.Address) -> None:
    with served(full_registry()) as server:
        hrefs = {href for href in Mark(view(server, place.path).text).hrefs if not href.startswith("#")}
        assert len(hrefs) >= len([page for page in PAGES if page.view and page.variable is None])
        assert {href: view(server, href).status for href in hrefs} == dict.fromkeys(hrefs, 200)


@pytest.mark.parametrize("place", STREAMS, ids=lambda place: str(place.path))
def test_stream_says_every_part_of_its_page_that_changes(place: monkit_present.pages.Address) -> None:
    path = place.path.replace("{name}", "shop.outer") + ("?regex=outer" if place.path == "/capture/live" else "")
    with served(full_registry()) as server, connect(server) as connection:
        page = view(server, path.replace("/live", "") or "/").text
        connection.sendall(request(server, path))
        with connection.makefile("rb") as stream:
            head = list(iter(stream.readline, b"\r\n"))
            event = next(line for line in stream if line.startswith(b"data: "))
    assert b"content-type: text/event-stream\r\n" in head
    message = json.loads(event.removeprefix(b"data: "))
    ids = Mark(page).ids
    assert set(message["set"]) == set(message["order"])
    assert set(message["order"]) <= set(ids)
    for name, html in message["set"].items():
        mark = Mark(html)
        assert (mark.open, mark.ids[0]) == ([], name)


def test_second_event_brings_only_what_changed() -> None:
    registry, scope = fresh_scope()
    first, second = scope.task("first"), scope.task("second")
    with first, second:
        pass
    with served(registry) as server, connect(server) as connection:
        connection.sendall(request(server, "/funcs/live"))
        with connection.makefile("rb") as stream:
            events = (json.loads(line.removeprefix(b"data: ")) for line in stream if line.startswith(b"data: "))
            next(events)
            with second:
                pass
            message = next(event for event in events if event["set"])
    assert set(message["set"]) == {"summary", f"f-{second.func.id:016x}"}
    assert "order" not in message


def test_function_is_found_by_name_with_tags_and_by_id() -> None:
    registry, scope = fresh_scope()
    with scope.task("GET /orders", method="GET") as span:
        func = span.func
    with served(registry) as server:
        spelled = "shop.GET /orders,method=GET"
        for name in (spelled, f"{func.id:016x}"):
            answer = view(server, f"/funcs/{quote(name, safe='')}")
            assert (answer.status, "GET /orders</h1>" in answer.text) == (200, True)
            assert ask(server, f"/funcs/{quote(name)}/json").json[0]["id_hex"] == f"{func.id:016x}"
        assert view(server, "/funcs/shop.GET%20%2Forders").status == 200  # tags left out
        missing = view(server, "/funcs/shop.GET%20/order")
    assert missing.status == 404
    assert missing.text == 'Not Found: no function is called "shop.GET /order"; nearest: shop.GET /orders\n'


def test_table_of_functions_is_bounded_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(functions, "MOST_ROWS", 3)
    registry, scope = fresh_scope()
    for number in range(5):
        with scope.task(f"f{number}"):
            pass
    with served(registry) as server:
        page = view(server, "/funcs").text
    assert page.count('<tr id="f-') == 3
    assert "2 functions are not shown" in page


@in_fresh_context
def test_live_spans_are_bounded_and_the_page_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spans, "MOST_ROWS", 3)
    registry, scope = fresh_scope()
    started = [scope.func("root").reset_trace() for _ in range(5)]
    for block in started:
        block.__enter__()
    with served(registry) as server:
        page = view(server, "/ps").text
    for block in reversed(started):
        block.__exit__(None, None, None)
    assert page.count('<tbody id="t-') == 3
    assert "the 3 that began first are shown" in page


@pytest.mark.parametrize("pattern", ["name=outer", "^counter", "nothing at all"])
def test_stats_are_searched_in_every_format(pattern: str) -> None:
    with served(busy_registry()) as server:
        everything = ask(server, "/stats").text.splitlines()
        target = f"/stats?regex={quote(pattern)}"
        found = ask(server, target).text.splitlines()
        rows = view(server, target).text.count('<tr id="s-')
    assert found == [line for line in everything if re.search(pattern, line.rpartition(" ")[0])]
    assert rows == len(found)


def test_bad_expression_of_a_search_is_named() -> None:
    with served(busy_registry()) as server:
        for path in ("/stats", "/stats/json"):
            answer = view(server, f"{path}?regex=[")
            assert (answer.status, answer.text.startswith("Bad Request: invalid regex")) == (400, True)


@pytest.mark.parametrize(
    ("path", "status"),
    [("/funcs/nobody/live", 404), ("/stats/live?since=mark", 409), ("/stats/live?regex=[", 400)],
)
def test_stream_of_what_there_is_not_is_refused_like_its_page(
    path: str, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    with served(busy_registry()) as server:
        stream, page = ask(server, path), view(server, path.replace("/live", ""))
    assert (stream.status, page.status) == (status, status)
    assert stream.text == page.text
    assert caplog.records == []


def test_capture_waits_for_what_is_asked_and_shows_what_is_wrong() -> None:
    with served(busy_registry()) as server:
        assert (
            'data-from="/trace/json?regex=outer&amp;max_spans=7"'
            in view(server, "/capture?regex=outer&max_spans=7").text
        )
        wrong = view(server, "/capture?regex=nobody").text
        assert "regex preselect matches 0 functions" in wrong
        assert 'id="waiting"' not in wrong


# Help and the list of pages.


def test_help_names_every_page_and_every_parameter() -> None:
    with served(Registry()) as server:
        page = view(server, "/help").text
    hrefs = set(Mark(page).hrefs)
    for place in PLACES:
        if place.formats and place.page.listed and not place.page.waits and place.page not in SESSIONS:
            assert place.path in hrefs or place.path == "/stats/old"
            assert all(f">{parameter.name}</td>" in page for parameter in place.page.parameters)


def test_form_of_help_opens_a_wait() -> None:
    with served(busy_registry()) as server:
        mark = Mark(view(server, "/help").text)
        (action,), (name,) = mark.actions, mark.fields
        with Wait(server, f"{action}?{name}=outer") as wait:
            assert wait.status == 200


def test_commands_of_help_can_be_typed() -> None:
    registry, scope = fresh_scope()
    scope.func("HandleHTTP")
    with served(registry) as server:
        commands = re.findall(r"curl '(.*?)'", view(server, "/help").text)
        targets = [command.removeprefix(f"http://localhost:{server.port}") for command in commands]
        assert targets == ["/trace/svg?regex=HandleHTTP", "/trace/json?regex=HandleHTTP"]
        for target in targets:
            with Wait(server, target) as wait:
                assert wait.status == 200


def test_index_for_programs_lists_every_page_an_address_a_line() -> None:
    with served(busy_registry()) as server:
        lines = ask(server).text.splitlines()
        listed = [page for page in PAGES if page.listed]
        addresses = [line.split("  ")[0].rstrip() for line in lines if line.startswith("http")]
        assert len(addresses) >= len(listed) - 1
        for address in addresses:
            path = address.removeprefix(f"http://localhost:{server.port}")
            if "{" not in path and not path.startswith("/trace/"):
                assert ask(server, path).status == 200, path
    assert TRACE.formats[0].name in lines[-1]


@pytest.mark.parametrize("arguments", [["/srv/shop/serve.py", "-v"], ["serve.py"]])
def test_overview_says_which_process_it_is(monkeypatch: pytest.MonkeyPatch, arguments: list[str]) -> None:
    monkeypatch.setattr("sys.argv", arguments)
    assert process_name() == "serve.py"
    with served(Registry()) as server:
        assert "<h1>serve.py</h1>" in view(server).text


@pytest.mark.parametrize("arguments", [[], [""], ["-c"]])
def test_process_without_a_program_is_called_python(monkeypatch: pytest.MonkeyPatch, arguments: list[str]) -> None:
    monkeypatch.setattr("sys.argv", arguments)
    assert process_name() == "python"


def test_mounted_pages_work_with_their_links_right() -> None:
    async def visit() -> None:
        program = Starlette(routes=[Mount("/debug", app=app(full_registry(), hosts=["shop.test"], insecure=True))])
        transport = httpx.ASGITransport(app=program)
        async with httpx.AsyncClient(transport=transport, base_url="http://shop.test", headers=BROWSER) as client:
            for place in VIEWED:
                page = (await client.get("/debug" + place.path)).text
                mark = Mark(page)
                links = [link for link in mark.hrefs if not link.startswith("#")]
                assert all(link.startswith("/debug/") for link in links + mark.actions)
                for href in links:
                    assert (await client.get(href)).status_code == 200, href
                for name in re.findall(r'(?:src|href)="(/[^"]*static[^"]*)"', page):
                    assert (await client.get(name)).status_code == 200, name
            missing = await client.get("/debug/nope")
            assert (missing.status_code, missing.text) == (404, "Not Found: path not found: /debug/nope\n")

    asyncio.run(visit())


def test_app_shows_the_default_registry_unless_told_otherwise() -> None:
    assert app(insecure=True)._served.registry is default_registry


def test_scripts_of_the_port_are_below_40_kilobytes() -> None:
    """Those of pages; a picture brings its own."""
    assert sum(path.stat().st_size for path in STATIC.glob("*.js") if path.name != "trace.js") < 40_000
