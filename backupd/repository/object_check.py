"""Reads every small object of a repository and tells which can't be read: texts, keys, records (FEATURES 8.1)."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import msgspec

from backupd.destination.contract import Destination
from backupd.errors import (
    DamageError,
    DestinationError,
    DestinationUnreachableError,
    FormatError,
    KeyMissingError,
    NewerVersionError,
    ObjectMissingError,
    error_of,
)
from backupd.repository import identity
from backupd.repository.opening import OpenRepository, list_slots
from backupd.repository.records import Records
from backupd.seal.envelope import read_epoch
from backupd.seal.header import ObjectKind
from backupd.seal.slot import read_slot
from backupd.snapshot import naming
from backupd.snapshot.records import BlockList, Damage, Drop, Note, Record, Session, Snapshot

_MAX_KEY_BYTES = 1 << 20


class ObjectProblem(msgspec.Struct, frozen=True):
    """An object that can't be read, or is missing."""

    name: str
    code: str
    message: str


class SmallObjects(msgspec.Struct, frozen=True):
    """What the readable ones say, and what is wrong with the others."""

    problems: list[ObjectProblem] = []
    snapshots: dict[str, Snapshot] = {}
    """By object name, void ones too."""
    snapshot_names: set[str] = set()
    """All that are listed, readable or not."""
    void: set[str] = set()
    deleted: set[bytes] = set()
    """Blocks that closed gc lists name."""
    candidates: dict[int, list[bytes]] = {}
    """By generation, closed ones too."""
    closed: set[int] = set()
    covered: set[int] = set()
    """Closed generations of which a newer list says what theirs said."""
    damage: list[Damage] = []
    session_sets: set[bytes] = set()
    """Sets with a posted session."""
    locked: set[str] = set()
    """Names of objects of an epoch that the key at hand does not open."""
    unknown: list[str] = []
    """Names that the format does not have."""

    @property
    def absent(self) -> set[bytes]:
        """Blocks that closed or open gc lists name."""
        proposed = (blocks for n, blocks in self.candidates.items() if n not in self.closed)
        return self.deleted.union(*proposed)


def check_texts(whole: Destination, repository: str) -> list[ObjectProblem]:
    """Both twins of `repository.json`, and `once.json` where it stands. whole: sees the place."""
    damaged = identity.damaged_twins(whole, repository)
    problems = [ObjectProblem(twin, FormatError.code, message) for twin, message in damaged.items()]
    try:
        identity.read_once(whole)
    except FormatError as error:
        problems.append(ObjectProblem("once.json", error.code, error.message))
    return problems


def check_objects(repository: OpenRepository, step: Callable[[], None]) -> SmallObjects:
    """Read keys, keyrings, snapshots, sessions, gc lists, damage records, notes. step: called after each object."""
    found = SmallObjects()
    records = Records(repository)
    is_drop_gone = False
    for prefix, check in (
        ("keys/", _check_slot),
        ("keyring/", _check_keyring),
        ("snapshots/", _check_record),
        ("sessions/", _check_record),
        ("gc/", _check_record),
        ("damage/", _check_record),
        ("notes/", _check_record),
    ):
        for info in repository.place.list(prefix):
            try:
                check(records, info.name, found)
            except DestinationUnreachableError:
                raise
            except ObjectMissingError:
                # Deleted by another while this looked.
                found.snapshot_names.discard(info.name)
                is_drop_gone |= info.name.startswith("gc/drop-")
            except KeyMissingError:
                found.locked.add(info.name)
            except (DamageError, DestinationError, NewerVersionError) as error:
                found.problems.append(ObjectProblem(info.name, error.code, error.message))
            step()
    # A list that a newer one covers stands for ever, and says nothing any more; nor do its candidates.
    covered = {name for n in found.covered for name in (naming.gc_name(n, "deleted"), naming.gc_name(n, "candidates"))}
    found.problems[:] = [one for one in found.problems if one.name not in covered]
    if is_drop_gone:
        # Put into another one, which may have come after the listing.
        found.void.update(records.readable_void_names()[0])
    found.problems.extend(_missing_keys(repository, found))
    return found


