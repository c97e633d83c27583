"""Bodies of requests: JSON of a known shape; what does not fit is told with its path and the nearest right name."""

from __future__ import annotations

import difflib
import re
from typing import Any

import msgspec
from msgspec import inspect

from backupd.errors import UsageError
from backupd.wire.malformed import MALFORMED

_PATH = re.compile(r" - at `(?:key in )?(\$[^`]*)`")
_UNKNOWN = re.compile(r"Object contains unknown field `([^`]*)`")
_MOST_COMPARED = 64
"""Characters of a name that is compared with the known ones: with millions of them it would take long."""
_STEP = re.compile(r"\.([^.\[]+)|\[(\d+|\.\.\.)\]")


def read_body(data: bytes, shape: Any, verb: str) -> Any:
    """A body of that shape. verb: name of the route, for the hint. Raises UsageError."""
    try:
        return msgspec.json.decode(data, type=shape)
    except MALFORMED as error:
        raise _explained(str(error), data, shape, verb) from error


def _explained(message: str, data: bytes, shape: Any, verb: str) -> UsageError:
    found = _PATH.search(message)
    path = found[1] if found else "$"
    text = _PATH.sub("", message)
    where = f" (at {path.removeprefix('$').lstrip('.')})" * (path != "$")
    hint = f"see {verb} in /v1/openapi.json"
    unknown = _UNKNOWN.search(text)
    if unknown is not None:
        try:
            value = msgspec.json.decode(data)
        except MALFORMED as error:
            # A second fault, behind the unknown name.
            return UsageError(f"the body does not fit: {error}", hint=hint)
        known = _fields_at(shape, value, path)
        near = difflib.get_close_matches(unknown[1][:_MOST_COMPARED], known, 1, 0.5)
        text = f"'{unknown[1][:_MOST_COMPARED]}' is not known here"
        hint = f"did you mean {near[0]}?" if near else f"known here: {', '.join(known)}"
    return UsageError(f"the body does not fit: {text}{where}", hint=hint)


def _fields_at(shape: Any, value: Any, path: str) -> list[str]:
    """Names of the fields that the struct at a path of a message has."""
    info = _chosen(inspect.type_info(shape), value)
    for name, index in _STEP.findall(path):
        if name and isinstance(info, inspect.StructType) and isinstance(value, dict):
            value = value.get(name)
            info = next((field.type for field in info.fields if field.encode_name == name), info)
        elif index.isdigit() and isinstance(value, list):
            value = value[int(index)] if int(index) < len(value) else None
            info = getattr(info, "item_type", info)
        info = _chosen(info, value)
    return [field.encode_name for field in info.fields] if isinstance(info, inspect.StructType) else []


def _chosen(info: inspect.Type, value: Any) -> inspect.Type:
    """Of several types the one that the value says it is."""
    if isinstance(info, inspect.UnionType):
        structs = [one for one in info.types if isinstance(one, inspect.StructType)]
        tag = value.get("type") if isinstance(value, dict) else None
        return next((one for one in structs if one.tag == tag), structs[0] if structs else info)
    return info
