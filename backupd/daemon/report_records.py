"""From rows of the catalog to the lines of a report; pure."""

from __future__ import annotations

from typing import Any

import msgspec

from backupd.catalog.reports import ReportRow
from backupd.model.reports import Counts, Report, status_of

_BACKUP = {
    "seen": "seen",
    "new": "new",
    "changed": "changed",
    "attributes": "attributes",
    "deleted": "gone",
    "failed": "failed",
}
"""Field of a report -> that of a backup's result."""
_MISSED_ERROR = "it was due and never began"


def report_of(row: ReportRow) -> Report:
    """A line of a report."""
    facts = _decoded(row.facts)
    error = facts.get("error") if row.facts is not None else _decoded(row.error)
    message = str((error or {}).get("message") or "")
    status = status_of(row.state)
    is_backup = row.kind == "backup"
    place, sizes = _place(facts), _part(facts, "bytes")
    return Report(
        job=row.job_id,
        kind=row.kind,  # type: ignore[arg-type]
        status=status,
        set_name=row.set_name,
        set_id=row.set_id,
        destination=row.destination_name,
        schedule=row.schedule,
        created_ns=row.created_ns,
        started_ns=row.started_ns,
        # A missed run has the moment at which that was noted; it did not end, for it never began.
        finished_ns=row.finished_ns if status != "missed" else None,
        exit_code=row.exit_code,
        error=message or (_MISSED_ERROR if status == "missed" else ""),
        snapshot=row.snapshot,
        files=_files(row.kind, facts),
        bytes=_bytes(row.kind, facts),
        plain_bytes=_number(sizes, "new"),
        stored_bytes=_number(place, "stored_bytes") if is_backup else _number(sizes, "copied"),
        held_bytes=_number(place, "held_bytes") if is_backup else _number(sizes, "held"),
        free_bytes=_number(place, "free_bytes"),
        freed_bytes=_number(facts, "freed_bytes"),
        problems=_problems(facts),
        problem_kinds=_by_kind(facts, "kinds"),
        tolerated=_by_kind(facts, "tolerated"),
    )


def _files(kind: str, facts: dict[str, Any]) -> Counts:
    told = _part(facts, "files")
    if kind == "restore":
        return Counts(
            fetched=_number(told, "restored"), deleted=_number(told, "deleted"), failed=_number(told, "failed")
        )
    return _apart(Counts(**{name: _number(told, theirs) for name, theirs in _BACKUP.items()}))


def _bytes(kind: str, facts: dict[str, Any]) -> Counts:
    told = _part(facts, "bytes")
    if kind != "backup":
        return Counts(fetched=_number(told, "fetched"))
    # `new` of the result are chunks that the destination lacked, which is another question.
    by_files = {name: _number(told, f"{theirs}_files") for name, theirs in _BACKUP.items() if name != "seen"}
    return _apart(Counts(**by_files, seen=_number(told, "seen"), read=_number(told, "read")))


def _apart(counts: Counts) -> Counts:
    """A result counts what changed in its attributes alone among the changed, a report beside them."""
    if counts.changed is None or counts.attributes is None:
        return counts
    return msgspec.structs.replace(counts, changed=max(0, counts.changed - counts.attributes))


def _problems(facts: dict[str, Any]) -> int:
    """Of a check the findings, of others the entries."""
    told = facts.get("problems")
    return told if isinstance(told, int) else _number(told, "count") or 0


def _by_kind(facts: dict[str, Any], name: str) -> dict[str, int]:
    told = _part(_part(facts, "problems"), name)
    return {kind: number for kind, number in told.items() if isinstance(number, int)}


def _place(facts: dict[str, Any]) -> dict[str, Any]:
    """The entry of the destination: what a run at one of them keeps has one."""
    entries = facts.get("destinations")
    found = [one for one in entries if isinstance(one, dict)] if isinstance(entries, list) else []
    return found[0] if found else {}


def _part(facts: dict[str, Any], name: str) -> dict[str, Any]:
    found = facts.get(name)
    return found if isinstance(found, dict) else {}


def _number(told: object, name: str) -> int | None:
    found = told.get(name) if isinstance(told, dict) else None
    return found if isinstance(found, int) else None


def _decoded(text: str | None) -> dict[str, Any]:
    """What a run of another version kept, or a worn disk gave back, is shown as far as it goes."""
    try:
        return msgspec.json.decode(text, type=dict[str, Any]) if text is not None else {}
    except msgspec.MsgspecError:
        return {}
