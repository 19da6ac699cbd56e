"""Bodies: the JSON object of an action, read up to a limit of bytes and of time."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import orjson
from starlette.types import Receive, Scope

from monkit_present.limits import DEFAULTS
from monkit_present.responses import Problem

__all__ = ["MAX_BODY_BYTES", "MAX_BODY_S", "read_json_object"]

MAX_BODY_BYTES = DEFAULTS.body_bytes
MAX_BODY_S = DEFAULTS.body_s
_CLOSE = ((b"connection", b"close"),)  # the rest of the body is not read


async def read_json_object(scope: Scope, receive: Receive) -> Mapping[str, object]:
    """The object in the body of a request.

    Raises:
        Problem: the body is too large, too slow, or no JSON object.
    """
    for name, value in scope["headers"]:
        # The length is announced in digits, which the server has checked where it is of HTTP/1.1.
        if name == b"content-length" and value.isdigit() and int(value[:20]) > MAX_BODY_BYTES:
            raise _too_large()
    try:
        async with asyncio.timeout(MAX_BODY_S):
            body = await _read(receive)
    except TimeoutError:
        raise Problem(408, f"the body has not come in {MAX_BODY_S:g} s", _CLOSE) from None
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise Problem(400, "the body is no JSON; expected an object such as {}") from None
    if not isinstance(found, dict):
        raise Problem(400, "the body is JSON and no object; expected one such as {}")
    return found


async def _read(receive: Receive) -> bytes:
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Problem(400, "the request ended before its body")
        body += message.get("body", b"")
        if len(body) > MAX_BODY_BYTES:
            raise _too_large()
        if not message.get("more_body", False):
            return bytes(body)


def _too_large() -> Problem:
    return Problem(413, f"the body is larger than {MAX_BODY_BYTES:,} bytes", _CLOSE)
