"""What `key …` prints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bkctl.render.info import fact_lines
from bkctl.text import moment, table


def show_lines(result: Mapping[str, Any]) -> list[str]:
    """Repository, key, file."""
    return fact_lines(result)


def sheet_lines(result: Mapping[str, Any]) -> list[str]:
    """The sheet as it is to be printed."""
    return str(result["text"]).splitlines()


def prove_lines(result: Mapping[str, Any]) -> list[str]:
    """That the key fits."""
    slot = f" (slot {result['slot']})" if result.get("slot") else ""
    return [f"Proved: that key opens the repository{slot}."]


def add_lines(result: Mapping[str, Any]) -> list[str]:
    """The new slot; where a key was made, as a key file: `--output FILE` gives what `--password-file FILE` takes."""
    told = f"Added slot {result['slot']}{_label(result)}."
    if not result.get("key"):
        return [told]
    whose = f" to repository {result['repository']}" if result.get("repository") else ""
    return [f"# {told[:-1]}{whose}. Its key, shown this once:", str(result["key"])]


def list_lines(result: Mapping[str, Any]) -> list[str]:
    """A table of slots."""
    rows = [
        (slot["name"], slot["kind"], slot["label"] or "", moment(slot["created"]), str(slot["epoch"]))
        for slot in result["slots"]
    ]
    return table(rows, ("SLOT", "KIND", "LABEL", "CREATED", "EPOCH"), frozenset({4})) or ["No slots."]


def remove_lines(result: Mapping[str, Any]) -> list[str]:
    """The slot that is gone."""
    return [f"Removed slot {result.get('slot', '')}{_label(result)}."]


def changed_lines(result: Mapping[str, Any]) -> list[str]:
    """What has changed, one fact a line."""
    return ["Done.", *fact_lines({name: value for name, value in result.items() if _is_told(value)})]


def _label(result: Mapping[str, Any]) -> str:
    return f" ({result['label']})" if result.get("label") else ""


def _is_told(value: object) -> bool:
    return value is not None and not isinstance(value, dict | bool) and value != []
