"""The OpenAPI document: what FastAPI cannot see of the routes is added to it.

Every operation says that its errors are problems; routes that answer with bytes, or take them, say
of which kind; those that answer with objects, which fields they have.
"""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from pydantic import TypeAdapter

from ml_dash.server.shapes import SHAPES
from ml_dash.wire import API, FRAMES

_RUN = f"{API}/runs/{{run}}"
_FORM = "application/x-www-form-urlencoded"
_ANY = "*/*"
_BYTES = "application/octet-stream"
_ARRAYS = "application/x-ml-dash-arrays"
_JSON = "application/json"

PROBLEM = {
    "type": "object",
    "required": ["type", "title", "status", "detail", "code"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "one sentence for a person"},
        "code": {"type": "string", "description": "a stable word for programs"},
    },
}
"""How errors are told (RFC 9457)."""

OAUTH_ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {"error": {"type": "string"}, "error_description": {"type": "string"}},
}
"""How errors of OAuth are told (RFC 6749, 5.2)."""

ANSWERS: dict[tuple[str, str], dict[str, tuple[str, ...]]] = {
    ("get", f"{_RUN}/blobs/batch"): {"200": (FRAMES,)},
    ("get", f"{_RUN}/blobs/{{sha256}}"): {"200": (_ANY,), "206": (_ANY,), "304": ()},
    ("get", f"{_RUN}/files/{{path}}"): {"200": (_ANY,), "206": (_ANY,), "304": ()},
    ("get", f"{_RUN}/segments/{{path}}"): {"200": (_BYTES, _JSON), "206": (_BYTES,)},
    ("get", f"{_RUN}/streams/{{name}}/rows"): {
        "200": ("application/x-ndjson", "application/vnd.apache.arrow.stream", "text/csv")
    },
    ("get", f"{_RUN}/streams/{{name}}/chart"): {"200": (_JSON, _ARRAYS), "304": ()},
    ("get", f"{_RUN}/streams/{{name}}/index"): {"200": (_JSON, _ARRAYS), "304": ()},
    ("get", f"{_RUN}/events"): {"200": ("text/event-stream",)},
    ("post", "/oauth/revoke"): {"200": ()},
    ("post", f"{API}/runs"): {"201": (_JSON,)},
    ("post", f"{API}/namespaces/{{namespace}}/projects"): {"200": (_JSON,)},
}
"""Media types of good answers, beyond what the routes declare; none: without a body."""

BODIES: dict[tuple[str, str], tuple[str, tuple[str, ...]]] = {
    ("post", f"{_RUN}/append"): (FRAMES, ()),
    ("post", f"{_RUN}/blobs"): (FRAMES, ()),
    ("post", f"{_RUN}/lost/rows"): (FRAMES, ()),
    ("put", f"{_RUN}/uploads/{{upload}}"): (_BYTES, ()),
    ("post", "/oauth/device_authorization"): (_FORM, ("client_id", "scope", "client_name")),
    ("post", "/oauth/token"): (
        _FORM,
        ("grant_type", "client_id", "device_code", "refresh_token", "scope"),
    ),
    ("post", "/oauth/revoke"): (_FORM, ("token", "token_type_hint")),
}
"""Bodies that routes read by themselves: media type, and the fields of a form."""


def install(app: FastAPI) -> None:
    """Have the document of `app` say all of this."""
    make = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            _complete(make())
        return make()  # which FastAPI keeps

    app.openapi = openapi  # type: ignore[method-assign]  # as FastAPI's documentation has it


def _complete(document: dict[str, Any]) -> None:
    parts = document.setdefault("components", {})
    parts.setdefault("schemas", {}).update(Problem=PROBLEM, OAuthError=OAUTH_ERROR)
    parts["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    for name in ("HTTPValidationError", "ValidationError"):  # FastAPI's own, which we do not send
        parts["schemas"].pop(name, None)
    shapes = _shapes(parts["schemas"])
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            _complete_answers((method, path), operation)
            if (shape := shapes.get((method, path))) is not None:
                _describe(operation, shape)
            _complete_body((method, path), operation)
            if path.startswith(API) and path not in (f"{API}/health", f"{API}/ready"):
                operation["security"] = [{"token": []}]


def _shapes(schemas: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    """The schema of what each route answers with; those that it names are added to `schemas`."""
    adapters = [(key, "serialization", TypeAdapter(kind)) for key, kind in SHAPES.items()]
    found, named = TypeAdapter.json_schemas(
        adapters,  # type: ignore[arg-type]  # "serialization" is one of its words
        ref_template="#/components/schemas/{model}",
    )
    more = named.get("$defs", {})
    if twice := more.keys() & schemas.keys():
        raise ValueError(f"two schemas of one name: {sorted(twice)}")
    schemas.update(more)
    return {key: schema for (key, _), schema in found.items()}


def _describe(operation: dict[str, Any], shape: dict[str, Any]) -> None:
    for status, answer in operation["responses"].items():
        if status in ("200", "201") and _JSON in answer.get("content", {}):
            answer["content"][_JSON] = {"schema": shape}


def _complete_answers(key: tuple[str, str], operation: dict[str, Any]) -> None:
    answers = operation["responses"]
    answers.pop("422", None)
    for status, kinds in ANSWERS.get(key, {}).items():
        said = answers.setdefault(status, {"description": "Successful Response"})
        known = said.get("content", {})
        said["content"] = {kind: known.get(kind, {}) for kind in kinds}
    problem = {"schema": {"$ref": "#/components/schemas/Problem"}}
    refused = {"schema": {"$ref": "#/components/schemas/OAuthError"}}
    content = {"application/problem+json": problem}
    if key[1].startswith("/oauth/"):
        content[_JSON] = refused
    answers["4XX"] = {"description": "Refused; `code` says why", "content": content}
    answers["5XX"] = {
        "description": "Not now, or a defect",
        "content": {"application/problem+json": problem},
    }


def _complete_body(key: tuple[str, str], operation: dict[str, Any]) -> None:
    if key not in BODIES:
        return
    kind, fields = BODIES[key]
    schema: dict[str, Any] = {"type": "string", "format": "binary"}
    if fields:
        properties = {field: {"type": "string"} for field in fields}
        schema = {"type": "object", "properties": properties}
    operation["requestBody"] = {"required": True, "content": {kind: {"schema": schema}}}
