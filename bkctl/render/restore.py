"""What `restore` and `decrypt` print."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from backupd.model.streams import ALL_DATABASES
from backupd.sizes import count, format_bytes, format_seconds
from bkctl.render.figures import joined, problem_lines
from bkctl.text import moment


def restore_lines(result: Mapping[str, Any]) -> list[str]:
    """What came back and where it lies; of a dry run, what would."""
    database = result.get("database")
    if database is not None:
        return _database_lines(result, database)
    if result.get("dry_run"):
        return _plan_lines(result)
    files, sizes = result.get("files", {}), result.get("bytes", {})
    facts = joined(
        [
            f"{count(files.get('restored', 0), 'file')} restored",
            *_others(files),
            format_bytes(sizes.get("restored", 0)),
            f"{format_bytes(result['verified']['bytes'])} read back and equal" if result.get("verified") else "",
            format_seconds(result.get("seconds", 0.0)),
        ]
    )
    return [f"{_origin(result)}{facts}.", *_target(result), *problem_lines(result.get("problems") or {})]


def _database_lines(result: Mapping[str, Any], database: Mapping[str, Any]) -> list[str]:
    words = f"{_origin(result)}{database['stream']}"
    is_server = database["name"] == ALL_DATABASES and database["kind"] != "sqlite"
    if result.get("dry_run"):
        to = "onto its server, which is empty" if is_server else f"into {database['name']}, which is empty or new"
        return [f"Dry run, nothing written: {words} can go {to}."]
    facts = f"{format_bytes(result['bytes']['restored'])}, {format_seconds(result.get('seconds', 0.0))}"
    to = "on its server" if is_server else f"in the database {database['name']}"
    return [f"{words} is {to}: {facts}."]


def _plan_lines(result: Mapping[str, Any]) -> list[str]:
    plan = result.get("plan") or []
    lines = [f"{step['action']:<10}  {step['path']}" for step in plan]
    if any(step["action"] == "ask" for step in plan):
        lines.append("ask: newer than the snapshot's; replaced only after a question, --yes or --overwrite always")
    steps = count(len(plan), "step") if plan else "nothing to do, all is there already"
    return [*lines, f"Dry run, nothing written: {_origin(result)}{steps}."]


def _origin(result: Mapping[str, Any]) -> str:
    if not result.get("set"):
        return ""
    time = f" of {moment(result['time'])}" if result.get("time") else ""
    return f"{result['set']}{time}: "


def _others(files: Mapping[str, Any]) -> list[str]:
    words = (("same", "the same already"), ("skipped", "skipped"), ("failed", "failed"), ("deleted", "deleted"))
    return [f"{files[name]:,} {text}" for name, text in words if files.get(name)]


def _target(result: Mapping[str, Any]) -> list[str]:
    target, restored = result.get("target"), result.get("files", {}).get("restored", 0)
    if not target:
        return []
    subject = "It lies" if restored == 1 else "They lie"
    return [
        f"{subject} where {'it' if restored == 1 else 'they'} came from" if target == "/" else f"{subject} in {target}"
    ]
