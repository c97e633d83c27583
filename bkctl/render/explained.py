"""Why paths are in a set's backups or not, as text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from bkctl.text import escape


def explained_lines(result: Mapping[str, Any]) -> Iterator[str]:
    """A line for each path, and below it one for each tolerance rule."""
    for found in result["paths"]:
        verdict = "in " if found["included"] else "out"
        yield f"{verdict}  {escape(found['path'])}: {_reason(found)}{_existence(found)}"
        for one in found["tolerance"] if found["included"] or found["reason"] == "unreadable" else []:
            yield f"     {one['kind']}: {one['tolerance']}, by tolerance rule {one['place']}, {_rule(one)}"


def _existence(found: Mapping[str, Any]) -> str:
    if found["exists"]:
        return ""
    return " (whether it exists can't be seen)" if found["hidden"] else " (does not exist)"


def _rule(found: Mapping[str, Any]) -> str:
    said = escape(found["text"])
    return f"'{escape(found['name'])}': {said}" if found["name"] is not None else said


def _reason(found: Mapping[str, Any]) -> str:
    rule = found["rule"]
    said = escape(found["message"])
    if found["reason"] == "source" and found["shortcut"] is not None:
        said = f"{said} ({escape(found['shortcut'])})"
    if rule is not None and rule["name"] is not None:
        said = f"'{escape(rule['name'])}', {said}"
    if found["reason"] == "type":
        said = f"types: {said}"
    if found["decided_at"] is not None and found["reason"] != "unreadable":
        return f"{escape(found['decided_at'])} is left out: {said}"
    return said