def is_damage(code: str) -> bool:
    """Whether an error is one of the object itself: not of a newer program, nor of a store that refuses something."""
    error = error_of(code, "")
    return isinstance(error, DamageError | ObjectMissingError) or code == DestinationError.code


def read_deleted(repository: OpenRepository) -> set[bytes]:
    """Blocks that readable closed gc lists name now."""
    found = SmallObjects()
    records = Records(repository)
    for info in repository.place.list("gc/"):
        parsed = naming.parse_gc_name(info.name)
        if parsed is not None and parsed[1] == "deleted":
            try:
                _check_record(records, info.name, found)
            except (DamageError, NewerVersionError, KeyMissingError, ObjectMissingError):
                # Told by `check_objects`.
                continue
    return found.deleted


def is_whole_key(name: str, data: bytes) -> bool:
    """Whether bytes are a key slot or keyring that may stand under this name, as far as its clear part tells.

    Raises FormatError, NewerVersionError.
    """
    if name.startswith("keys/"):
        read_slot(name.removeprefix("keys/"), data)
        return True
    return name == f"keyring/{read_epoch(data, ObjectKind.KEYRING, name).text}"


def _missing_keys(repository: OpenRepository, found: SmallObjects) -> Iterator[ObjectProblem]:
    """Keyrings that key slots name: without its own, a slot opens nothing. That of the key at hand may be gone."""
    slots, _ = list_slots(repository.place)
    needed: dict[str, list[str]] = {repository.slot.keyring: []}
    for slot_name, slot in slots.items():
        needed.setdefault(slot.keyring, []).append(f"keys/{slot_name}")
    for keyring, by in sorted(needed.items()):
        name = f"keyring/{keyring}"
        if repository.place.size(name) is None and not any(problem.name == name for problem in found.problems):
            whose = " and ".join(sorted(by)) or "the key at hand"
            yield ObjectProblem(name, ObjectMissingError.code, f"{name} is not there; without it {whose} opens nothing")


def _check_slot(records: Records, name: str, _: SmallObjects) -> None:
    is_whole_key(name, records.place.get(name, 0, _MAX_KEY_BYTES))


def _check_keyring(records: Records, name: str, _: SmallObjects) -> None:
    """Keyrings of other slots are sealed under keys that are not at hand: of them only the clear part can be read."""
    if not is_whole_key(name, records.place.get(name, 0, _MAX_KEY_BYTES)):
        raise FormatError(f"{name} says that it is another one")


def _check_record(records: Records, name: str, found: SmallObjects) -> None:
    kind, record_type = _kind_of(name)
    if kind is None or record_type is None:
        if not name.startswith("gc/reserve-"):
            found.unknown.append(name)
        return
    if kind is ObjectKind.SNAPSHOT:
        found.snapshot_names.add(name)
    record = records.get(kind, name, record_type)
    match record:
        case Snapshot():
            found.snapshots[name] = record
        case Drop():
            found.void.update(record.names)
        case Damage():
            found.damage.append(record)
        case Session():
            found.session_sets.add(record.set_id)
        case BlockList() if kind is ObjectKind.DELETED:
            found.deleted.update(record.blocks)
            found.closed.update((record.n, *record.covers))
            found.covered.update(record.covers)
        case BlockList():
            found.candidates[record.n] = record.blocks


def _kind_of(name: str) -> tuple[ObjectKind | None, type[Record] | None]:
    folder = name.partition("/")[0]
    gc = naming.parse_gc_name(name)
    if folder == "snapshots" and naming.parse_snapshot_name(name) is not None:
        return ObjectKind.SNAPSHOT, Snapshot
    if folder == "sessions" and naming.parse_session_name(name) is not None:
        return ObjectKind.SESSION, Session
    if gc is not None:
        return (ObjectKind.DELETED if gc[1] == "deleted" else ObjectKind.CANDIDATES), BlockList
    if name.startswith("gc/drop-"):
        return ObjectKind.DROP, Drop
    if folder == "damage":
        return ObjectKind.DAMAGE, Damage
    return (ObjectKind.NOTE, Note) if folder == "notes" else (None, None)
