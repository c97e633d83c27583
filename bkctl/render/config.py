"""Text settings as text and as JSON output shows them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from backupd.model.api import Change, ConfigView
from backupd.model.policies import PolicyRule
from backupd.model.sets import ConfigText
from backupd.sizes import count
from bkctl.render.table import table


def change_document(change: Change) -> dict[str, Any]:
    """What a change did, as JSON output shows it."""
    return {"changed": change.changed, "diff": change.diff, "dry_run": change.dry_run}


def applied_lines(change: Change) -> list[str]:
    """A line for each thing and, where it was there before, for each field that changes."""
    if not change.changed:
        return ["Nothing to change."]
    head = "Would change:" if change.dry_run else "Changed:"
    return [head, *(line for thing, fields in sorted(change.diff.items()) for line in _thing_lines(thing, fields))]


def export_lines(config: ConfigText) -> list[str]:
    """The document."""
    if config == ConfigText():
        return ["# No set and no destination yet."]
    lines = msgspec.yaml.encode(config).decode().split("\n")
    if not all(map(str.isprintable, lines)):
        # What can't be shown is escaped on its way out, and an escape counts between quotes only: JSON, which is YAML.
        lines = msgspec.json.format(msgspec.json.encode(config), indent=2).decode().split("\n")
    return lines if lines[-1] else lines[:-1]


def show_lines(found: ConfigView) -> list[str]:
    """The settings in force with their origin, then the files that sets came from."""
    lines = [f"Settings in {found.directory}:"]
    lines += table(["KEY", "VALUE", "FROM"], [[one.key, in_force(one.value), one.origin] for one in found.settings])
    if found.policy:
        rules = [[f"{one.area}.{one.option}", one.kind, _values(one), one.origin] for one in found.policy]
        lines += ["", *table(["LAID DOWN", "AS", "VALUE", "BY"], rules)]
    if found.files:
        heads = ["FILE", "SETS", "DESTINATIONS"]
        rows = [[one.file, ", ".join(one.sets) or "-", ", ".join(one.destinations) or "-"] for one in found.files]
        if any(one.notices or one.contacts for one in found.files):
            heads += ["NOTICES", "CONTACTS"]
            for row, one in zip(rows, found.files, strict=True):
                row += [", ".join(one.notices) or "-", ", ".join(one.contacts) or "-"]
        lines += ["", *table(heads, rows)]
    return lines


def _values(rule: PolicyRule) -> str:
    return ", ".join(_shown(one) for one in rule.values)


def check_lines(result: Mapping[str, Any]) -> list[str]:
    """What was looked at, or all that is wrong; of a single fault the error tells."""
    if result["problems"]:
        return list(result["problems"]) if len(result["problems"]) > 1 else []
    names = ("file", "set", "destination", *(name for name in ("notice", "contact") if result[name + "s"]))
    return [f"Good: {', '.join(count(len(result[name + 's']), name) for name in names)}."]


def _thing_lines(thing: str, fields: Mapping[str, Any]) -> list[str]:
    if "name" in fields and fields["name"]["from"] is None:
        return [f"  {thing}: new"]
    return [f"  {thing}: {name}: {_shown(one['from'])} -> {_shown(one['to'])}" for name, one in fields.items()]


def in_force(value: object) -> str:
    """`-` for what is not set: beside the origin `default` the word would stand for a value."""
    return "-" if value is None or value in ("", [], {}) else _shown(value)


def _shown(value: object) -> str:
    if value is None or value == "":
        return "default" if value is None else "''"
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def proxy_lines(result: Mapping[str, Any]) -> list[str]:
    """A line for each step through a proxy."""
    lines = [f"{result['proxy']} to {result['to']}"]
    for step in result["steps"]:
        reason = f": {step['error']['message']}" if step["error"] is not None else ""
        lines.append(f"  {step['name']:<10}  {step['verdict']}{reason}")
    return lines
