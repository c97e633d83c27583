"""A small repository with at least one object of every kind, and what every file in it should hold."""

from __future__ import annotations

import copy
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from backupd.destination.contract import Below
from backupd.destination.local import LocalDestination
from backupd.errors import BackupError, DamageError, DestinationError, NewerVersionError
from backupd.model.orders import CheckOrder, Unlock
from backupd.repository import opening
from backupd.repository.index_loading import load_index
from backupd.repository.opening import NewSlot, OpenRepository
from backupd.repository.reader import ChunkReader, SegmentReader, worker_setup
from backupd.repository.records import Records
from backupd.seal.header import ObjectKind
from backupd.seal.slot import new_secret, secret_to_text
from backupd.snapshot import naming
from backupd.snapshot.records import BlockList, Damage, Drop, Note, Session, Snapshot
from backupd.tree.entry import Entry, Kind
from backupd.tree.lists import iterate_chunks
from backupd.tree.nodes import iterate_entries
from tests.support.machine import Machine
from tests.support.small_repository import START_NS, Node, SmallRepository, directory

SESSION = bytes(range(16))


@dataclass
class Checked:
    """How a check ended."""

    exit_code: int
    result: dict[str, Any]
    code: str


class RichRepository:
    """Two snapshots with files of their own and a shared one, and records of all kinds."""

    def __init__(self, above: Path) -> None:
        self.above, self.place = above, above / "place"
        self.small = SmallRepository(self.place)
        self.folder = self.place / self.small.repository.text_id
        random = os.urandom(40_000)
        first = directory(home=directory(same=Node(random[:9_000]), old=Node(random[9_000:12_500])))
        second = directory(home=directory(same=Node(random[:9_000]), new=Node(random[12_500:33_000]), note=Node(b"n")))
        self.files: dict[bytes, dict[bytes, bytes]] = {}
        for day, tree in enumerate((first, second)):
            snapshot = self.small.add(tree, day=day)
            home = (tree.below or {})[b"home"].below or {}
            self.files[snapshot.id] = {b"/home/" + name: node.data for name, node in home.items()}
        repository = self.small.repository
        slot = NewSlot("key", new_secret(), "second key")
        keyring, key = repository.keyring, repository.keyring_key
        opening.add_slot(repository.place, repository.id, keyring, key, slot, START_NS)
        add_records(repository)

    def open_again(self) -> None:
        """Look at the place where it lies now: for copies."""
        whole = LocalDestination(str(self.place), "copy")
        below = Below(whole, self.folder.name)
        self.small = copy.copy(self.small)
        self.small.place, self.small.whole = self.place, whole
        self.small.repository = msgspec.structs.replace(self.small.repository, place=below)

    def objects(self, folder: str) -> list[Path]:
        """All objects below a folder of the repository, in order."""
        return sorted(path for path in (self.folder / folder).rglob("*") if path.is_file())

    def one_of(self, kind: str) -> Path:
        """An object of a kind; of those that hold content the one that the newest snapshot needs."""
        keyring = self.small.repository.keyring.current.name.text
        fixed = {
            "text": self.folder / "repository.json",
            "twin": self.folder / "repository.json.2",
            "once": self.place / "once.json",
            "key slot": self.folder / "keys" / self.small.repository.slot_name,
            "keyring": self.folder / "keyring" / keyring,
            "candidates": self.folder / "gc/1.candidates",
            "deleted": self.folder / "gc/1.deleted",
        }
        if kind in fixed:
            return fixed[kind]
        if kind in ("data block", "tree block"):
            content = 1 if kind == "data block" else 2
            found = [path for path in self.objects("blocks") if path.read_bytes()[77] == content]
            return max(found, key=lambda path: path.stat().st_size)
        if kind == "drop":
            return next(path for path in self.objects("gc") if path.name.startswith("drop-"))
        folders = {"snapshot": "snapshots", "session": "sessions"}
        return self.objects(folders.get(kind, kind))[-1]

    def check(
        self, *, home: str = "home", crc: bool = False, rebuild_index: bool = False, accept_rollback: bool = False
    ) -> Checked:
        """Run `check` on it, on a machine with that home; an error it ends with is an outcome like any other."""
        order = CheckOrder(
            place=str(self.place),
            unlock=self.unlock,
            crc=crc,
            rebuild_index=rebuild_index,
            accept_rollback=accept_rollback,
        )
        try:
            done = Machine(self.above / home).run(order).done
        except BackupError as error:
            return Checked(error.exit_code, {}, error.code)
        json.dumps(done.result)
        return Checked(done.exit_code, done.result, done.error["code"] if done.error else "")

    @property
    def unlock(self) -> Unlock:
        """The key."""
        return Unlock(secret=secret_to_text(self.small.secret).encode())

    def read_all(self) -> dict[tuple[bytes, bytes], bytes | None]:
        """What a host without any state reads: bytes by snapshot and path, None where damage is told.

        A file of a directory that can't be listed is None, too. Bytes that differ are returned as they are.
        """
        repository = self.small.repository
        scratch = self.above / f"scratch-{os.urandom(4).hex()}"
        tables = load_index(repository, str(scratch)).tables
        whole = LocalDestination(str(self.folder), "reader")
        reader = ChunkReader(SegmentReader(whole, worker_setup(repository, str(self.place))), tables)
        found: dict[tuple[bytes, bytes], bytes | None] = {}
        for name in Records(repository).listed_snapshot_names():
            snapshot_id = name.session
            for path in self.files[snapshot_id]:
                found[snapshot_id, path] = None
            try:
                snapshot = Records(repository).snapshot(name.name)
            except (DamageError, DestinationError, NewerVersionError):
                continue
            for path, entry in _files(snapshot, reader):
                found[snapshot_id, path] = _content(entry, reader)
        tables.close()
        return found


def add_records(repository: OpenRepository) -> None:
    """A record of each kind: another host's session, gc lists, a drop, damage, a note; of things that aren't there."""
    records = Records(repository)
    name = naming.snapshot_name(bytes(16), START_NS, SESSION)
    session = Session(SESSION, 1, bytes(16), bytes(16), "boot", bytes(16), [], name, START_NS)
    records.put(ObjectKind.SESSION, f"sessions/{SESSION.hex()}/00000001", session)
    records.put(ObjectKind.CANDIDATES, "gc/1.candidates", BlockList(1, [bytes(32)]))
    records.put(ObjectKind.DELETED, "gc/1.deleted", BlockList(1, [bytes(32)]))
    records.drop(Drop(["snapshots/none"], START_NS, bytes(16)))
    records.report_damage(Damage(START_NS, bytes(16), [(bytes(32), None)]))
    records.put(ObjectKind.NOTE, f"notes/{'ab' * 16}", Note(START_NS, bytes(16), bytes(16), "pin", ""))


def _files(snapshot: Snapshot, reader: ChunkReader) -> list[tuple[bytes, Entry]]:
    found: list[tuple[bytes, Entry]] = []
    try:
        for top in iterate_entries(snapshot.root, reader.load):
            if top.kind == Kind.DIRECTORY and isinstance(top.content, bytes):
                found += [(b"/" + top.name + b"/" + e.name, e) for e in iterate_entries(top.content, reader.load)]
    except DamageError:
        return found
    return found


def _content(entry: Entry, reader: ChunkReader) -> bytes | None:
    try:
        return b"".join(reader.load(chunk_id) for chunk_id, _ in iterate_chunks(entry.content, entry.size, reader.load))
    except DamageError:
        return None
