"""Names of server spans: by route, never by raw path, and few."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Host, Mount, Route, Router, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.websockets import WebSocket

from monkit_plugins import web
from monkit_plugins.asgi import MonkitMiddleware
from monkit_plugins.routes import find_router, route_of
from tests.helpers import fresh_scope
from tests.plugins.services import App, Finished, ask, http, run, websocket


async def hello(request: Request) -> Response:
    return PlainTextResponse(request.url.path)


async def goodbye(socket: WebSocket) -> None:
    await socket.close()


async def bare(connection: Any, receive: Any, send: Any) -> None:
    await PlainTextResponse("bare")(connection, receive, send)


PEOPLE = Starlette(routes=[Route("/", hello), Route("/{id:int}", hello, methods=["GET", "DELETE"])])
ROUTES = [
    Route("/", hello),
    Route("/users/{id}", hello, methods=["POST"]),
    Route("/users/{name}", hello, methods=["GET"]),
    Route("/files/{path:path}", hello),
    Mount("/people", PEOPLE),
    Mount("/api/{version}", routes=[Mount("/deep", routes=[Route("/end", hello)]), Route("/{id}", hello)]),
    Mount("/opaque", bare),
    Mount("/static", StaticFiles(directory=".")),
    Host("{tenant}.example.org", Router([Route("/home", hello)])),
    WebSocketRoute("/rooms/{name}", goodbye),
]
APP = Starlette(routes=ROUTES)

NAMES = [
    ("GET", "/", "http GET /"),
    ("HEAD", "/", "http HEAD /"),
    ("GET", "/users/7", "http GET /users/{name}"),
    ("POST", "/users/7", "http POST /users/{id}"),
    ("DELETE", "/users/7", "http DELETE /users/{id}"),  # a 405: the path is known
    ("GET", "/files/a/b/c", "http GET /files/{path}"),
    ("GET", "/people/", "http GET /people/"),
    ("GET", "/people/7", "http GET /people/{id}"),
    ("DELETE", "/people/7", "http DELETE /people/{id}"),
    ("GET", "/people/nobody", "http GET /people/*"),
    ("GET", "/api/v1/deep/end", "http GET /api/{version}/deep/end"),
    ("GET", "/api/v1/7", "http GET /api/{version}/{id}"),
    ("GET", "/api/v1/deep/nowhere", "http GET /api/{version}/deep/*"),
    ("GET", "/opaque/what/ever", "http GET /opaque/*"),
    ("GET", "/static/none.css", "http GET /static/*"),
    ("GET", "/unknown", "http GET"),
    ("GET", "/users/7/more", "http GET"),
    ("GET", "/\x00\ud800é", "http GET"),
    ("BREW", "/unknown", "http OTHER"),
    ("get", "/users/7", "http OTHER /users/{id}"),
]


def name_of(app: App, connection: dict[str, Any]) -> str:
    """The name of the span that *app* has for a connection."""
    registry, mon = fresh_scope()
    watched = Finished(registry)

    async def work() -> None:
        await ask(MonkitMiddleware(app, mon), connection)

    run(work())
    (span,) = watched.spans
    return span.func.short_name


@pytest.mark.parametrize(("method", "path", "name"), NAMES)
def test_span_is_named_by_route(method: str, path: str, name: str) -> None:
    async def found(connection: Any, receive: Any, send: Any) -> None:
        """The table's own application is not asked to serve what it cannot."""

    found.routes = ROUTES  # type: ignore[attr-defined]
    assert name_of(found, {**http(method=method), "path": path}) == name


@pytest.mark.parametrize(
    ("method", "path", "name"), [entry for entry in NAMES if entry[1] not in ("/static/none.css", "/\x00\ud800é")]
)
def test_name_is_that_of_the_route_which_serves(method: str, path: str, name: str) -> None:
    assert name_of(APP, http(path, method)) == name


def test_route_that_is_predicted_is_the_one_that_the_router_puts_into_the_connection() -> None:
    for method, path, _ in NAMES:
        connection = http("/") | {"path": path, "method": method}
        predicted = route_of(APP, dict(connection))
        run(ask(APP, connection))
        route = connection.get("route")
        if predicted is not None and not predicted.endswith("/*"):
            assert predicted.endswith(getattr(route, "path_format", "")), path


