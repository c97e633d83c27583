"""Scheduled runs that failed for a while only are tried again, before the next one is due."""

from __future__ import annotations

from collections.abc import Callable
from datetime import tzinfo
from typing import Any

import msgspec

from backupd.catalog.jobs import StoredJob
from backupd.clock import to_datetime
from backupd.daemon.requests import BackupRequest

_DELAYS_SECONDS = (300, 900, 3600)
"""After the first failure, the second, and each one after that."""
_SECOND_NS = 1_000_000_000


def next_try(
    stored: StoredJob, request: BackupRequest, next_due_ns: int | None, destination_id: Callable[[str], str | None]
) -> BackupRequest | None:
    """What is tried again of a scheduled run, and when; None: nothing is.

    stored: as it ended. next_due_ns: when the set runs anyway. destination_id: by name; None: it is gone.
    """
    if request.schedule is None or request.dry_run or stored.finished_ns is None:
        return None
    failed = _failed(stored)
    if not failed or not all(error.get("retryable") for error in failed.values()):
        failed = {name: error for name, error in failed.items() if error.get("retryable")}
    if not failed:
        return None
    at_ns = stored.finished_ns + _DELAYS_SECONDS[min(request.attempt, len(_DELAYS_SECONDS) - 1)] * _SECOND_NS
    if next_due_ns is not None and next_due_ns <= at_ns:
        return None
    to = [found for name in failed if name and (found := destination_id(name)) is not None]
    return msgspec.structs.replace(
        request,
        to=to or request.to,
        attempt=request.attempt + 1,
        not_before_ns=at_ns,
        waits_because=str(next(iter(failed.values())).get("message", ""))[:512],
    )


def held_back(request: BackupRequest, now_ns: int, zone: tzinfo) -> str:
    """What a run waits for that is tried again later; empty: its time has come."""
    if now_ns >= request.not_before_ns:
        return ""
    at = to_datetime(request.not_before_ns).astimezone(zone).strftime("%H:%M %Z")
    return f"its next try at {at}: {request.waits_because}"


def _failed(stored: StoredJob) -> dict[str, dict[str, Any]]:
    """Name of each destination at which the run failed -> its error; one without a name: the run as a whole."""
    runs = (stored.result or {}).get("runs") or []
    places = [one for run in runs for one in run.get("destinations") or []]
    failed = {str(one.get("name")): one["error"] for one in places if isinstance(one.get("error"), dict)}
    if not failed and stored.state == "failed" and stored.error is not None:
        failed = {"": stored.error}
    return failed
