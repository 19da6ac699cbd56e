"""The pages for programs: an OpenAPI 3.1 document out of the tables."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any

import orjson

from monkit_present.pages import Action, Address, Page, addresses
from monkit_present.parameters import Parameter

__all__ = ["document", "render"]

_REFUSALS = {
    400: "something in the request cannot be read or used",
    401: "a token or a session is needed",
    403: "not from there, or not addressed like that",
}
_ACTION_REFUSALS = {
    413: "the body is too large",
    415: "the body is not said to be JSON",
}
_FURTHER = {
    404: "there is no such thing, or no longer",
    409: "not in this state",
    429: "too many wait already",
    503: "code of the program has not come back",
}
_ACTION_HEADER = {
    "name": "X-Monkit-Action",
    "in": "header",
    "required": True,
    "description": "browsers do not send it for other sites",
    "schema": {"const": "1"},
}


def render(
    pages: Iterable[Page[Any]], guarded: Callable[[str], bool], *, base: str, version: str, cookie: str
) -> bytes:
    """The document as JSON."""
    found = document(pages, guarded, base=base, version=version, cookie=cookie)
    return orjson.dumps(found, option=orjson.OPT_INDENT_2) + b"\n"


def document(
    pages: Iterable[Page[Any]], guarded: Callable[[str], bool], *, base: str, version: str, cookie: str
) -> dict[str, Any]:
    """The document.

    Args:
        pages: the table.
        guarded: whether a path needs a token.
        base: address of the application as the client wrote it.
        version: of the package.
        cookie: name of the cookie of a session.
    """
    found = [address for page in pages for address in addresses(page)]
    schemes = {
        "token": {"type": "http", "scheme": "bearer"},
        "session": {"type": "apiKey", "in": "cookie", "name": cookie},
    }
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "monkit debug port",
            "version": version,
            "description": "Every address that answers GET answers HEAD too, without a body and without waiting.",
        },
        "servers": [{"url": base}],
        "paths": {address.path: _path(address, guarded=guarded(address.path)) for address in found},
        "components": {
            "responses": {
                str(status): _text_response(words)
                for status, words in {**_REFUSALS, **_ACTION_REFUSALS, **_FURTHER}.items()
            },
            **({"securitySchemes": schemes} if any(guarded(address.path) for address in found) else {}),
        },
    }


def _text_response(words: str) -> dict[str, Any]:
    return {"description": words, "content": {"text/plain": {"schema": {"type": "string"}}}}


def _path(address: Address, *, guarded: bool) -> dict[str, Any]:
    security: dict[str, Any] = {"security": [{"token": []}, {"session": []}] if guarded else []}
    found: dict[str, Any] = {}
    if address.formats:
        found["get"] = {**_reading(address), **security}
    if address.action:
        found["post"] = {**_changing(address, address.action), **security}
    return found


def _reading(address: Address) -> dict[str, Any]:
    page = address.page
    trouble = [*page.refuses, *([429] if page.waits else []), *([503] if page.runs_program or page.takes_long else [])]
    return {
        "operationId": _name("get", address.path),
        "summary": page.title,
        "parameters": [
            *([_in_path(page.variable)] if page.variable else []),
            *(_parameter(parameter) for parameter in page.parameters),
        ],
        "responses": {
            "200": {
                "description": HTTPStatus(200).phrase,
                "content": {_media(name): {"schema": _schema(name)} for name in address.media_types},
            },
            **_refusals([*_REFUSALS, *trouble]),
        },
    }


def _changing(address: Address, action: Action) -> dict[str, Any]:
    fields = {name: {"description": words} for name, words in action.fields}
    trouble = [503] if address.page.runs_program else []
    return {
        "operationId": _name("post", address.path),
        "summary": action.title,
        "parameters": [_ACTION_HEADER],
        "requestBody": {"required": True, "content": {"application/json": {"schema": _object(action.parameters)}}},
        "responses": {
            "200": {
                "description": HTTPStatus(200).phrase,
                "content": {"application/json": {"schema": {"type": "object", "properties": fields}}},
            },
            **_refusals([*_REFUSALS, *_ACTION_REFUSALS, *trouble]),
        },
    }


def _refusals(statuses: Iterable[int]) -> dict[str, Any]:
    return {str(status): {"$ref": f"#/components/responses/{status}"} for status in statuses}


def _parameter(parameter: Parameter) -> dict[str, Any]:
    return {
        "name": parameter.name,
        "in": "query",
        "required": parameter.required,
        "description": parameter.words,
        "schema": _with_default(parameter),
    }


def _in_path(parameter: Parameter) -> dict[str, Any]:
    return {**_parameter(parameter), "in": "path", "required": True}


def _object(parameters: Iterable[Parameter]) -> dict[str, Any]:
    parameters = list(parameters)
    required = [parameter.name for parameter in parameters if parameter.required]
    return {
        "type": "object",
        "properties": {
            parameter.name: {**_with_default(parameter), "description": parameter.words} for parameter in parameters
        },
        **({"required": required} if required else {}),
        "additionalProperties": False,
    }


def _with_default(parameter: Parameter) -> dict[str, Any]:
    return {**parameter.kind.schema, **({} if parameter.default is None else {"default": parameter.default})}


def _media(media_type: str) -> str:
    return media_type.partition(";")[0]


def _schema(media_type: str) -> dict[str, Any]:
    return {} if _media(media_type) == "application/json" else {"type": "string"}


def _name(method: str, path: str) -> str:
    words = re.sub(r"[-./]", "_", path.strip("/")).replace("{", "").replace("}", "")
    return f"{method}_{words or 'index'}"
