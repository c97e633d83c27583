"""A writer's session at one destination: announced, checkpointed, committed, or ended for one that is gone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress

import msgspec

from backupd.block.assembler import FinishedBlock
from backupd.block.layout import block_name
from backupd.cache.index_tables import IndexTables
from backupd.cache.journal import (
    Journal,
    JournalBlock,
    JournalCheckpoint,
    JournalPublished,
    JournalRecord,
    JournalSession,
    JournalState,
)
from backupd.errors import (
    ConflictError,
    DamageError,
    DestinationRefusedError,
    ObjectExistsError,
    ObjectMissingError,
)
from backupd.index.layout import BlockContents, Frame
from backupd.operations.backup.ending import remove_session
from backupd.operations.backup.honouring import Honouring
from backupd.repository.copied_blocks import CopiedBlocks
from backupd.repository.dropping import drop_snapshots
from backupd.repository.index_loading import publish, to_contents
from backupd.repository.measuring import missing
from backupd.repository.records import GcState, Records
from backupd.seal.header import ObjectKind
from backupd.snapshot import naming
from backupd.snapshot.records import Checkpoint, Damage, Drop, Session, Snapshot
from backupd.state_errors import translated
from backupd.store_errors import BlocksLostError

POST_SECONDS = 600
LOOK_SECONDS = 30
"""How often a writer looks whether a cleaner waits for it."""


class WriterIdentity(msgspec.Struct, frozen=True):
    """Who writes."""

    host_id: bytes
    state_id: bytes
    boot_id: str
    set_id: bytes


class RunningSession:
    """The session of this run."""

    def __init__(
        self, session: bytes, records: Records, who: WriterIdentity, bases: list[str], started_ns: int
    ) -> None:
        self.id = session
        self.name = naming.snapshot_name(who.set_id, started_ns, self.id)
        self._records, self._who, self._bases = records, who, bases
        self._n = 0
        self._standing: list[int] = []
        """Announcements that stand unless somebody ended this session: the two newest that the store took."""
        self._last: tuple[Checkpoint | None, Snapshot | None] = (None, None)
        # Who names this session in a drop record has seen it announced, so none of these does.
        self._older_drops = frozenset(records.listed_drops)
        self.may_only_add = False
        """Whether the login was refused a deletion or a drop: what should go is left to a cleaner (DESIGN 8.6)."""
        self.honouring: Honouring | None = None
        """What is made of gc lists, once the index is loaded."""
        self._is_committed = False
        self.relied: list[str] = []
        """Bases that stood after it was announced, of which something was taken over unasked."""

    def post(self, now_ns: int, checkpoint: Checkpoint | None = None, draft: Snapshot | None = None) -> int:
        """Announce; with a checkpoint once its chunks are in the index. Older announcements but one go.

        Lists of a cleaner that came meanwhile are honoured from then on. Raises ConflictError when another ended the
        session.
        """
        if self._standing:
            self._see_that_nobody_ended_it()
        honours, keeps = 0, []
        if self.honouring is not None:
            self.honouring.look()
            honours, keeps = self.honouring.honours, sorted(self.honouring.keeps)
        self._n += 1
        if checkpoint is not None:
            self._last = (checkpoint, draft)
        # Older announcements go: each one has what a partial snapshot can be made of.
        checkpoint, draft = self._last
        who = self._who
        record = Session(
            self.id,
            self._n,
            who.host_id,
            who.state_id,
            who.boot_id,
            who.set_id,
            self._bases,
            self.name,
            now_ns,
            honours,
            keeps,
            checkpoint,
            draft,
        )
        self._records.put(ObjectKind.SESSION, naming.session_name(self.id, self._n), record)
        if self._standing:
            # Who was ended between that look and this announcement takes it back: nobody else knows that it is none.
            self._see_that_nobody_ended_it()
        older, self._standing = self._standing[:-1], [*self._standing[-1:], self._n]
        # Where listings lag, the newer ones may not be listed yet: a cleaner has to see that somebody writes.
        if older and self._records.is_exact:
            self._remove(list(range(older[0], self._standing[0])))
        return self._n

    def begin_honouring(self, tables: IndexTables, state: GcState, now_ns: int) -> Honouring:
        """From here on go by gc lists. state: what the tables were told right before; nothing was asked of them yet."""
        self.honouring = Honouring(self._records, tables)
        if self.honouring.begin(state):
            self.post(now_ns)
        return self.honouring

    def post_where_awaited(self, now_ns: int) -> bool:
        """Announce again where a cleaner has begun a list and waits for it to be honoured; whether it was so."""
        is_awaited = self.honouring is not None and self.honouring.is_new_list_there()
        if is_awaited:
            self.post(now_ns)
        return is_awaited

    def commit(self, snapshot: Snapshot, now_ns: int) -> None:
        """Create the snapshot's name. Raises ConflictError when another ended the session or the name is void.

        It is read back: one that does not stand there as it was sent becomes void, and BlocksLostError is raised.
        """
        self._see_that_nobody_ended_it()
        try:
            self._records.commit(self.name, snapshot)
        except ObjectExistsError as error:
            raise ConflictError(
                "another run took this one for dead and ended its session",
                hint="run the backup again: it goes on from what is stored",
            ) from error
        void, unread = self._records.readable_void_names()
        if self.name in void:
            raise ConflictError("the snapshot was dropped while it was made", hint="run the backup again")
        if unread.keys() - self._older_drops:
            raise ConflictError(
                "a drop record came while the snapshot was made and can't be read: it may have dropped it",
                hint="run the backup again; bkctl check SET says what helps against that record",
            )
        if not self._is_announced() and (self.honouring is None or self.honouring.may_lack()):
            # It is not dropped for that: one that slept right here finds the same where its snapshot is whole.
            raise ConflictError(
                "another run ended this one while its snapshot was stored, which may lack what was deleted then",
                hint="run the backup again; bkctl check SET says whether the snapshot that stands there is whole",
            )
        if self._is_base_gone():
            # Nobody deletes them while this is announced, but who slept until nobody knew any more what was dropped.
            raise ConflictError(
                "a snapshot that this one goes on from is gone, and what only that one held may have been deleted",
                hint="run the backup again; bkctl check SET says whether the snapshot that stands there is whole",
            )
        if not self._records.holds(self.name, snapshot):
            self._drop(now_ns, "not stored as it was sent")
            raise BlocksLostError(
                "the snapshot is missing or other than it was sent at the destination", hint="run the backup again"
            )
        self._is_committed = True

    def _is_base_gone(self) -> bool:
        """Whether one of `relied` is gone: many are looked for by one listing, and each that it lacks is asked for."""
        listed = {one.name for one in self._records.listed_snapshot_names()} if len(self.relied) > 1 else set()
        return any(base not in listed and self._records.place.size(base) is None for base in self.relied)

    def _see_that_nobody_ended_it(self) -> None:
        """Before and after each announcement but the first, and before the commit. Raises ConflictError."""
        if self._is_announced():
            return
        # What it announced after it had been ended would have it taken for a run that is under way.
        self.end()
        raise ConflictError(
            "another run took this one for dead and ended its session",
            hint="run the backup again: it goes on from what is stored",
        )

    def _is_announced(self) -> bool:
        """Whether what this session announced still stands; where two may create one name it is read (DESIGN 8.5).

        Of two the older one is looked at: it stood when whoever ends sessions listed them, and goes first. The newer
        one may be what this writer announced after it had been ended.
        """
        if not self._standing:
            return False
        oldest = self._standing[0]
        if self._records.is_exact:
            return self._records.place.size(naming.session_name(self.id, oldest)) is not None
        with suppress(ObjectMissingError):
            self._records.session(self.id, oldest)
            return True
        return False

    def end(self) -> None:
        """Remove the announcements: the name is taken.

        Where listings lag, and the snapshot was committed just now, a cleaner that sees no announcement may not see the
        snapshot either: they are left to the next run of the set, or to the cleaner once it has seen it.
        """
        if self._is_committed and not self._records.is_exact:
            return
        oldest = self._standing[0] if self._standing and self._records.is_exact else 1
        self._remove(list(range(oldest, self._n + 1)))

    def abandon(self, now_ns: int) -> None:
        """Nothing was stored that a snapshot could hold: the name becomes void, then the announcements go."""
        if self._drop(now_ns, "ended without a checkpoint"):
            self.end()

    def _drop(self, now_ns: int, reason: str) -> bool:
        """Make the name void; False where the login may not: then the session is a dead one's."""
        try:
            self._records.drop(Drop([self.name], now_ns, self._who.host_id, reason))
        except DestinationRefusedError:
            self.may_only_add = True
        return not self.may_only_add

    def _remove(self, numbers: list[int]) -> None:
        if not self.may_only_add:
            self.may_only_add = not remove_session(self._records, self.id, numbers)


