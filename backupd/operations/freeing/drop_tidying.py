"""Drop records, of which every run reads each, are put together."""

from __future__ import annotations

from backupd.errors import BackupError
from backupd.operations.context import JobContext
from backupd.operations.freeing.report import Report
from backupd.operations.places import OpenPlace
from backupd.repository.dropping import merge_drops


def tidy_drops(context: JobContext, place: OpenPlace, report: Report) -> None:
    """What fails here fails nothing: the next freeing does it."""
    try:
        host_id = bytes.fromhex(context.host.host_id)
        report.removed_drops += merge_drops(place.records, context.clock.now_ns(), host_id)
    except BackupError as error:
        if context.cancel.is_requested:
            raise
        context.warn(f"the drop records were not put together, which the next freeing does: {error.message}")
