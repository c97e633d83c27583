"""What `once` prints: on the first run how to keep the key, always how to get everything back."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from backupd.model.places import is_place
from backupd.sizes import count, format_bytes, format_seconds
from bkctl.render.figures import common_reason, counted, joined, kind_lines, problem_lines
from bkctl.render.migration import migration_lines
from bkctl.render.retention import left_words
from bkctl.text import escape, moment

_SEALED_WITH = {
    "default": "encrypted with a new random key",
    "password": "encrypted with your password",
    "custom": "encrypted with a new key and the cipher you chose",
    "none": "not encrypted: its key lies in it, readable by all who read the place",
}


def once_lines(result: Mapping[str, Any]) -> list[str]:
    """The text of CLI.md's first run, or of a later one."""
    repository = result.get("repository") or {}
    is_dry = bool(result.get("dry_run"))
    lines: list[str] = []
    for run in result.get("runs", []):
        if not is_dry:
            lines += _key_lines(repository, run.get("key") or {})
        lines += _run_lines(run, is_dry)
        if not is_dry and run.get("restore_command"):
            lines.append(f"All back:   {run['restore_command']}")
            if run.get("restore_one_command"):
                lines.append(f"One file:   {run['restore_one_command']}")
            if run.get("retention_command"):
                lines.append(f"Older ones: all stay; by the set's policy: {run['retention_command']}")
    return lines


def _key_lines(repository: Mapping[str, Any], key: Mapping[str, Any]) -> list[str]:
    if not repository.get("created"):
        return []
    encryption = repository.get("encryption", "default")
    sealed = _SEALED_WITH.get(encryption, encryption)
    lines = [f"New repository {repository['short']} in {repository['place']}, {sealed}."]
    if encryption == "none":
        return lines
    lost = "Without that password" if encryption == "password" else "Without that key"
    kept = f" The only copy: {key['file']}" if key.get("file") and encryption != "password" else ""
    lines.append(f"{lost} nobody reads this backup, you neither.{kept}")
    if key.get("file") and encryption == "password":
        lines.append(f"Kept for later runs of this user: {key['file']}")
    what = "Print the sheet" if encryption == "password" else "Print it"
    sheet = key.get("sheet_command") or f"bkctl key sheet --from {shlex.quote(repository['place'])}"
    return [*lines, f"{what}, keep it apart from computer and disk:  {sheet}"]


def _run_lines(run: Mapping[str, Any], is_dry: bool) -> list[str]:
    files, sizes, problems = run.get("files", {}), run.get("bytes", {}), run.get("problems") or {}
    stored = sum(destination.get("stored_bytes") or 0 for destination in run.get("destinations", []))
    is_first = files.get("new", 0) == files.get("seen", 0)
    facts = joined(
        [
            count(files.get("seen", 0), "file") + ("" if is_first else _changes(run, is_dry)),
            f"{format_bytes(sizes.get('read', 0))} {'to read' if is_dry else 'read'}",
            "" if is_dry else f"{format_bytes(stored)} stored",
            format_seconds(run.get("seconds", 0.0)),
        ]
    )
    named = problem_lines(problems)
    if is_first and problems.get("count", 0) == files.get("left_out", 0) and common_reason(problems):
        named = []
    end = _left_out(files, problems, "" if named else common_reason(problems))
    head = "Dry run, nothing stored: " if is_dry else ""
    lines = [f"{head}{run.get('set') or 'no set'}: {facts}{end}."]
    if run.get("incomplete"):
        lines.append("Stopped before the end: what is stored stays, the next run goes on from there.")
    lines += named
    lines += kind_lines(problems)
    lines += [
        f"  {destination['name']}: {destination['verdict']}: {_of_place(destination)}"
        for destination in run.get("destinations", [])
        if destination.get("error")
    ]
    lines += [line for destination in run.get("destinations", []) for line in _retention_lines(destination)]
    lines += [
        f"  {escape(destination['name'])}: locked until {moment(destination['locked']['until'])} at least"
        for destination in run.get("destinations", [])
        if destination.get("locked")
    ]
    return [*lines, *_link_lines(run.get("links") or {}), *migration_lines(run, is_dry)]


def _link_lines(links: Mapping[str, Any]) -> list[str]:
    outside, followed = links.get("outside", 0), links.get("followed", 0)
    if not outside:
        return []
    lead = f"  {count(outside, 'link')} lead{'s' * (outside == 1)} outside"
    if not followed:
        return [f"{lead}: --follow-links"]
    return [f"{lead}, to {count(followed, 'file or directory', 'files or directories')} stored as well"]


def _retention_lines(destination: Mapping[str, Any]) -> list[str]:
    done = destination.get("retention")
    if done is None:
        return []
    if done["error"]:
        return [f"  {escape(destination['name'])}: no older snapshot was dropped: {_message(done['error'])}"]
    dropped = count(done["dropped"], "older snapshot")
    lines = [f"  {escape(destination['name'])}: {dropped} dropped, {done['kept']:,} kept ({escape(done['policy'])})"]
    if done["left"]:
        lines.append(f"  {left_words(done['left'])}")
    name = str(destination["name"])
    words = f"--from {shlex.quote(name)}" if is_place(name) else "--all"
    return [*lines, f"  Their space comes back with: bkctl free {words}"] if done["dropped"] else lines


def _of_place(destination: Mapping[str, Any]) -> str:
    """Its error, its name said once."""
    return _message(destination["error"]).removeprefix(f"{destination['name']}: ")


def _message(error: object) -> str:
    """What went wrong at a destination, as a person reads it."""
    message = error.get("message", error) if isinstance(error, Mapping) else error
    return str(escape(str(message)))


def _changes(run: Mapping[str, Any], is_dry: bool) -> str:
    files = run.get("files", {})
    # A dry run reads nothing: what may have changed is all that it knows.
    changed = "perhaps changed" if is_dry else "changed"
    changes = joined(
        [
            f"{files.get('new', 0):,} new" if files.get("new") else "",
            f"{files.get('changed', 0):,} {changed}" if files.get("changed") else "",
            f"{files.get('gone', 0):,} gone" if files.get("gone") else "",
        ]
    )
    if run.get("incomplete"):
        # A run cut short has not looked at all of them.
        return f" ({changes})" if changes else ""
    return f" ({changes or 'nothing changed'})"


def _left_out(files: Mapping[str, Any], problems: Mapping[str, Any], reason: str) -> str:
    left_out, met = files.get("left_out", 0), problems.get("count", 0)
    if left_out:
        return f"; {left_out:,} left out{reason if met else ' by rule'}"
    return f"; {counted(met, 'problem')}{reason}" if met else ""