class Publishing:
    """Names safe blocks in index objects, and remembers in the journal what is not named yet."""

    def __init__(
        self,
        records: Records,
        tables: IndexTables,
        journal: Journal,
        report: Callable[[str], None],
        honouring: Honouring,
        generation: int,
    ) -> None:
        """report: hears of each block that is not there as it was sent. generation: of the index objects it writes."""
        self._records, self._tables, self._journal, self._report = records, tables, journal, report
        self._honouring, self._generation = honouring, generation
        self._measured: list[bytes] = []
        """Blocks of the last call of `publish`."""

    def announce(self, block: FinishedBlock) -> None:
        """A block is about to be sent: journal it. Called on the uploader's thread; raises StateFullError."""
        self._honouring.announced(block.block_id)
        segments = [(s.offset, s.stored_bytes, s.plain_bytes, s.ids) for s in block.segments]
        self._add(JournalBlock(block.block_id, block.size_bytes, block.content, segments))

    def publish(self, blocks: list[FinishedBlock]) -> None:
        """Write index objects for blocks, then forget them in the journal.

        Each is measured before: an index vouches for what it names, whoever is killed meanwhile. Raises BlocksLostError
        for those that are not as they were sent; the others are named all the same.
        """
        self._measured = [block.block_id for block in blocks]
        lost = missing(self._records.place, {block.block_id: block.size_bytes for block in blocks}, self._report)
        there = [block for block in blocks if block.block_id not in lost]
        if there:
            publish(self._records.repository, self._tables, [to_contents(b) for b in there], self._generation)
            self._add(JournalPublished([block.block_id for block in there]))
        if lost:
            raise _lost(len(lost), len(blocks))

    def publish_safe(self, blocks: CopiedBlocks) -> None:
        """The same of all that are safe, which are forgotten there then."""
        safe = blocks.take_safe()
        self.publish(safe)
        blocks.forget(safe)

    def unmeasured(self, sizes: Mapping[bytes, int]) -> dict[bytes, int]:
        """Of a run's blocks those that are to be measured before the commit: all but what `publish` just did."""
        measured = {*self._measured}
        return {block_id: size for block_id, size in sizes.items() if block_id not in measured}

    def checkpoint(self, n: int, cache_bytes: int) -> None:
        """Remember that a checkpoint was posted."""
        self._add(JournalCheckpoint(n, cache_bytes))

    def _add(self, record: JournalRecord) -> None:
        try:
            self._journal.add(record)
        except OSError as error:
            raise translated(error, self._journal.path) from error


