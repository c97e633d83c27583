"""The OpenAPI document of a table of routes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_args

import msgspec

from backupd import __version__
from backupd.daemon.parameters import schema_of
from backupd.daemon.route import Route
from backupd.model.events import FromJob
from backupd.model.structs import Struct

_REFERENCE = "#/components/schemas/{name}"
_PARTS = {
    "set": "Name, id, or the beginning of an id, of a set.",
    "destination": "Name, id, the beginning of an id, or the place, of a destination.",
    "job": "Id of a job, or its beginning.",
    "name": "Under which the question was asked.",
    "notice": "Name, id, or the beginning of an id, of a notice.",
    "contact": "Name, id, or the beginning of an id, of a contact.",
}
_STREAMS = {
    "daemon api": ("application/json", {"type": "object"}),
    "status metrics": ("text/plain", {"type": "string"}),
}
"""Of the verbs that answer with no struct; all others answer with lines."""
_FAILURES = {
    "400": "The request does not fit.",
    "403": "The caller's role does not allow it.",
    "404": "No such set, destination, job, repository, snapshot or path.",
    "409": "It contradicts what is there, or a job of that set is under way.",
    "413": "The body is over 4 MiB.",
    "417": "An expectation that nobody here knows.",
    "422": "Understood, and not to be done: wrong key, damage, a place out of reach.",
    "503": "Too much at once for this user; nothing was begun, try again.",
    "507": "No space left for the daemon's state.",
}


class ErrorFields(Struct, frozen=True, kw_only=True):
    """An error as people and scripts get it."""

    code: str
    """Of docs/errors.md; never translated, never reused."""
    message: str
    hint: str
    """What to do next; may be empty."""
    retryable: bool
    context: dict[str, Any]


class Failure(Struct, frozen=True, kw_only=True):
    """What every verb answers that could not be done."""

    exit: int
    """The exit code that bkctl ends with."""
    error: ErrorFields


def document(routes: Sequence[Route]) -> dict[str, Any]:
    """The API as OpenAPI 3.1."""
    bodies = [route.body for route in routes if route.body is not None]
    answers = [route.answer for route in routes if route.answer is not None]
    types = list(dict.fromkeys([*bodies, *answers, *get_args(FromJob), Failure]))
    _, components = msgspec.json.schema_components(types, ref_template=_REFERENCE)
    paths: dict[str, Any] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "backupd",
            "version": __version__,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
            "description": "The daemon's API on its Unix socket. Times: nanoseconds since 1970 UTC; bytes: base64.",
        },
        "servers": [{"url": "http://localhost", "description": "Over the Unix socket; any host name will do."}],
        "tags": [{"name": name} for name in dict.fromkeys(_tag(route) for route in routes)],
        "paths": paths,
        "components": {"schemas": components},
    }


def _operation(route: Route) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": route.name.replace(" ", "_"),
        "tags": [_tag(route)],
        "summary": route.summary,
        "description": (route.handle.__doc__ or "").strip(),
        "x-roles": list(route.roles),
        "parameters": [*_path_parameters(route), *_query_parameters(route)],
        "responses": {"200": {"description": "Done.", "content": _content(route)}, **_failures()},
    }
    if route.body is not None:
        content = {"application/json": {"schema": _ref(route.body)}}
        operation["requestBody"] = {"required": True, "content": content}
    return operation


def _path_parameters(route: Route) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            "description": text,
            "schema": {"type": "string", "minLength": 1},
        }
        for name, text in _PARTS.items()
        if f"{{{name}}}" in route.path
    ]


def _query_parameters(route: Route) -> list[dict[str, Any]]:
    found = []
    for name in route.query:
        schema = dict(schema_of(route.name, name))
        found.append({"name": name, "in": "query", "description": schema.pop("description", ""), "schema": schema})
    return found


def _failures() -> dict[str, Any]:
    content = {"application/json": {"schema": _ref(Failure)}}
    return {status: {"description": text, "content": content} for status, text in _FAILURES.items()}


def _content(route: Route) -> dict[str, Any]:
    if route.answer is not None:
        return {"application/json": {"schema": _ref(route.answer)}}
    if route.name in _STREAMS:
        kind, schema = _STREAMS[route.name]
        return {kind: {"schema": schema}}
    # OpenAPI 3.1 has no word for a stream: each line is one of these.
    return {"application/x-ndjson": {"x-line": {"anyOf": [_ref(kind) for kind in get_args(FromJob)]}}}


def _tag(route: Route) -> str:
    return route.path.split("/")[2]


def _ref(kind: type) -> dict[str, str]:
    return {"$ref": _REFERENCE.format(name=kind.__name__)}
