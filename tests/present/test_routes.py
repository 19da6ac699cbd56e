"""Routes: which address a path leads to, and what its variable says."""

from __future__ import annotations

import pytest

from monkit_core import Registry
from monkit_present.catalogue import PAGES
from monkit_present.pages import Address
from monkit_present.routes import Routes
from tests.http_helpers import EVERY, ask, served

ROUTES = Routes(PAGES)


@pytest.mark.parametrize("place", EVERY, ids=lambda place: str(place.path))
def test_every_address_of_the_table_is_found(place: Address) -> None:
    path = place.path.replace("{name}", "shop.charge").replace("{trace}", "00000000000000ab")
    found = ROUTES.find(path)
    assert found is not None
    assert found[0].path == place.path


@pytest.mark.parametrize(
    ("path", "address", "variable"),
    [
        ("/funcs/shop.charge", "/funcs/{name}", {"name": "shop.charge"}),
        ("/funcs/shop.charge/json", "/funcs/{name}/json", {"name": "shop.charge"}),
        ("/funcs/json", "/funcs/json", {}),
        ("/funcs/json/text", "/funcs/{name}/text", {"name": "json"}),
        ("/funcs/GET /orders", "/funcs/{name}", {"name": "GET /orders"}),
        ("/funcs/GET /orders/live", "/funcs/{name}/live", {"name": "GET /orders"}),
        ("/traces/00ab/svg", "/traces/{trace}/svg", {"trace": "00ab"}),
    ],
)
def test_variable_is_what_stands_between_the_page_and_the_format(
    path: str, address: str, variable: dict[str, str]
) -> None:
    found = ROUTES.find(path)
    assert found is not None
    assert (found[0].path, found[1]) == (address, variable)


@pytest.mark.parametrize("path", ["/nope", "/funcs/", "/stats/nope", "/trace", "/live/live"])
def test_other_paths_lead_nowhere(path: str) -> None:
    assert ROUTES.find(path) is None
    assert ROUTES.methods(path) == ("GET", "HEAD")
    assert not ROUTES.is_document(path)


def test_function_of_any_name_is_refused_in_words() -> None:
    with served(Registry()) as server:
        for name in ("nobody", "%00", "a" * 2_001, "..%2f..%2fetc", "%3Cscript%3E"):
            answer = ask(server, f"/funcs/{name}")
            assert answer.status in (400, 404)
            assert answer.header("content-type") == "text/plain; charset=utf-8"
            assert answer.text.count("\n") == 1
