"""Signing in, in a real browser: the code leaves the address, the cookie opens the pages and stays out of scripts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

import monkit_core as monkit
import monkit_present

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

pytestmark = pytest.mark.browser


@pytest.fixture
def port() -> Iterator[monkit_present.Server]:
    registry = monkit.Registry()
    registry.scope("vlite").func("VLite.HandleHTTP")
    server = monkit_present.serve(registry, port=0, token=monkit_present.new_token())
    yield server
    server.close()


def complaints_of(page: Page) -> list[str]:
    found: list[str] = []
    page.on("console", lambda message: found.append(message.text))
    page.on("pageerror", lambda error: found.append(str(error)))
    return found


def sign_in(page: Page, port: monkit_present.Server) -> None:
    page.goto(str(port.sign_in_url()))
    page.wait_for_url(f"{port.url}/")


def test_sign_in_address_opens_the_index_without_a_complaint(page: Page, port: monkit_present.Server) -> None:
    complaints = complaints_of(page)
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    address = str(port.sign_in_url())
    page.goto(address)
    page.wait_for_url(f"{port.url}/")
    assert page.locator(".nav [aria-current]").text_content() == "Overview"
    assert complaints == []
    code = address.partition("#")[2]
    assert all(url.startswith(str(port.url)) for url in requests)
    assert [url for url in requests if code in url.partition("#")[0]] == []


def test_code_is_in_neither_address_nor_history_afterwards(page: Page, port: monkit_present.Server) -> None:
    sign_in(page, port)
    assert page.evaluate("location.hash") == ""
    page.go_back()
    assert "#" not in page.url


def test_every_link_of_the_index_opens_with_the_cookie(page: Page, port: monkit_present.Server) -> None:
    sign_in(page, port)
    links = [link.get_attribute("href") for link in page.get_by_role("link").all()]
    assert len(links) >= 10
    for link in filter(lambda link: link != "#main", links):
        response = page.goto(f"{port.url}{link}")
        assert response is not None
        assert response.status == 200, link


def test_cookie_is_kept_from_scripts_and_other_sites(
    page: Page, context: BrowserContext, port: monkit_present.Server
) -> None:
    sign_in(page, port)
    (cookie,) = context.cookies()
    assert cookie["name"] == f"monkit-{port.port}"
    assert (cookie["httpOnly"], cookie["sameSite"], cookie["path"]) == (True, "Strict", "/")
    assert page.evaluate("document.cookie") == ""


def test_used_address_says_so_and_opens_nothing(browser: Browser, page: Page, port: monkit_present.Server) -> None:
    address = str(port.sign_in_url())
    page.goto(address)
    page.wait_for_url(f"{port.url}/")
    stranger = browser.new_context()
    other = stranger.new_page()
    other.goto(address)
    other.get_by_text("The code is unknown, used or expired.").wait_for()
    assert "#" not in other.url
    response = other.goto(f"{port.url}/")
    assert response is not None
    assert response.status == 401
    stranger.close()


def test_address_without_a_code_says_what_to_do(page: Page, port: monkit_present.Server) -> None:
    page.goto(f"{port.url}/sign-in")
    page.get_by_text("Ask the program for a new sign-in address.").wait_for()


def test_button_signs_this_browser_out(page: Page, context: BrowserContext, port: monkit_present.Server) -> None:
    complaints = complaints_of(page)
    sign_in(page, port)
    page.get_by_role("link", name="Sign out").click()
    page.get_by_role("button", name="Sign out").click()
    page.get_by_text("Signed out.").wait_for()
    assert page.get_by_role("button").count() == 0
    assert context.cookies() == []
    assert complaints == []
    response = page.goto(f"{port.url}/")
    assert response is not None
    assert response.status == 401


def test_two_processes_do_not_sign_each_other_out(page: Page, port: monkit_present.Server) -> None:
    other = monkit_present.serve(monkit.Registry(), port=0, token=monkit_present.new_token())
    try:
        sign_in(page, port)
        sign_in(page, other)
        for server in (port, other):
            response = page.goto(f"{server.url}/ps")
            assert response is not None
            assert response.status == 200
    finally:
        other.close()


def test_page_of_another_port_cannot_use_the_session(page: Page, port: monkit_present.Server) -> None:
    """Cookies do not know ports, so the guard has to tell the pages of one from those of the other."""
    other = monkit_present.serve(monkit.Registry(), port=0)
    try:
        sign_in(page, port)
        page.goto(str(other.url))
        outcome = page.evaluate(
            """url => fetch(url, {method: 'POST', mode: 'no-cors', credentials: 'include', body: '{}'})
                .then(r => r.type, e => 'refused: ' + e)""",
            f"{port.url}/stats/mark",
        )
        assert outcome.startswith("refused")
        response = page.goto(f"{port.url}/stats?since=mark")
        assert response is not None
        assert response.status == 409
    finally:
        other.close()
