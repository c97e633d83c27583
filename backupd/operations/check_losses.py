"""What of each snapshot a check found nowhere: how much that is, and a digest of just that."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator

import msgspec
from blake3 import blake3

from backupd.repository.tree_check import Hit
from backupd.rules.loss_limits import is_beyond
from backupd.rules.retention.plan_ids import plan_id
from backupd.snapshot.notes import LossNote
from backupd.snapshot.records import Snapshot

_MOST_PATHS = 1_000_000
"""So many are told apart, in all snapshots together; of further ones those of the snapshot with most of them count."""
_DIGEST_BYTES = 16
_DIGESTS = 1 << (8 * _DIGEST_BYTES)


class SnapshotLoss:
    """Of one snapshot; grows as its trees are walked."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self.paths: dict[int, int] = {}
        """Size by a hash of the path."""
        self.further_files = self.further_bytes = 0
        self.has_unlisted = False
        self.chunks: set[int] = set()
        self._digest = 0

    def add(self, hit: Hit, *, is_kept: bool) -> None:
        """A path that can't be had whole. is_kept: whether there is room to tell it from others."""
        key = int.from_bytes(blake3(hit.path).digest(8), "big")
        what = blake3(hit.path + b"\0" + hit.lost).digest(_DIGEST_BYTES)
        # A sum, for a file may be told in parts and directories in another order the next time.
        self._digest = (self._digest + int.from_bytes(what, "big")) % _DIGESTS
        self.has_unlisted |= hit.is_directory
        if hit.is_directory or key in self.paths:
            pass
        elif is_kept:
            self.paths[key] = hit.size_bytes
            self.chunks.update(int.from_bytes(hit.lost[at : at + 8], "big") for at in range(0, len(hit.lost), 32))
        else:
            self.further_files += 1
            self.further_bytes += hit.size_bytes

    @property
    def note(self) -> LossNote:
        """As it is noted when it is given up."""
        files, size_bytes = len(self.paths) + self.further_files, sum(self.paths.values()) + self.further_bytes
        return LossNote(files, size_bytes, self._digest.to_bytes(_DIGEST_BYTES, "big").hex())


class SetLoss(msgspec.Struct, frozen=True):
    """What a set has lost in all of its snapshots together: a path counts once, with its largest version.

    Where there are more paths than are told apart, at least so much.
    """

    set_id: bytes
    set_name: str
    snapshots: list[SnapshotLoss]
    """Those with a loss, the newest first."""
    files: int
    bytes: int
    of_files: int
    """Of its largest snapshot that was checked."""
    has_unlisted: bool
    chunks: int

    @property
    def plan(self) -> str:
        """The same id for just this loss."""
        notes = sorted(f"{one.snapshot.id.hex()} {one.note.text}" for one in self.snapshots)
        return plan_id(self.set_id.hex(), *notes)

    @property
    def is_beyond_limits(self) -> bool:
        """Whether somebody has to decide."""
        return is_beyond(self.files, self.bytes, self.of_files, has_unlisted=self.has_unlisted)


class Losses:
    """Of all snapshots that a check walks."""

    def __init__(self) -> None:
        self._by_snapshot: dict[bytes, SnapshotLoss] = {}
        self._kept = 0

    def add(self, snapshot: Snapshot, hit: Hit) -> None:
        """A path of a snapshot can't be had whole."""
        loss = self._by_snapshot.setdefault(snapshot.id, SnapshotLoss(snapshot))
        before = len(loss.paths)
        loss.add(hit, is_kept=self._kept < _MOST_PATHS)
        self._kept += len(loss.paths) - before

    def forget(self) -> None:
        """The trees are walked again."""
        self._by_snapshot.clear()
        self._kept = 0

    def of_snapshot(self, snapshot_id: bytes) -> SnapshotLoss | None:
        """None: all of it is there."""
        return self._by_snapshot.get(snapshot_id)

    def by_set(self, checked: Iterable[Snapshot], given_up: Container[tuple[bytes, str]]) -> Iterator[SetLoss]:
        """What is lost of each set, but for snapshots of which just that was given up before.

        checked: all snapshots that were walked. given_up: (snapshot id, digest) of those.
        """
        by_set: dict[bytes, list[Snapshot]] = {}
        for snapshot in checked:
            by_set.setdefault(snapshot.set_id, []).append(snapshot)
        for set_id, snapshots in by_set.items():
            found = [self._by_snapshot[one.id] for one in snapshots if one.id in self._by_snapshot]
            fresh = [loss for loss in found if (loss.snapshot.id, loss.note.of) not in given_up]
            if fresh:
                yield _together(set_id, snapshots, fresh)


def _together(set_id: bytes, snapshots: list[Snapshot], losses: list[SnapshotLoss]) -> SetLoss:
    sizes: dict[int, int] = {}
    for loss in losses:
        for key, size in loss.paths.items():
            sizes[key] = max(size, sizes.get(key, 0))
    newest = max(snapshots, key=lambda one: one.started_ns)
    return SetLoss(
        set_id=set_id,
        set_name=newest.set_name,
        snapshots=losses,
        # Of paths that are not told apart one snapshot's alone count: others may have lost the same.
        files=max([len(sizes), *(loss.note.files for loss in losses)]),
        bytes=max([sum(sizes.values()), *(loss.note.bytes for loss in losses)]),
        of_files=max(one.file_count for one in snapshots),
        has_unlisted=any(loss.has_unlisted for loss in losses),
        chunks=len(set().union(*(loss.chunks for loss in losses))),
    )
