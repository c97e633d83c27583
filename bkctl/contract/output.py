"""docs/output.schema.json, made of the types: `python -m bkctl.contract.output > docs/output.schema.json`."""

from __future__ import annotations

import sys
from typing import Any

import msgspec

from bkctl.contract import (
    checks,
    destinations,
    explained,
    freeing,
    hosts,
    kept,
    notices,
    parts,
    purging,
    reports,
    runs,
    schedules,
    searching,
    seeding,
    service,
    sets,
    stored,
)
from bkctl.output import SCHEMA

_REFERENCE = "#/$defs/{name}"
_JOBS = (runs.BackedUp, runs.Restored, checks.Checked, runs.Replicated, freeing.Freed, purging.PurgedPlace)

RESULTS: dict[str, tuple[type[parts.Shown], ...]] = {
    "once": (runs.BackedUp,),
    "backup": (runs.BackedUp, runs.Begun),
    "restore": (runs.Restored,),
    "check": (checks.Checked, checks.CheckDiscarded),
    "free": (freeing.Freed,),
    "purge": (purging.Purged,),
    "decrypt": (runs.Restored,),
    "status": (kept.Status, hosts.AllHosts),
    "watch": (*_JOBS, runs.Begun),
    "info": (kept.Info,),
    "doctor": (kept.Examination,),
    "completion": (kept.Completion,),
    "daemon install": (service.ChangedService,),
    "daemon uninstall": (service.RemovedService,),
    "daemon start": (service.ChangedService,),
    "daemon stop": (service.ChangedService,),
    "daemon restart": (service.ChangedService,),
    "daemon reload": (parts.Changed,),
    "daemon status": (service.ServiceStatus,),
    "set create": (sets.ChangedSet,),
    "set list": (sets.SetList,),
    "set show": (sets.OneSet,),
    "set edit": (sets.ChangedSet,),
    "set rename": (sets.ChangedSet,),
    "set copy": (sets.ChangedSet,),
    "set enable": (sets.ChangedSet,),
    "set disable": (sets.ChangedSet,),
    "set delete": (sets.ChangedSet,),
    "set apply": (parts.Changed,),
    "set explain": (explained.Explained,),
    "set estimate": (runs.BackedUp,),
    "set suggest": (searching.Suggested,),
    "set coverage": (searching.Covered,),
    "set export": (kept.ConfigExport,),
    "schedule add": (schedules.ChangedSchedule,),
    "schedule edit": (schedules.ChangedSchedule,),
    "schedule remove": (schedules.ChangedSchedule,),
    "schedule list": (schedules.ScheduleList,),
    "schedule next": (schedules.RunsToCome,),
    "destination add": (destinations.ChangedDestination,),
    "destination list": (destinations.DestinationList,),
    "destination show": (destinations.OneDestination,),
    "destination test": (destinations.DestinationTest,),
    "destination heal": (destinations.HealedDestination,),
    "destination uncover": (destinations.UncoveredPlace,),
    "destination sessions": (destinations.WriterSessions, destinations.RevokedSession),
    "destination edit": (destinations.ChangedDestination,),
    "destination rename": (destinations.ChangedDestination,),
    "destination remove": (destinations.ChangedDestination,),
    "destination replicate": (runs.Replicated,),
    "destination seed": (seeding.Seeded, destinations.ChangedDestination),
    "destination adopt": (seeding.Adopted,),
    "job list": (kept.JobList,),
    "job show": (kept.OneJob,),
    "job log": (kept.JobLog,),
    "job wait": _JOBS,
    "job cancel": (kept.ChangedJob,),
    "job pause": (kept.ChangedJob,),
    "job resume": (kept.ChangedJob,),
    "report list": (reports.ReportList,),
    "report export": (reports.ReportExport,),
    "report show": (reports.JobReport,),
    "snapshot list": (stored.SnapshotList,),
    "snapshot show": (stored.SnapshotFacts,),
    "snapshot ls": (stored.Entries,),
    "snapshot diff": (stored.Differences,),
    # Bytes of a file are no JSON.
    "snapshot cat": (),
    "snapshot versions": (stored.Versions,),
    "snapshot pin": (stored.NotedSnapshot,),
    "snapshot unpin": (stored.NotedSnapshot,),
    "snapshot tag": (stored.NotedSnapshot,),
    "retention show": (sets.Policies,),
    "retention set": (sets.ChangedPolicy,),
    "retention plan": (sets.RetentionDone,),
    "retention apply": (sets.RetentionDone,),
    "key show": (stored.KeyFacts,),
    "key sheet": (stored.KeySheet,),
    "key prove": (stored.ProvedKey,),
    "key add": (stored.AddedKey,),
    "key list": (stored.KeySlots,),
    "key remove": (stored.RemovedKey,),
    "key password": (stored.ChangedPassword,),
    "key rotate": (stored.RotatedKey,),
    "notice add": (notices.ChangedNotice,),
    "notice list": (notices.NoticeList,),
    "notice edit": (notices.ChangedNotice,),
    "notice remove": (notices.ChangedNotice,),
    "notice test": (notices.TestedNotice,),
    "contact add": (notices.ChangedContact,),
    "contact list": (notices.ContactList,),
    "contact edit": (notices.ChangedContact,),
    "contact remove": (notices.ChangedContact,),
    "config check": (kept.ConfigCheck,),
    "config show": (kept.Config,),
    "config test-proxy": (kept.ProxyTest,),
    "config set": (parts.Changed,),
    "config apply": (parts.Changed,),
    "config export": (kept.ConfigExport,),
    "config reload": (parts.Changed,),
}
"""Command -> what its `result` may be, besides null with an error."""


def schema() -> dict[str, Any]:
    """JSON Schema of the document that ends every command's JSON output."""
    types = list(dict.fromkeys([parts.Error, *(kind for kinds in RESULTS.values() for kind in kinds)]))
    _, definitions = msgspec.json.schema_components(types, ref_template=_REFERENCE)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "bkctl --json",
        "description": "One document at the end; the last line of --jsonl. Within a schema there are only additions.",
        "type": "object",
        "properties": {
            "schema": {"const": SCHEMA},
            "command": {"type": "string", "description": "Verb, or noun and verb; empty before it was understood."},
            "ok": {"type": "boolean", "description": "Whether exit is 0."},
            "exit": {"type": "integer", "minimum": 0, "maximum": 255},
            "result": {"description": "As `command` says; null where nothing was done."},
            "error": {"anyOf": [_ref(parts.Error), {"type": "null"}]},
            "warnings": {"type": "array", "items": {"type": "string"}},
        },
        "required": ["schema", "command", "ok", "exit", "result", "error", "warnings"],
        "allOf": [_of_command(name, kinds) for name, kinds in sorted(RESULTS.items())],
        "$defs": definitions,
    }


def _of_command(name: str, kinds: tuple[type[parts.Shown], ...]) -> dict[str, Any]:
    allowed = [*map(_ref, kinds), {"type": "null"}]
    return {
        "if": {"properties": {"command": {"const": name}}},
        "then": {"properties": {"result": {"anyOf": allowed}}},
    }


def _ref(kind: type[parts.Shown]) -> dict[str, str]:
    return {"$ref": _REFERENCE.format(name=kind.__name__)}


if __name__ == "__main__":
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(schema()), indent=1).decode() + "\n")
