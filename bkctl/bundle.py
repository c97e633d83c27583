"""What a helper needs, in one file: versions, settings, how all stands, the last jobs and logs; secrets struck out."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from backupd import __version__
from backupd.errors import BackupError, ConflictError
from backupd.model.api import ConfigView, DestinationList, JobList, LogPage, Overview, SetList
from backupd.model.status import Finding, StatusReport
from backupd.model.striking import strike
from bkctl.archive import tar_gz
from bkctl.daemon_client import DaemonClient
from bkctl.output import OutputFile, encode
from bkctl.render.jobs import log_document
from bkctl.service.installing import manager_of
from bkctl.service.programs import ask
from bkctl.service.scope import Scope
from bkctl.text import escape

TOP = "backupd-bundle"
_JOBS, _LOGS, _LINES = 50, 10, 500
"""So many jobs, so many of them with their logs' last lines; as many lines of the daemon's own messages."""


def collected(client: DaemonClient, scope: Scope, findings: Sequence[Finding]) -> dict[str, bytes]:
    """The files of the bundle by their names; for what is refused, why. Each has its secrets struck out."""
    documents = dict(_documents(client, scope, findings))
    files = {f"{TOP}/{name}.json": _json(document) for name, document in documents.items()}
    messages = _messages(scope)
    if messages:
        files[f"{TOP}/messages.txt"] = "".join(f"{escape(str(strike(line)))}\n" for line in messages).encode()
    return files


def write_bundle(path: str, files: Mapping[str, bytes]) -> None:
    """Write it, 0600 and whole. Raises ConflictError where something has that name, BackupError."""
    if os.path.lexists(path):
        raise ConflictError(f"{escape(path)} is there already", hint="give another FILE")
    file = OutputFile(path, is_secret=True)
    try:
        file.stream.write(tar_gz(files, int(os.fstat(file.stream.fileno()).st_mtime)))
    except OSError as error:
        file.abandon()
        raise BackupError(f"{path} can't be written: {error.strerror}", hint="give another FILE") from error
    file.commit()


def _documents(
    client: DaemonClient, scope: Scope, findings: Sequence[Finding]
) -> Iterator[tuple[str, Any]]:
    system = os.uname()
    yield "findings", findings
    yield (
        "versions",
        {
            "bkctl": __version__,
            "python": sys.version,
            "system": f"{system.sysname} {system.release} {system.machine}",
        },
    )
    for name, path, kind in (
        ("daemon", "/v1/daemon", Overview),
        ("sets", "/v1/sets", SetList),
        ("destinations", "/v1/destinations", DestinationList),
        ("status", "/v1/status", StatusReport),
        ("settings", "/v1/config", ConfigView),
    ):
        yield name, _got(client, path, kind)
    jobs = _got(client, f"/v1/jobs?limit={_JOBS}", JobList)
    yield "jobs", jobs
    for job in jobs.jobs[:_LOGS] if isinstance(jobs, JobList) else []:
        yield f"logs/{job.id}", _last_lines(client, job.id)
    yield "service", _service(scope)


def _json(document: Any) -> bytes:
    built = strike(msgspec.to_builtins(document, str_keys=True))
    if isinstance(built, dict) and isinstance(built.get("settings"), list):
        # A setting's name stands beside its value, where no field's name strikes it out.
        built["settings"] = [_setting(one) for one in built["settings"]]
    return msgspec.json.format(encode(built), indent=2) + b"\n"


def _setting(entry: dict[str, Any]) -> dict[str, Any]:
    struck = strike({entry["key"]: entry["value"]})
    assert isinstance(struck, dict)
    return {**entry, "value": struck[entry["key"]]}


def _got(client: DaemonClient, path: str, kind: Any) -> Any:
    try:
        return client.get(path, kind)
    except BackupError as error:
        return {"not_told": error.message}


def _last_lines(client: DaemonClient, job_id: str) -> Any:
    page = _got(client, f"/v1/jobs/{job_id}/log?last={_LINES}&limit={_LINES}", LogPage)
    return [log_document(line) for line in page.lines] if isinstance(page, LogPage) else page


def _service(scope: Scope) -> Any:
    """Its files and how its manager says that it stands."""
    try:
        manager = manager_of(scope)
        files = {path: data.decode(errors="replace") for path, data in manager.installed().items()}
        manager.require()
        return {"manager": manager.name, "files": files, "standing": manager.standing()}
    except BackupError as error:
        return {"not_told": error.message}


def _messages(scope: Scope) -> list[str]:
    """The daemon's own messages, where the journal keeps them and shows them to us."""
    words = ["journalctl", "--no-pager", "--output=short-iso", f"--lines={_LINES}"]
    try:
        answer = ask([*words, "--unit=backupd" if scope.is_system else "--user-unit=backupd"])
    except BackupError:
        return []
    return [line for line in answer.out.splitlines() if not line.startswith("-- ")] if not answer.code else []
