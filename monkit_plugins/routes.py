"""Routes: under which pattern an application will serve a request, asked before it does.

The name of a span is settled when it starts, and a router tells of its choice
only later. So the routes that an application shows are asked the same question
beforehand. Starlette's routes answer it, and those of frameworks built on
Starlette; nothing is imported for it. It costs what the router's own search
costs, and it is right as long as nothing in between changes the path.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["find_router", "route_of"]

_MOST_LAYERS = 32  # of middleware, and of mounted applications
_PARTIAL, _FULL = 1, 2  # values of Starlette's Match: the path matches, the path and the method do


def find_router(app: object) -> object | None:
    """The first object with ``routes`` on the way inwards through middleware, which keeps what it wraps as ``app``."""
    for _ in range(_MOST_LAYERS):
        if app is None or _routes(app):
            return app
        app = getattr(app, "app", None)
    return None


def _routes(app: object) -> Sequence[Any]:
    routes = getattr(app, "routes", None)
    return routes if isinstance(routes, list | tuple) else ()


def route_of(router: object, connection: Mapping[str, Any]) -> str | None:
    """The pattern that matches a connection, such as ``/users/{id}``, mounts included; ``None`` if none does.

    What a mounted application serves without showing its routes is its mount's path and ``/*``.

    Args:
        router: has ``routes``.
        connection: what ASGI calls a scope; not changed.
    """
    prefix = ""
    for _ in range(_MOST_LAYERS):
        found = _match(_routes(router), connection)
        if found is None:
            return f"{prefix}/*" if prefix else None
        router, changes = found
        inner = getattr(router, "routes", None)
        if inner is None:  # a leaf
            return prefix + str(getattr(router, "path_format", None) or getattr(router, "path", ""))
        prefix += str(getattr(router, "path", ""))
        connection = {**connection, **changes}
    return None


def _match(routes: Sequence[Any], connection: Mapping[str, Any]) -> tuple[object, Mapping[str, Any]] | None:
    """The route that a router would choose: the first whole match, else the first that lacks only the method."""
    partial = None
    for route in routes:
        match, changes = route.matches(connection)
        if match.value == _FULL:
            return route, changes
        if match.value == _PARTIAL and partial is None:
            partial = route, changes
    return partial
