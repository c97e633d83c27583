"""What `daemon …` prints."""

from __future__ import annotations

import os
import shlex
from typing import Any

from backupd.sizes import count
from bkctl.render.times import rfc3339, shown
from bkctl.service.installing import Change
from bkctl.service.scope import Scope, linger_file, user_name
from bkctl.service.standing import Stands
from bkctl.text import pairs


def change_document(scope: Scope, change: Change, dry_run: bool) -> dict[str, Any]:
    """A change of the service as JSON output shows it."""
    return {
        "scope": scope.name,
        "changed": change.is_one,
        "diff": change.diff,
        "dry_run": dry_run,
        "commands": change.commands,
    }


def change_lines(change: Change, dry_run: bool) -> list[str]:
    """A line each step."""
    wrote, removed, ran = ("would write", "would remove", "would run") if dry_run else ("wrote", "removed", "ran")
    lines = [f"{wrote if one['to'] is not None else removed}  {path}" for path, one in change.diff.items()]
    lines += [f"{ran}  {shlex.join(words)}" for words in change.commands]
    return lines or ["Nothing to change."]


def after_install(scope: Scope, *, is_started: bool, dry_run: bool) -> list[str]:
    """What comes next."""
    if dry_run:
        return []
    if scope.root:
        return ["The daemon starts with that system."]
    lines = ["How it stands: bkctl daemon status" if is_started else "It starts at boot. Now: bkctl daemon start"]
    if scope.is_system:
        return [*lines, "Who is to reach it: usermod -aG GROUP USER, GROUP being the socket's; rights: docs/access.md"]
    if not os.path.exists(linger_file()):
        lines.append("It ends when you log out, unless: loginctl enable-linger")
    return lines


def after_uninstall(doomed: list[str], change: Change, *, is_purge: bool, dry_run: bool) -> list[str]:
    """What went besides, what stays."""
    word = "would remove" if dry_run else "removed"
    lines = [f"{word}  {path}, with all that is in it" for path in doomed]
    if dry_run:
        return lines
    if not is_purge:
        lines.append("Settings, catalog and keys stay; --purge removes them, too.")
    return [*lines, "What destinations hold stays. The program itself: pip uninstall backupd"]


def status_document(found: Stands) -> dict[str, Any]:
    """How the service stands, as JSON output shows it."""
    standing, overview = found.standing, found.overview
    return {
        "scope": found.scope.name,
        "manager": found.manager,
        "installed": found.is_installed,
        "outdated": found.outdated,
        "enabled": standing.is_enabled if standing else None,
        "activity": standing.activity if standing else None,
        "listens": standing.listens if standing else None,
        "restarts": standing.restarts if standing else None,
        "doing": standing.status if standing else None,
        "program": standing.program if standing else None,
        "socket": found.socket,
        "answers": overview is not None,
        "pid": overview.pid if overview else standing.pid if standing else None,
        "version": overview.version if overview else None,
        "started": rfc3339(overview.started_ns) if overview else None,
        "jobs_running": overview.jobs_running if overview else None,
        "jobs_queued": overview.jobs_queued if overview else None,
        "next": found.next,
    }


def status_lines(found: Stands) -> list[str]:
    """The same for people."""
    standing, overview = found.standing, found.overview
    facts: list[tuple[str, object]] = [("service", _service(found))]
    if standing is not None:
        facts.append(("at boot", "starts" if standing.is_enabled else "does not start"))
        facts.append(("state", _state(found)))
    if overview is not None:
        facts.append(("answers", f"backupd {overview.version}, process {overview.pid}, at {found.socket}"))
        facts.append(("since", shown(overview.started_ns)))
        facts.append(("jobs", f"{count(overview.jobs_running, 'job')} running, {overview.jobs_queued} waiting"))
    else:
        facts.append(("answers", f"no, at {found.socket}"))
    facts += [("next", one) for one in found.next]
    return pairs(facts)


def _service(found: Stands) -> str:
    whose = "the machine's" if found.scope.is_system else f"{user_name()}'s own"
    if found.manager is None:
        return f"{whose}; no service manager answers here"
    if not found.is_installed:
        return f"{whose}, not installed"
    files = f"; {count(len(found.outdated), 'file')} not as install would write: {', '.join(found.outdated)}"
    return f"{whose}, of {found.manager}{files if found.outdated else ''}"


def _state(found: Stands) -> str:
    standing = found.standing
    assert standing is not None
    parts: list[str] = [standing.activity]
    parts += [f"restarted {count(standing.restarts, 'time')} by itself"] * bool(standing.restarts)
    parts += ["starts when somebody asks"] * (standing.listens and standing.activity == "stopped")
    parts += [standing.status] * bool(standing.status)
    return "; ".join(parts)