def begin_journal(path: str, session: RunningSession, cache_path: str) -> Journal:
    """A new journal for a session. Raises StateFullError, AccessError."""
    try:
        return Journal(path, JournalSession(session.id, session.name, cache_path))
    except OSError as error:
        raise translated(error, path) from error


def recover_blocks(records: Records, tables: IndexTables, state: JournalState, absent: set[bytes]) -> int:
    """Publish blocks that a dead run stored and no index names, if they lie there whole; returns how many."""
    known = {row.block_id for row in tables.blocks()}
    found: list[BlockContents] = []
    for block in state.unpublished:
        if block.block_id in known or block.block_id in absent:
            continue
        if records.place.size(block_name(block.block_id)) == block.size_bytes:
            frames = [Frame(*segment) for segment in block.segments]
            found.append(BlockContents(block.block_id, block.size_bytes, block.content, frames))
    if found:
        publish(records.repository, tables, found, 0)
    return len(found)


def drop_partials(
    records: Records, set_id: bytes, committed: tuple[str, Snapshot], now_ns: int, host_id: bytes
) -> int | None:
    """After a complete snapshot of the set: the partial ones since the complete one before it become void and go.

    Returns how many. Older ones went after that one; what was left of them a freeing drops (`old_partials`).
    committed: its name, and what it says. None: the login may only add, and they are left to a cleaner.
    """
    last_name, last = committed
    mine = [n for n in records.snapshot_names() if n.set_id == naming.set_id_text(set_id) and n.name != last_name]
    partial: list[str] = []
    for name in reversed(mine):
        try:
            one = records.snapshot(name.name)
        except (DamageError, ObjectMissingError):
            continue
        # What the set had on another machine is in no snapshot of this one.
        if not one.is_of_machine(last):
            continue
        if not one.is_complete:
            partial.append(name.name)
        elif one.started_ns < last.started_ns:
            break
    if not partial:
        return 0
    try:
        drop_snapshots(records, partial, now_ns, host_id, "a complete snapshot followed")
    except DestinationRefusedError:
        return None
    return len(partial)


def validate(records: Records, sizes: dict[bytes, int], report: Callable[[str], None], now_ns: int, who: bytes) -> None:
    """Count and measure this run's blocks at the destination (FEATURES 8.6).

    Raises BlocksLostError when one is missing or of another size; it is recorded as damaged, so that the next run
    stores its chunks again.
    """
    bad = missing(records.place, sizes, report)
    if bad:
        records.report_damage(Damage(now_ns, who, [(block_id, None) for block_id in bad]))
        raise _lost(len(bad), len(sizes))


def _lost(count: int, of: int) -> BlocksLostError:
    return BlocksLostError(
        f"{count} of {of} blocks are missing or of another size at the destination",
        hint="no snapshot was made; run the backup again: what is missing is stored anew",
    )
