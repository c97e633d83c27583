"""How far a check is, as it tells it now and then."""

from __future__ import annotations

from backupd.model import events


def check_progress(entries: int, read_bytes: int, total_bytes: int, elapsed: float) -> events.Progress:
    """entries: of trees. total_bytes: of the blocks to be read; 0: none are."""
    left = elapsed * (total_bytes - read_bytes) / read_bytes if total_bytes and read_bytes else None
    return events.Progress(
        step="check",
        files_done=entries,
        bytes_done=read_bytes,
        bytes_total=total_bytes or None,
        eta_seconds=left,
        elapsed_seconds=elapsed,
    )