def test_mount_without_a_path_takes_what_no_route_before_it_serves_whole() -> None:
    app = Starlette(routes=[Route("/users/{id}", hello), Mount("", routes=[Route("/last", hello)])])
    for method, path, name in (
        ("GET", "/last", " /last"),
        ("GET", "/users/7", " /users/{id}"),
        ("DELETE", "/users/7", ""),
    ):
        assert name_of(app, http(path, method)) == f"http {method}{name}"


def test_host_routes_are_followed() -> None:
    assert name_of(APP, http("/home", headers={"Host": "a.example.org"})) == "http GET /home"
    assert name_of(APP, http("/home", headers={"Host": "elsewhere"})) == "http GET"


def test_websockets_are_named_by_route() -> None:
    assert name_of(APP, websocket("/rooms/7")) == "websocket /rooms/{name}"
    assert name_of(APP, websocket("/unknown")) == "websocket"


def test_root_path_of_a_proxy_is_no_part_of_the_route() -> None:
    assert name_of(APP, http("/prefix/users/7", root_path="/prefix")) == "http GET /users/{name}"


def test_routes_are_found_through_middleware_and_those_that_are_added_later_too() -> None:
    async def pass_on(request: Request, call_next: Any) -> Any:
        return await call_next(request)

    app = Starlette(routes=[Route("/", hello)], middleware=[Middleware(BaseHTTPMiddleware, dispatch=pass_on)])
    wrapped = BaseHTTPMiddleware(app, dispatch=pass_on)
    registry, mon = fresh_scope()
    watched = Finished(registry)
    monitored = MonkitMiddleware(wrapped, mon)
    app.router.routes.append(Route("/later/{id}", hello))
    run(ask(monitored, http("/later/7")))
    assert watched.names == ["http GET /later/{id}"]


def test_middleware_that_hides_what_it_wraps_leaves_the_application_of_the_framework_to_be_asked() -> None:
    registry, mon = fresh_scope()
    watched = Finished(registry)

    class Opaque:
        def __init__(self, app: App) -> None:
            self.hidden = app

        async def __call__(self, connection: Any, receive: Any, send: Any) -> None:
            await self.hidden(connection, receive, send)

    middleware = [Middleware(MonkitMiddleware, mon=mon), Middleware(Opaque)]
    run(ask(Starlette(routes=[Route("/users/{id}", hello)], middleware=middleware), http("/users/7")))
    assert watched.names == ["http GET /users/{id}"]


def test_mounted_application_is_not_named_by_the_routes_of_the_whole() -> None:
    registry, mon = fresh_scope()
    watched = Finished(registry)
    whole = Starlette(routes=[Mount("/part", MonkitMiddleware(bare, mon)), Route("/{id}", hello)])
    run(ask(whole, http("/part/7")))
    assert watched.names == ["http GET"]


def test_application_without_routes_is_named_by_method() -> None:
    assert name_of(bare, http("/users/7")) == "http GET"
    assert find_router(bare) is None


def test_name_can_be_given_by_a_function() -> None:
    registry, mon = fresh_scope()
    watched = Finished(registry)
    app = MonkitMiddleware(bare, mon, route=lambda connection: "/mine" if connection["path"] == "/a" else None)
    run(ask(app, http("/a")))
    run(ask(app, http("/b")))
    assert watched.names == ["http GET /mine", "http GET"]


def test_names_beyond_the_bound_count_by_their_method(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "MOST_FUNCS", 3)
    registry, mon = fresh_scope()
    app = MonkitMiddleware(bare, mon, route=lambda connection: str(connection["path"]))
    for number in range(6):
        run(ask(app, http(f"/{number}")))
    run(ask(app, http("/0")))
    calls = {func.short_name: func.success_times.count for func in registry.funcs()}
    assert calls == {"http GET": 3, "http GET /0": 2, "http GET /1": 1, "http GET /2": 1}


def test_invented_methods_and_unknown_paths_make_few_names() -> None:
    registry, mon = fresh_scope()
    app = MonkitMiddleware(APP, mon)
    for number in range(50):
        run(ask(app, http(f"/unknown/{number}", f"M{number}")))
        run(ask(app, http(f"/people/x{number}", f"M{number}")))
    assert [func.short_name for func in registry.funcs()] == ["http OTHER", "http OTHER /people/*"]


def test_applications_that_wrap_themselves_end_the_search() -> None:
    class Loop:
        @property
        def app(self) -> Loop:
            return self

    assert find_router(Loop()) is None


def test_mounts_that_go_round_in_a_circle_end_the_search() -> None:
    inner = Router()
    inner.routes.append(Mount("", app=inner))
    assert route_of(inner, http("/users/7")) is None
