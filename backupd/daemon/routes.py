"""The whole table of the API: every verb with its role, and the document that describes it."""

from __future__ import annotations

from typing import Any

import msgspec

from backupd import __version__
from backupd.daemon import destination_routes, job_routes, query_routes, set_routes, system_routes
from backupd.daemon.gate import EVERYONE
from backupd.daemon.route import Call, Route
from backupd.model.orders import Struct

_REFERENCE = "#/components/schemas/{name}"
_PARTS = {"{set}": "set", "{destination}": "destination", "{job}": "job", "{name}": "name"}


class Failure(Struct, frozen=True, kw_only=True):
    """What every verb answers that could not be done."""

    exit: int
    error: dict[str, Any]
    """code, message, hint, retryable, context."""


async def describe(call: Call) -> dict[str, Any]:
    """The OpenAPI document of this very table."""
    return document()


ROUTES: list[Route] = [
    *system_routes.ROUTES,
    *set_routes.ROUTES,
    *destination_routes.ROUTES,
    *job_routes.ROUTES,
    *query_routes.ROUTES,
    Route("GET", "/v1/openapi.json", "daemon api", EVERYONE, None, None, describe, "This document."),
]


def document() -> dict[str, Any]:
    """The API as OpenAPI 3.1."""
    bodies = [route.body for route in ROUTES if route.body is not None]
    answers = [route.answer for route in ROUTES if route.answer is not None]
    types = list(dict.fromkeys([*bodies, *answers, Failure]))
    _, components = msgspec.json.schema_components(types, ref_template=_REFERENCE)
    paths: dict[str, Any] = {}
    for route in ROUTES:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "backupd",
            "version": __version__,
            "description": "The daemon's API on its Unix socket. Times: nanoseconds since 1970 UTC; bytes: base64.",
        },
        "paths": paths,
        "components": {"schemas": components},
    }


def _operation(route: Route) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": route.name.replace(" ", "_"),
        "summary": route.summary,
        "x-roles": list(route.roles),
        "parameters": [
            *({"name": p, "in": "path", "required": True, "schema": {"type": "string"}} for p in _path_parts(route)),
            *({"name": name, "in": "query", "schema": {"type": "string"}} for name in route.query),
        ],
        "responses": {
            "200": {"description": "Done.", "content": _content(route)},
            "default": {"description": "Not done.", "content": {"application/json": {"schema": _ref(Failure)}}},
        },
    }
    if route.body is not None:
        operation["requestBody"] = {"content": {"application/json": {"schema": _ref(route.body)}}}
    return operation


def _path_parts(route: Route) -> list[str]:
    return [name for mark, name in _PARTS.items() if mark in route.path]


def _content(route: Route) -> dict[str, Any]:
    if route.answer is not None:
        return {"application/json": {"schema": _ref(route.answer)}}
    if route.name == "daemon api":
        return {"application/json": {"schema": {"type": "object"}}}
    return {"application/x-ndjson": {"schema": {"type": "string"}}}


def _ref(kind: type) -> dict[str, str]:
    return {"$ref": _REFERENCE.format(name=kind.__name__)}
