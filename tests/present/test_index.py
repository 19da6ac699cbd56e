from __future__ import annotations

import asyncio
import re
from html.parser import HTMLParser
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from monkit_core import Registry, default_registry
from monkit_present.app import app
from monkit_present.catalogue import PAGES
from monkit_present.gather import process_name
from monkit_present.render import index
from monkit_present.trace_pages import TRACE
from tests.helpers import fresh_scope
from tests.http_helpers import PLACES, READ, Wait, ask, busy_registry, served


class Links(HTMLParser):
    """Targets of links, and forms with the names of their fields."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.hrefs: list[str] = []
        self.actions: list[str] = []
        self.fields: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        if tag == "a":
            self.hrefs.append(found["href"] or "")
        if tag == "form":
            self.actions.append(found["action"] or "")
        if tag == "input":
            self.fields.append(found["name"] or "")


def test_every_link_of_the_index_works() -> None:
    with served(busy_registry()) as server:
        links = Links(ask(server).text)
        assert len(links.hrefs) >= len({place.path.split("/")[1] for place in READ}) - 1
        assert {href: ask(server, href).status for href in links.hrefs} == dict.fromkeys(links.hrefs, 200)


def test_form_of_the_index_opens_a_wait() -> None:
    with served(busy_registry()) as server:
        links = Links(ask(server).text)
        (action,), (name,) = links.actions, links.fields
        with Wait(server, f"{action}?{name}=outer") as wait:
            assert wait.status == 200


def test_commands_of_the_index_can_be_typed() -> None:
    registry, scope = fresh_scope()
    scope.func("HandleHTTP")
    with served(registry) as server:
        commands = re.findall(r"curl &#x27;(.*?)&#x27;|curl '(.*?)'", ask(server).text)
        targets = [(first or second).removeprefix(f"http://localhost:{server.port}") for first, second in commands]
        assert sorted(targets) == [
            f"/trace/{name}?regex=HandleHTTP" for name in sorted(item.name for item in TRACE.formats)
        ]
        for target in targets:
            with Wait(server, target) as wait:
                assert wait.status == 200


def index_of(process: str = "shop", engine: str = "pure", base: str = "http://localhost", root: str = "") -> str:
    return index.render(process=process, pid=1, functions=2, engine=engine, base=base, root=root, pages=PAGES)


def test_index_names_every_page_and_every_parameter() -> None:
    page = index_of()
    unlisted = {"/", "/sign-in", "/stats/old"}  # itself; not a page to go to; an old spelling that works
    listed = {place.path for place in PLACES if place.formats and not place.page.waits} - unlisted
    assert set(Links(page).hrefs) - {"data:,"} == listed
    for place in PLACES:
        if place.formats and place.path not in unlisted:
            assert all(f"<td>{parameter.name}</td>" in page for parameter in place.page.parameters)
            if place.page.parameters and place.page.waits:
                assert f"<code>{place.path}</code>" in page


def test_index_escapes_what_it_shows() -> None:
    def tags(text: str) -> list[str]:
        page = index_of(text, text, text, text)
        return re.findall(r"<[a-z!/]+", page)

    assert tags("""'"></title></pre><script>alert(1)</script><!--""") == tags("shop")


def test_index_has_a_policy_that_allows_its_style_and_nothing_inline_else() -> None:
    with served(Registry()) as server:
        answer = ask(server)
    assert answer.header("content-security-policy") == index.CONTENT_SECURITY_POLICY
    assert "unsafe-inline" not in index.CONTENT_SECURITY_POLICY
    assert " style=" not in answer.text
    assert " on" not in re.sub(r">[^<]*<", "><", answer.text)


@pytest.mark.parametrize("arguments", [["/srv/shop/serve.py", "-v"], ["serve.py"]])
def test_index_says_which_process_it_is(monkeypatch: pytest.MonkeyPatch, arguments: list[str]) -> None:
    monkeypatch.setattr("sys.argv", arguments)
    assert process_name() == "serve.py"
    with served(Registry()) as server:
        assert "<h1>serve.py</h1>" in ask(server).text


@pytest.mark.parametrize("arguments", [[], [""], ["-c"]])
def test_process_without_a_program_is_called_python(monkeypatch: pytest.MonkeyPatch, arguments: list[str]) -> None:
    monkeypatch.setattr("sys.argv", arguments)
    assert process_name() == "python"


def test_mounted_pages_work_with_their_links_right() -> None:
    async def visit() -> None:
        program = Starlette(routes=[Mount("/debug", app=app(busy_registry(), hosts=["shop.test"], insecure=True))])
        transport = httpx.ASGITransport(app=program)
        async with httpx.AsyncClient(transport=transport, base_url="http://shop.test") as client:
            page = (await client.get("/debug/")).text
            links = Links(page)
            assert all(link.startswith("/debug/") for link in links.hrefs + links.actions)
            for href in links.hrefs:
                assert (await client.get(href)).status_code == 200, href
            assert "http://shop.test/debug/trace/svg?regex=" in page
            missing = await client.get("/debug/nope")
            assert (missing.status_code, missing.text) == (404, "Not Found: path not found: /debug/nope\n")
            assert (await client.get(links.actions[0])).status_code == 400

    asyncio.run(visit())


def test_app_shows_the_default_registry_unless_told_otherwise() -> None:
    assert app(insecure=True)._served.registry is default_registry


def test_static_files_are_in_the_package() -> None:
    folder = Path(index.__file__).parents[1] / "static"
    assert {path.name for path in folder.iterdir()} >= {"index.css", "trace.css", "trace.js"}
