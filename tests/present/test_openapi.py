"""The pages for programs: the document is OpenAPI 3.1 and says what the tables say.

The rules checked here are those of the specification that such a document
can break: objects with their required fields and no other, references that
lead somewhere, unique operation ids, parameters that are told apart.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from monkit_core import Registry
from monkit_present.app import make_access
from monkit_present.catalogue import PAGES
from monkit_present.pages import Address, addresses
from tests.http_helpers import PLACES, TOKEN, ask, served

METHODS = {"get", "put", "post", "delete", "options", "head", "patch", "trace"}
FIELDS = {
    "document": (
        {"openapi", "info"},
        {"jsonSchemaDialect", "servers", "paths", "webhooks", "components", "security", "tags", "externalDocs"},
    ),
    "info": ({"title", "version"}, {"summary", "description", "termsOfService", "contact", "license"}),
    "server": ({"url"}, {"description", "variables"}),
    "path": (set(), METHODS | {"$ref", "summary", "description", "servers", "parameters"}),
    "operation": (
        set(),
        {
            "tags",
            "summary",
            "description",
            "externalDocs",
            "operationId",
            "parameters",
            "requestBody",
            "responses",
            "callbacks",
            "deprecated",
            "security",
            "servers",
        },
    ),
    "parameter": (
        {"name", "in"},
        {
            "description",
            "required",
            "deprecated",
            "allowEmptyValue",
            "style",
            "explode",
            "allowReserved",
            "schema",
            "example",
            "examples",
            "content",
        },
    ),
    "body": ({"content"}, {"description", "required"}),
    "response": ({"description"}, {"headers", "content", "links"}),
    "media": (set(), {"schema", "example", "examples", "encoding"}),
    "components": (
        set(),
        {
            "schemas",
            "responses",
            "parameters",
            "examples",
            "requestBodies",
            "headers",
            "securitySchemes",
            "links",
            "callbacks",
            "pathItems",
        },
    ),
}
"""Of each object of the specification, the fields that it must and that it may have."""

SCHEMA_WORDS = {
    "type", "properties", "required", "additionalProperties", "enum", "const", "default", "pattern", "maxLength",
    "minimum", "maximum", "exclusiveMinimum", "description",
}  # fmt: skip
TYPES = {"string", "number", "integer", "boolean", "object", "array", "null"}


def check_object(kind: str, found: Any) -> None:
    assert isinstance(found, dict), kind
    required, allowed = FIELDS[kind]
    assert required <= found.keys(), (kind, found)
    assert {name for name in found if not name.startswith("x-")} <= required | allowed, (kind, found)


def check_schema(schema: Any) -> None:
    assert isinstance(schema, dict)
    assert schema.keys() <= SCHEMA_WORDS
    assert schema.get("type", "string") in TYPES
    re.compile(schema.get("pattern", ""))
    if "default" in schema:
        kinds: dict[str, Any] = {"string": str, "integer": int, "number": (int, float), "boolean": bool}
        assert isinstance(schema["default"], kinds[schema["type"]])
    for inner in schema.get("properties", {}).values():
        check_schema(inner)
    assert set(schema.get("required", [])) <= schema.get("properties", {}).keys()


def check_content(content: Any) -> None:
    assert content
    for media_type, media in content.items():
        assert re.fullmatch(r"[a-z]+/[a-z0-9.+-]+", media_type)
        check_object("media", media)
        check_schema(media["schema"])


def check_response(response: Any, components: dict[str, Any]) -> None:
    if "$ref" in response:
        assert response.keys() == {"$ref"}
        name = response["$ref"].removeprefix("#/components/responses/")
        response = components["responses"][name]
    check_object("response", response)
    check_content(response["content"])


def check_operation(path: str, method: str, operation: Any, components: dict[str, Any]) -> None:
    check_object("operation", operation)
    parameters = operation["parameters"]
    assert len({(item["name"], item["in"]) for item in parameters}) == len(parameters)
    for item in parameters:
        check_object("parameter", item)
        assert item["in"] in {"query", "header", "path", "cookie"}
        assert ("schema" in item) != ("content" in item)
        check_schema(item["schema"])
    in_path = [item for item in parameters if item["in"] == "path"]
    assert [item["name"] for item in in_path] == re.findall(r"\{(\w+)\}", path)
    assert all(item["required"] for item in in_path)
    assert operation["responses"]
    for status, response in operation["responses"].items():
        assert re.fullmatch(r"default|[1-5](\d\d|XX)", status)
        check_response(response, components)
    assert ("requestBody" in operation) == (method == "post")
    if method == "post":
        check_object("body", operation["requestBody"])
        check_content(operation["requestBody"]["content"])
    for requirement in operation["security"]:
        assert requirement.keys() <= components.get("securitySchemes", {}).keys()


def check_document(document: Any) -> None:
    check_object("document", document)
    assert re.fullmatch(r"3\.1\.\d+", document["openapi"])
    assert {"paths", "components", "webhooks"} & document.keys()
    check_object("info", document["info"])
    for server in document["servers"]:
        check_object("server", server)
    components = document["components"]
    check_object("components", components)
    for group in components.values():
        assert all(re.fullmatch(r"[a-zA-Z0-9._-]+", name) for name in group)
    for scheme in components.get("securitySchemes", {}).values():
        assert scheme["type"] in {"apiKey", "http", "mutualTLS", "oauth2", "openIdConnect"}
        assert scheme.keys() == ({"type", "scheme"} if scheme["type"] == "http" else {"type", "in", "name"})
    names = []
    for path, item in document["paths"].items():
        assert path.startswith("/")
        check_object("path", item)
        for method in METHODS & item.keys():
            check_operation(path, method, item[method], components)
            names.append(item[method]["operationId"])
    assert len(set(names)) == len(names)


@pytest.fixture(scope="module")
def guarded() -> Iterator[dict[str, Any]]:
    access = make_access(TOKEN, everybody=False, open_health=True)
    with served(Registry(), access=access) as server:
        document = ask(server, "/openapi.json", headers=[("Authorization", f"Bearer {TOKEN}")]).json
        yield {**document, "port": server.port}


def test_document_keeps_the_rules_of_openapi(guarded: dict[str, Any]) -> None:
    check_document({name: value for name, value in guarded.items() if name != "port"})


def test_document_of_an_open_port_keeps_them_too() -> None:
    with served(Registry()) as server:
        answer = ask(server, "/openapi.json")
        assert answer.header("content-type") == "application/json; charset=utf-8"
        check_document(answer.json)
        assert answer.json["servers"] == [{"url": f"http://localhost:{server.port}"}]
        assert "securitySchemes" not in answer.json["components"]
        assert all(not operation["security"] for _, _, operation in operations(answer.json))
        assert "/sign-in" not in answer.json["paths"]


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in document["paths"].items():
        for method, operation in item.items():
            yield path, method, operation


def test_every_address_is_in_the_document_and_no_other(guarded: dict[str, Any]) -> None:
    assert guarded["paths"].keys() == {place.path for page in PAGES for place in addresses(page)}


@pytest.mark.parametrize("place", PLACES, ids=lambda place: str(place.path))
def test_address_is_described_as_in_the_tables(guarded: dict[str, Any], place: Address) -> None:
    item = guarded["paths"][place.path]
    assert item.keys() == {method.lower() for method in place.methods} - {"head"}
    if place.formats:
        reading = item["get"]
        assert [parameter["name"] for parameter in reading["parameters"]] == [p.name for p in place.page.parameters]
        assert reading["summary"] == place.page.title
        media_types = [media_type.partition(";")[0] for media_type in place.media_types]
        assert list(reading["responses"]["200"]["content"]) == media_types
    if place.action:
        body = item["post"]["requestBody"]["content"]["application/json"]["schema"]
        assert list(body["properties"]) == [parameter.name for parameter in place.action.parameters]
        assert body["additionalProperties"] is False


def test_bounds_and_defaults_are_those_of_the_tables(guarded: dict[str, Any]) -> None:
    parameters = {item["name"]: item["schema"] for item in guarded["paths"]["/trace/json"]["get"]["parameters"]}
    assert parameters == {
        "regex": {"type": "string", "maxLength": 1000},
        "trace_id": {"type": "string", "pattern": "^([0-9a-fA-F]{1,16}|[0-9a-fA-F]{32})$"},
        "preselect": {"type": "boolean", "default": True},
        "min_duration": {"type": "string", "pattern": "^([0-9]*(\\.[0-9]*)?(ns|us|µs|μs|ms|s|m|h))+$"},
        "errors": {"type": "string", "enum": ["only"]},
        "tag.KEY": {"type": "string", "maxLength": 1000},
        "count": {"type": "integer", "minimum": 1, "maximum": 100, "default": 1},
        "max_spans": {"type": "integer", "minimum": 1, "maximum": 100_000, "default": 10_000},
        "timeout": {"type": "number", "exclusiveMinimum": 0, "maximum": 86_400, "default": 3600},
    }


def test_what_needs_a_token_says_so(guarded: dict[str, Any]) -> None:
    both: list[dict[str, list[str]]] = [{"token": []}, {"session": []}]
    open_to_all = {path for path, _, operation in operations(guarded) if operation["security"] == []}
    assert open_to_all == {"/health", "/sign-in"}
    assert all(item["security"] == both for path, _, item in operations(guarded) if path not in open_to_all)
    assert guarded["components"]["securitySchemes"] == {
        "token": {"type": "http", "scheme": "bearer"},
        "session": {"type": "apiKey", "in": "cookie", "name": f"monkit-{guarded['port']}"},
    }


def test_header_of_changes_is_in_the_document(guarded: dict[str, Any]) -> None:
    for path, method, operation in operations(guarded):
        headers = [item["name"] for item in operation["parameters"] if item["in"] == "header"]
        assert headers == (["X-Monkit-Action"] if method == "post" else []), path


def test_statuses_that_pages_answer_are_in_the_document(guarded: dict[str, Any]) -> None:
    expected = {
        ("/", "get"): {"200", "400", "401", "403"},
        ("/stats", "get"): {"200", "400", "401", "403", "409", "503"},
        ("/trace/svg", "get"): {"200", "400", "401", "403", "429"},
        ("/stats/mark", "post"): {"200", "400", "401", "403", "413", "415", "503"},
    }
    for (path, method), statuses in expected.items():
        assert guarded["paths"][path][method]["responses"].keys() == statuses
