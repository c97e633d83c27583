"""Writes docs/api.md from the table of routes: `python -m backupd.daemon.reference > docs/api.md`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

from backupd.daemon.routes import document

_HEAD = """# API reference

Generated from the routes; `python -m backupd.daemon.reference > docs/api.md` writes it anew. The daemon gives the same
as an OpenAPI 3.1 document at `/v1/openapi.json`.

HTTP/1.1 over the daemon's Unix socket; bodies and answers are JSON in UTF-8. Times are nanoseconds since 1970 UTC,
bytes are base64. Who asks is known from the socket; what that user may do stands in `access:` of backupd.yaml, and each
verb below names the roles that may use it. A field or parameter that nobody here knows is refused with the nearest
right name.

```
curl --unix-socket /run/backupd/backupd.sock http://localhost/v1/sets
curl --unix-socket /run/backupd/backupd.sock http://localhost/v1/backups --json '{"sets": ["home"]}'
```

Limits: 64 connections a user, of which the one that has been idle longest makes room for the next; 10 s for a head,
10 s for a body of 4 MiB at most. What could not be done is answered with a status of 400 or more and a `Failure`.
Answers that are lines (`application/x-ndjson`) have an object a line, `type` says of which kind; `done` or `failed` is
the last. Who reads slowly loses the oldest of them, never the last.
"""


def reference() -> str:
    """The whole page."""
    made = document()
    lines = [_HEAD]
    for tag in (one["name"] for one in made["tags"]):
        lines += [f"## {tag}", ""]
        for path, verbs in made["paths"].items():
            for method, operation in verbs.items():
                if operation["tags"] == [tag]:
                    lines += _verb(method.upper(), path, operation)
    lines += ["## Statuses", "", "| status | is |", "|---|---|"]
    operation = made["paths"]["/v1/daemon"]["get"]
    lines += [f"| {status} | {one['description']} |" for status, one in operation["responses"].items()]
    lines += ["", "## Bodies and answers", ""]
    for name, schema in sorted(made["components"]["schemas"].items()):
        lines += _struct(name, schema)
    return "\n".join(lines).rstrip() + "\n"


def _verb(method: str, path: str, operation: dict[str, Any]) -> Iterator[str]:
    yield f"### {method} {path}"
    yield ""
    yield operation["description"]
    yield ""
    yield f"- Roles: {', '.join(operation['x-roles'])}"
    for one in operation["parameters"]:
        if one["in"] == "query":
            yield f"- `{one['name']}` ({_type(one['schema'])}): {one['description']}"
    body = operation.get("requestBody")
    if body is not None:
        yield f"- Body: {_type(body['content']['application/json']['schema'])}"
    for kind, content in operation["responses"]["200"]["content"].items():
        yield f"- Answer: {_content(kind, content)}"
    yield ""


def _content(kind: str, content: dict[str, Any]) -> str:
    if "x-line" in content:
        return f"lines of {_type(content['x-line'])}"
    return _type(content["schema"]) if kind == "application/json" else f"`{kind}`"


def _struct(name: str, schema: dict[str, Any]) -> Iterator[str]:
    yield f"### {name}"
    yield ""
    yield " ".join(schema.get("description", "").split("\n\n")[0].split())
    yield ""
    if schema.get("properties"):
        yield "| field | type | default |"
        yield "|---|---|---|"
        for field, one in schema["properties"].items():
            default = "" if field in schema.get("required", ()) else _default(one)
            yield f"| `{field}` | {_type(one)} | {default} |"
        yield ""


def _default(schema: dict[str, Any]) -> str:
    return f"`{_json(schema['default'])}`" if "default" in schema else "as the type's"


def _json(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "null" if value is None else f'"{value}"' if isinstance(value, str) else str(value)


def _type(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[1]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(_type(one) for one in schema["anyOf"]))
    values = schema.get("enum") or ([schema["const"]] if "const" in schema else [])
    if values:
        return ", ".join(f"`{_json(one)}`" for one in values)
    return _plain_type(schema, schema.get("type", "anything"))


def _plain_type(schema: dict[str, Any], kind: str) -> str:
    if kind == "array":
        return f"list of {_type(schema.get('items', {}))}"
    if kind == "object":
        inner = schema.get("additionalProperties")
        return f"map to {_type(inner)}" if isinstance(inner, dict) else "object"
    if schema.get("contentEncoding") == "base64":
        return "base64"
    least, most = schema.get("minimum"), schema.get("maximum")
    return kind if least is None or most is None else f"{kind}, {least} to {most}"


if __name__ == "__main__":
    sys.stdout.write(reference())
