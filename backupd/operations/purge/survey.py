"""Looks at all that a purge touches, before anything is changed: what goes, what that frees, what others still need."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator

import msgspec

from backupd.chunk.identity import Identity, node_key
from backupd.errors import DamageError, NewerVersionError
from backupd.model import events
from backupd.model.purge_orders import PurgeOrder
from backupd.operations.context import JobContext
from backupd.operations.places import OpenPlace
from backupd.operations.purge.choosing import Wish, choose, plan_now, refuse_unknown_paths, remaining_sources
from backupd.repository.live_chunks import LiveChunks
from backupd.repository.looking import Look, Looking, roots_in_order
from backupd.repository.marking import mark_reached
from backupd.repository.notes import read_notes
from backupd.repository.reader import ChunkReader, SegmentReader
from backupd.settings.directories import ensure
from backupd.snapshot import naming
from backupd.snapshot.notes import NOTHING, Noted
from backupd.snapshot.records import Snapshot
from backupd.tree.entry import Entry, Kind
from backupd.tree.nodes import iterate_entries
from backupd.tree.omitting import Omission
from backupd.tree.reaching import Reached, TreeReach

_LOOKS = 3
_HINT = "nothing was deleted; bkctl check says what is lost, and what can be done"


class Survey(msgspec.Struct, frozen=True):
    """What a purge would do now."""

    wishes: list[Wish]
    """The oldest of each set first."""
    sets: list[str]
    """Ids."""
    kept: int
    """Snapshots of these sets that are not touched."""
    stored_bytes: int
    """That nobody else needs, by stored share."""
    shared_bytes: int
    """What other snapshots need too, so that it stays."""
    names: set[str]
    """Of all snapshots of these sets, those that are kept too."""
    notes: dict[bytes, Noted]
    running: list[tuple[str, str]]
    """(session, host id) of runs of these sets that are under way elsewhere."""
    plan: str


class Surveyor:
    """At one place."""

    def __init__(self, order: PurgeOrder, context: JobContext, place: OpenPlace) -> None:
        self._order, self._context, self._place = order, context, place
        keyring = place.repository.keyring
        self._identity = Identity(keyring.chunk_id_key)
        self._omission = Omission(node_key(keyring.chunk_id_key), order.paths)
        self._looking = Looking(place.records, ensure(os.path.join(place.cache, "index")), self._tick)
        self._counts: dict[bytes, tuple[int, int]] = {}
        self._new: dict[bytes, bytes] = {}
        """Nodes that only the plan has."""

    def look(self) -> Survey:
        """All of it; changes nothing.

        Raises DamageError, NewerVersionError, KeyMissingError for what can't be read, and for what is not there
        SetNotFoundError, SnapshotNotFoundError, PathNotFoundError.
        """
        self._context.step("look at what is to go")
        for number in range(_LOOKS):
            look = self._looking.look()
            try:
                look.mark_absent()
                return self._surveyed(look)
            except DamageError:
                # A snapshot may be newer than the index that was read before it.
                if number == _LOOKS - 1:
                    raise
            finally:
                look.index.tables.close()
        raise AssertionError("the last look returned or raised")

    def _surveyed(self, look: Look) -> Survey:
        records = self._place.records
        notes = read_notes(records)
        standing = {name: one for name, one in look.snapshots.items() if name not in look.void}
        chosen, sets = choose(self._order, self._context, records, standing)
        for at in chosen:
            refuse_unknown_notes(at.snapshot, notes.get(at.snapshot.id, NOTHING))
        load = self._loader(look)
        wishes = [wish for wish in (self._wish(Wish(at=at), load) for at in chosen) if wish is not None]
        refuse_unknown_paths(self._order, records, wishes)
        stored_bytes, shared_bytes = self._shares(look, wishes, load)
        of_sets = {name for name, one in standing.items() if naming.set_id_text(one.set_id) in sets}
        state_id = self._context.host.state_id
        running = [
            (naming.snapshot_id_text(posted.session), posted.said.host_id.hex())
            for posted in look.sessions
            if naming.set_id_text(posted.said.set_id) in sets
            and posted.said.state_id.hex() != state_id
            and posted.said.snapshot_name not in look.listed | look.void
        ]
        kept = len(of_sets) - len(wishes)
        left = {wish.at.name: wish.action for wish in wishes}
        plan = plan_now(self._order, records, self._place.repository.text_id, left)
        return Survey(wishes, sets, kept, stored_bytes, shared_bytes, of_sets, notes, running, plan)

    def _loader(self, look: Look) -> Callable[[bytes], bytes]:
        reader = ChunkReader(SegmentReader(self._place.repository.place, self._place.setup()), look.index.tables)

        def load(node: bytes) -> bytes:
            return self._new.get(node) or reader.load(node)

        return load

    def _wish(self, wish: Wish, load: Callable[[bytes], bytes]) -> Wish | None:
        """What becomes of one snapshot; None: it holds none of the paths."""
        snapshot = wish.snapshot
        if not self._order.paths:
            return msgspec.structs.replace(wish, files=snapshot.file_count, bytes=snapshot.byte_count)
        self._tick()
        root, left_out = self._omission.apply(snapshot.root, load, self._keep)
        if not left_out:
            return None
        counts = [self._count(entry, load) for _, entry in left_out]
        is_all = bool(snapshot.sources) and not remaining_sources(snapshot, self._omission.paths)
        return msgspec.structs.replace(
            wish,
            new_root=None if is_all else root,
            left_out=left_out,
            files=sum(files for files, _ in counts),
            bytes=sum(size for _, size in counts),
        )

    def _keep(self, node: bytes) -> bytes:
        node_id = self._identity.chunk_id(node)
        self._new[node_id] = node
        return node_id

    def _count(self, entry: Entry, load: Callable[[bytes], bytes]) -> tuple[int, int]:
        """(files, bytes) of an entry and all below; of directories that several snapshots have once."""
        if entry.kind != Kind.DIRECTORY or not isinstance(entry.content, bytes):
            return (1, entry.size) if entry.kind == Kind.FILE else (0, 0)
        top = entry.content
        # A stack of our own: trees may be deeper than Python's.
        stack: list[tuple[bytes, Iterator[Entry], list[int]]] = [(top, iterate_entries(top, load), [0, 0])]
        while stack:
            node, entries, counted = stack[-1]
            below = next(entries, None)
            if below is None:
                stack.pop()
                self._counts[node] = (counted[0], counted[1])
                if stack:
                    _add(stack[-1][2], self._counts[node])
            elif below.kind == Kind.DIRECTORY and isinstance(below.content, bytes):
                known = self._counts.get(below.content)
                if known is not None:
                    _add(counted, known)
                else:
                    self._tick()
                    stack.append((below.content, iterate_entries(below.content, load), [0, 0]))
            elif below.kind == Kind.FILE:
                _add(counted, (1, below.size))
        return self._counts[top]

    def _shares(self, look: Look, wishes: list[Wish], load: Callable[[bytes], bytes]) -> tuple[int, int]:
        """(bytes that nobody else needs, bytes of what goes that others need too), by stored share.

        Raises DamageError for what a snapshot needs and no block holds: who deletes never works round damage.
        """
        parity = self._place.repository.keyring.configuration.parity
        tables = look.index.tables
        needed, going = (LiveChunks(tables, look.grade, parity, look.bad.chunks.keys()) for _ in range(2))
        roots = self._roots_after(look, wishes)
        reach, last = TreeReach(load, set()), None
        for one in roots_in_order(roots):
            base = last.root if last is not None and last.set_id == one.set_id else None
            self._mark(reach.reached(one.root, base), needed, one)
            last = one
        after = _stored(needed)
        gone = TreeReach(load, set())
        for wish in wishes:
            left_out = list(gone.reached(wish.snapshot.root, wish.new_root))
            self._mark(left_out, needed, wish.snapshot)
            self._mark(left_out, going, wish.snapshot)
        freed = _stored(needed) - after
        return freed, max(0, _stored(going) - freed)

    def _roots_after(self, look: Look, wishes: list[Wish]) -> dict[str, Snapshot]:
        """Void ones that sessions go on from among them: what they need is not given free yet.

        A session that has ended goes on from nothing, though a power cut may have brought back what it said.
        """
        by_name = {wish.at.name: wish for wish in wishes}
        under_way = [one.said for one in look.sessions if one.said.snapshot_name not in look.listed | look.void]
        bases = {base for said in under_way for base in said.bases}
        roots: dict[str, Snapshot] = {}
        for name, snapshot in look.snapshots.items():
            wish = by_name.get(name)
            if name in look.void and name not in bases:
                continue
            if wish is None:
                roots[name] = snapshot
            elif wish.new_root is not None:
                roots[name] = msgspec.structs.replace(snapshot, root=wish.new_root)
        return roots

    def _mark(self, pieces: Iterable[Reached], marks: LiveChunks, snapshot: Snapshot) -> None:
        mark_reached(map(self._known, pieces), marks, snapshot, self._tick, _HINT)

    def _known(self, piece: Reached) -> Reached:
        """Without nodes that only the plan has."""
        if not self._new:
            return piece
        split = (piece.ids[at : at + 32] for at in range(0, len(piece.ids), 32))
        kept = [(one, length) for one, length in zip(split, piece.lengths, strict=True) if one not in self._new]
        return Reached(b"".join([one for one, _ in kept]), [length for _, length in kept])

    def _tick(self) -> None:
        self._context.cancel.check()
        self._context.wait_while_paused()
        self._context.progress(lambda elapsed: events.Progress(step="look", elapsed_seconds=elapsed))


def _add(counted: list[int], more: tuple[int, int]) -> None:
    counted[0] += more[0]
    counted[1] += more[1]


def _stored(marks: LiveChunks) -> int:
    return sum(use.live_stored_bytes for use in marks.uses().values())


def refuse_unknown_notes(snapshot: Snapshot, noted: Noted) -> None:
    """Who does not know what is noted of a snapshot drops nothing of its set (docs/format.md).

    Raises NewerVersionError.
    """
    if noted.unknown:
        raise NewerVersionError(
            f"a note of kind '{min(noted.unknown)}' on {naming.snapshot_id_text(snapshot.id)[:9]} is not known here",
            hint="install the newer backupd that wrote it; until then nothing of the set is purged",
        )
