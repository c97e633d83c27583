"""Backup sets as text and as JSON output shows them."""

from __future__ import annotations

from typing import Any

import msgspec

from backupd.model.api import Change, SetChange, SetList, SetView
from backupd.model.retention import policy_of
from backupd.model.retention_words import meaning, policy_words
from backupd.model.sets import SetText
from bkctl.render.config import in_force
from bkctl.render.table import table
from bkctl.render.times import rfc3339
from bkctl.text import escape


def document(found: SetView) -> dict[str, Any]:
    """A set as JSON output shows it: all settings, the defaults too."""
    settings = {name: getattr(found.text, name) for name in found.text.__struct_fields__}
    built: dict[str, Any] = msgspec.to_builtins(settings)
    return {
        "id": found.id,
        **built,
        **({"shortcuts": msgspec.to_builtins(found.shortcuts)} if found.shortcuts is not None else {}),
        "runs_here": found.owner is None or found.owner.is_here,
        "kept_in": found.file,
        "created": rfc3339(found.created_ns),
        "repositories": msgspec.to_builtins(found.repositories),
    }


def list_lines(found: SetList) -> list[str]:
    """A table."""
    if not found.sets:
        return ["No set yet. Make one: bkctl set create NAME --source PATH --to DIRECTORY"]
    has_others = any(one.owner is not None and not one.owner.is_here for one in found.sets)
    rows = [
        [
            one.text.name,
            ", ".join(what_of(one.text)),
            ", ".join(one.text.to),
            *([one.owner.name if one.owner is not None and not one.owner.is_here else ""] if has_others else []),
            "" if one.text.enabled else "off",
        ]
        for one in found.sets
    ]
    return table(["SET", "SOURCES", "TO", *(["OWNER"] if has_others else []), ""], rows)


def what_of(text: SetText) -> list[str]:
    """What a set stores: its sources, and its streams by their names."""
    return [*text.sources, *(f"{one.name} ({one.kind})" for one in text.streams)]


def show_lines(found: SetView) -> list[str]:
    """The set as its text, with where it is stored."""
    head = [f"# Set {found.text.name}, {found.id[:9]}" + f", kept in {found.file}" * bool(found.file)]
    if found.owner is not None and not found.owner.is_here:
        head.append(f"# belongs to {found.owner.name}, which alone runs it")
    for one in found.repositories:
        head.append(f"# stored in {one.destination}: {one.place}")
    head += [f"# {line}" for line in shortcut_lines(found)]
    return [*head, *msgspec.yaml.encode(found.text).decode().splitlines()]


def origin_lines(found: SetView) -> list[str]:
    """Each setting as it holds, and where it comes from."""
    rows = [[one.key, in_force(one.value), escape(one.origin)] for one in found.origins or ()]
    return [f"# Set {found.text.name}, {found.id[:9]}", *table(["KEY", "VALUE", "FROM"], rows)]


def shortcut_lines(found: SetView) -> list[str]:
    """What the shortcuts among the sources mean now."""
    lines: list[str] = []
    for one in found.shortcuts or ():
        said = [*map(escape, one.paths), *(f"without {escape(path)}" for path in one.left_out)]
        said += [escape(one.message)] if one.message else []
        lines.append(f"{one.word}: {', '.join(said)}")
    return lines


def created_lines(made: SetChange) -> list[str]:
    """What was made and what to do next."""
    name = made.set.text.name
    if made.change.dry_run:
        return [f"Set {name} would be made."]
    return [
        f"Set {name}: {', '.join(what_of(made.set.text))} to {', '.join(made.set.text.to)}.",
        *(f"  {line}" for line in shortcut_lines(made.set)),
        *retention_lines(made.set.text),
        f"Run it: bkctl backup {name}",
    ]


def retention_lines(text: SetText) -> list[str]:
    """Which policy holds where, and what that means for deleted files."""
    general = policy_of(text.retention, {}, "")
    lines = [f"Retention: {policy_words(general)}. {meaning(general)}"]
    return [
        *lines,
        *(f"  at {name}: {policy_words(one)}. {meaning(one)}" for name, one in text.retention_at.items()),
    ]


def change_lines(name: str, change: Change) -> list[str]:
    """What changed."""
    if not change.changed:
        return [f"{name}: nothing to change."]
    head = f"{name} would change:" if change.dry_run else f"{name} changed:"
    return [head, *(f"  {field}: {_short(d['from'])} -> {_short(d['to'])}" for field, d in change.diff.items())]


def _short(value: object) -> str:
    if value is None:
        return "default"
    return msgspec.json.encode(value).decode() if isinstance(value, list | dict) else str(value)
