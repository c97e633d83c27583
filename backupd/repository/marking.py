"""Marks what a snapshot reaches, thousands of chunks at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from backupd.errors import DamageError
from backupd.repository.live_chunks import LiveChunks
from backupd.snapshot import naming
from backupd.snapshot.records import Snapshot
from backupd.tree.reaching import Reached

BATCH_CHUNKS = 32_768
"""Looked up at once."""


def mark_reached(
    pieces: Iterable[Reached], marks: LiveChunks, snapshot: Snapshot, tick: Callable[[], None], hint: str
) -> None:
    """Mark all of these pieces, which the snapshot reaches. tick: called after each.

    Raises DamageError, with that hint, where no block that is there holds one of the chunks.
    """
    ids, lengths = bytearray(), list[int]()
    for piece in pieces:
        tick()
        ids += piece.ids
        lengths += piece.lengths
        if len(lengths) >= BATCH_CHUNKS:
            _mark(bytes(ids), lengths, marks, snapshot, hint)
            ids, lengths = bytearray(), []
    _mark(bytes(ids), lengths, marks, snapshot, hint)


def _mark(ids: bytes, lengths: list[int], marks: LiveChunks, snapshot: Snapshot, hint: str) -> None:
    lost = marks.mark(ids, lengths)
    if lost:
        raise DamageError(
            f"snapshot {naming.snapshot_id_text(snapshot.id)[:9]} needs chunk {lost[:32].hex()[:16]}, "
            "and no block that is there holds it",
            hint=hint,
        )
