"""What integrations of HTTP share: names that stay few, and statuses that count as errors."""

from __future__ import annotations

from monkit_core import Func, Scope

__all__ = ["MOST_FUNCS", "FailedStatus", "FuncCache", "method_word"]

MOST_FUNCS = 2000
"""Functions that one integration makes at the most."""

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE", "QUERY"})


def method_word(method: object) -> str:
    """The method of a request in a name: ``OTHER`` for those that anybody could make up."""
    return method if isinstance(method, str) and method in _METHODS else "OTHER"


class FailedStatus(Exception):
    """A response whose status says that the request failed; counted as ``HTTP 503``. Nobody catches it."""

    def __init__(self, status: int) -> None:
        super().__init__(f"HTTP {status}")
        self.status = status
        self.monkit_error_name = f"HTTP {status}"


class FuncCache:
    """Functions of a scope by name and host; what comes after the first `MOST_FUNCS` is counted under its fallback.

    Args:
        scope: where the functions are kept.
    """

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self._funcs: dict[tuple[str, str | None], Func] = {}

    def get(self, name: str, fallback: str, host: str | None = None) -> Func:
        """The function of this name, with a tag ``host`` if one is given.

        Args:
            name: what one would call it.
            fallback: a name of which there are few.
            host: value of the tag.
        """
        func = self._funcs.get((name, host))
        if func is None:
            if len(self._funcs) >= MOST_FUNCS:
                return self._scope.func(fallback)
            func = self._scope.func(name) if host is None else self._scope.func(name, host=host)
            self._funcs[name, host] = func
        return func
