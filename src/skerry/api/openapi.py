"""The OpenAPI document, made from the same table as the routes."""

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Struct

import skerry
from skerry import wire
from skerry.api.routing import Operation

# What may stand in a path.
_PARTS: dict[str, Any] = {
    "name": wire.BoxName,
    "image": wire.ImageName,
    "checkpoint": wire.CheckpointName,
    "hold": wire.HoldName,
    "service": wire.ServiceName,
    "session": wire.Id,
    "token": wire.Id,
    "which": wire.Id,
}
_REASONS = {
    200: "Done", 201: "Made", 204: "Done", 206: "A part of it", 400: "The request is wrong",
    401: "No token, or a wrong one", 403: "Not allowed", 404: "Not found",
    405: "The path does not take this method", 409: "Its state does not allow this",
    410: "It has ended", 413: "Too large", 416: "No such part", 429: "A limit was reached",
    500: "Skerry failed", 501: "Not built yet", 503: "The machine cannot do this now",
    507: "No space is left",
}  # fmt: skip


def document(operations: Sequence[Operation]) -> dict[str, Any]:
    """Return the OpenAPI 3.1 document of operations."""
    operations = [each for each in operations if each.documented]
    shapes = {t for o in operations for t in _shapes(o)} | {wire.Error}
    ordered = sorted(shapes, key=str)
    schemas, components = msgspec.json.schema_components(
        ordered, schema_hook=_any, ref_template="#/components/schemas/{name}"
    )
    schema_of = dict(zip(ordered, schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        path = operation.path if operation.scope is None else "/v1" + operation.path
        paths.setdefault(path, {})[operation.method.lower()] = _operation(operation, schema_of)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Skerry",
            "version": skerry.__version__,
            "description": "A cloud of your own. `/v1/sprites` answers as `/v1/boxes` does.",
        },
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _any(kind: type) -> dict[str, Any]:
    """Return the schema of `object`, the one type of ours that msgspec does not know."""
    if kind is object:
        return {"description": "Any JSON value"}
    raise NotImplementedError(kind)


def _shapes(operation: Operation) -> list[Any]:
    shapes: list[Any] = [t for t in (operation.body, operation.answer) if t is not None]
    return shapes


def _operation(operation: Operation, schema_of: dict[Any, Any]) -> dict[str, Any]:
    told: dict[str, Any] = {
        "operationId": operation.name,
        "summary": operation.summary,
        "parameters": _parameters(operation),
        "responses": _responses(operation, schema_of),
    }
    if operation.scope is not None:
        told["security"] = [{"token": []}]
    if operation.body is not None:
        told["requestBody"] = {
            "required": any(f.required for f in msgspec.structs.fields(operation.body)),
            "content": {"application/json": {"schema": schema_of[operation.body]}},
        }
    elif operation.body_content != "application/json":
        told["requestBody"] = {"content": {operation.body_content: {"schema": {}}}}
    return told


def _parameters(operation: Operation) -> list[dict[str, Any]]:
    names = [part[1:-1] for part in operation.path.split("/") if part.startswith("{")]
    told: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": msgspec.json.schema(_PARTS[name])}
        for name in names
    ]
    if operation.query is not None:
        told += [
            _query_parameter(operation.query, f) for f in msgspec.structs.fields(operation.query)
        ]
    return told


def _query_parameter(query: type[Struct], info: msgspec.structs.FieldInfo) -> dict[str, Any]:
    _, components = msgspec.json.schema_components([query], schema_hook=_any)
    schema = components[query.__name__]["properties"][info.encode_name]
    # A query holds text: null cannot be said, only left out.
    kinds = [kind for kind in schema.get("anyOf", []) if kind.get("type") != "null"]
    if kinds:
        schema = kinds[0] if len(kinds) == 1 else {"anyOf": kinds}
    schema.pop("default", None)
    return {"name": info.encode_name, "in": "query", "required": info.required, "schema": schema}


def _responses(operation: Operation, schema_of: dict[Any, Any]) -> dict[str, Any]:
    content: dict[str, Any] = {}
    if operation.answer is not None and operation.content == "application/json":
        content = {"content": {operation.content: {"schema": schema_of[operation.answer]}}}
    elif operation.status not in (204, 404, 501):
        content = {"content": {operation.content: {"schema": {}}}}
    if operation.also is not None:
        content.setdefault("content", {})[operation.also] = {"schema": {}}
    told = {str(operation.status): {"description": _REASONS[operation.status], **content}}
    if operation.content == "application/octet-stream" and operation.method == "GET":
        told["206"] = {"description": _REASONS[206], **content}
    error = {"content": {"application/json": {"schema": schema_of[wire.Error]}}}
    always = (400, 401, 403, 429, 500, 503) if operation.scope is not None else (500, 503)
    extra = (413,) if operation.body is not None else ()
    for status in sorted({*always, *extra, *operation.errors}):
        told.setdefault(str(status), {"description": _REASONS[status], **error})
    if operation.status in (404, 501):
        told[str(operation.status)] |= error
    return told
