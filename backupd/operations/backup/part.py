"""One destination's part of a run: its repository, session, journal and index; it fails alone (DESIGN 5)."""

from __future__ import annotations

import os

from backupd.block.assembler import FinishedBlock
from backupd.cache.journal import Journal
from backupd.cancel import Cancel
from backupd.errors import (
    AccessError,
    BackupError,
    DamageError,
    DestinationError,
    StateError,
    StateFullError,
    StoppedError,
)
from backupd.model.orders import BackupOrder
from backupd.operations.backup import basing
from backupd.operations.backup.account import AccountCount
from backupd.operations.backup.after_commit import end_session, remember_seen
from backupd.operations.backup.opening import OpenedForWriting
from backupd.operations.backup.session import (
    Publishing,
    RunningSession,
    WriterIdentity,
    begin_journal,
    drop_partials,
    validate,
)
from backupd.operations.backup.setting import SetUse
from backupd.operations.backup.space import SpaceGuard, stored_in
from backupd.operations.context import JobContext
from backupd.repository import reserve
from backupd.repository.engine import StoreEngine
from backupd.repository.index_loading import LoadedIndex, forget_lost, load_index, mark_absent, merge_levels
from backupd.repository.lanes import Lane, LaneTarget
from backupd.repository.spool import Spool
from backupd.settings.directories import ensure
from backupd.snapshot.records import Checkpoint, Snapshot
from backupd.store_errors import BlocksLostError

ADDS_ONLY = "this login may only add there: what is over is left to whoever frees space"
"""What is told of append-only credentials, which is no failure."""


class Part:
    """One destination in a run that holds its set's lock."""

    base: basing.Base
    session: RunningSession
    publishing: Publishing
    index: LoadedIndex
    space: SpaceGuard

    def __init__(
        self,
        number: int,
        context: JobContext,
        cancel: Cancel,
        opened: OpenedForWriting,
        use: SetUse,
        who: WriterIdentity,
        order: BackupOrder,
    ) -> None:
        """number: of its place in the order. cancel: ends what its store waits for. order: as for this place alone."""
        self._limits, self._workers, self._is_own = order.space, order.limits.jobs, order.own is not None
        self._has_account_quota = order.account is not None
        self.account: AccountCount | None = None
        """Where the account has a quota."""
        self.number, self._cancel = number, cancel
        self.opened, self.place, self.use = opened, opened.place, use
        self._context, self._who, self._records = context, who, opened.place.records
        self._journal: Journal | None = None
        self.damage: set[str] = set()
        """Names of the damage records that were there when the session had been posted."""
        self.lane: Lane | None = None
        """Of the engine that runs now."""
        self._sizes: dict[bytes, int] = {}
        """Of the blocks that an engine stored which was given up; its chunks may be used."""
        self._is_loaded = False
        self._draft: Snapshot | None = None
        """Of the last checkpoint."""
        self.snapshot: Snapshot | None = None
        """What was committed."""
        self.alarm: BackupError | None = None
        """Snapshots that this host has seen are gone here, and nobody dropped them: it is stored to, and told."""
        self._error: BackupError | None = None

    @property
    def error(self) -> BackupError | None:
        """Why it came to an end before it was committed."""
        return self._error or (self.lane.error if self.lane is not None else None)

    def end(self, error: BackupError) -> None:
        """Nothing more is done here."""
        self._error = self._error or error
        self._cancel.request(StoppedError("its part of the run has ended"))

    @property
    def is_idle(self) -> bool:
        """Whether all that was given to its lane is safe."""
        return self.lane is None or self.lane.is_idle

    @property
    def stored_bytes(self) -> int:
        """Of the engine that runs now."""
        return self.lane.blocks.stored_bytes if self.lane is not None else 0

    @property
    def held_bytes(self) -> int:
        """What the repository's blocks take at the place, those of this run among them."""
        return sum({**stored_in(self.index.tables), **self.sizes}.values())

    # Beginning

    def load(self, *, no_cache: bool) -> None:
        """Fetch the index; end this state's dead sessions; find what this run builds on."""
        context, place = self._context, self.place
        self.index = load_index(place.repository, ensure(os.path.join(place.cache, "index")))
        self._is_loaded = True
        for message in self.index.damaged.values():
            context.warn(f"{message}; what it names is stored again (or found again by check --rebuild-index)")
        self.base = basing.find(context, place, self.use, self._who, self.index.tables, no_cache=no_cache)
        self.space = SpaceGuard(self._limits, self._workers, place, self.index.tables, context.clock)
        self.space.refuse(lambda: basing.last_stored_bytes(place, self.use, self.base))
        if self._has_account_quota:
            self.account = AccountCount(place, self.index, context, self._cancel)
            self.account.begin()

    def look_at_space(self, engine: StoreEngine) -> None:
        """While a run stores. Raises QuotaError, DestinationFullError."""
        if self.lane is not None:
            self.space.look(engine, self.lane.blocks)

    def begin(self, session_id: bytes, started_ns: int) -> None:
        """Announce the run, then see what counts as absent; from here on blocks are journalled."""
        self.session = RunningSession(session_id, self._records, self._who, list(self.base.roots), started_ns)
        self.session.post(started_ns)
        state, damage = mark_absent(self.index.tables, self._records)
        self.damage = set(damage)
        honouring = self.session.begin_honouring(self.index.tables, state, started_ns)
        path = basing.journal_path(self._context, self.place, self.use.set_id)
        # The file is there for one of several destinations only: it is cut where that one's own checkpoint is.
        cache_path = basing.cache_path(self.place, self.use.set_id, session_id)
        self._journal = begin_journal(path, self.session, cache_path + ".part")
        self.publishing = Publishing(
            self._records, self.index.tables, self._journal, self._context.warn, honouring, state.generation
        )

    def check_base(self, base: basing.Base) -> None:
        """Whether a base, perhaps another destination's, counts fully here, too."""
        self.base.check_after_posting(self._records, self.damage, self.index, base.caches)
        self.session.relied = self.base.relied

    @property
    def keys(self) -> tuple[object, ...]:
        """What a sealed segment depends on: it can be sent to all destinations where this is the same."""
        keyring = self.place.repository.keyring
        return (keyring.chunk_id_key, keyring.current.name, keyring.configuration)

    def target(self, spool: Spool | None) -> LaneTarget:
        """For the engine."""
        return LaneTarget(self.place.repository, self.index.tables, self.publishing.announce, self._cancel, spool)

    # Under way

    def give_up_lane(self) -> None:
        """The engine is given up; what it stored here may be used by the next one."""
        if self.lane is not None and self.error is None:
            self.publish(self.lane.blocks.take_safe())
            self._sizes.update(self.lane.blocks.sizes)

    def take_safe(self) -> list[FinishedBlock]:
        """Blocks that no index object names yet."""
        return self.lane.blocks.take_safe() if self.lane is not None else []

    def publish(self, safe: list[FinishedBlock]) -> None:
        """Name safe blocks in index objects."""
        self.publishing.publish(safe)

    def checkpoint(self, checkpoint: Checkpoint, snapshot: Snapshot, cache_bytes: int) -> None:
        """Post a checkpoint whose chunks are published."""
        self._draft = None
        n = self.session.post(self._context.clock.now_ns(), checkpoint, snapshot)
        self._draft = snapshot
        self.publishing.checkpoint(n, cache_bytes)

    def post(self) -> None:
        """Announce again."""
        self.session.post(self._context.clock.now_ns())

    def post_where_awaited(self) -> None:
        """Announce again where a cleaner waits for it."""
        self.session.post_where_awaited(self._context.clock.now_ns())

    # The end

    def finish(self, snapshot: Snapshot) -> None:
        """Name what was stored, count and measure it, commit."""
        self.publish(self.take_safe())
        self._validate()
        self.session.commit(snapshot, self._context.clock.now_ns())
        self.snapshot = snapshot
        remember_seen(self._context, self.place, self.session.name)
        end_session(self._context, self.session)

    @property
    def has_checkpoint(self) -> bool:
        """Whether one was posted that a partial snapshot can be made of."""
        return self._draft is not None

    def finish_partial(self) -> None:
        """Commit the last checkpoint as a partial snapshot."""
        if self._draft is None:
            raise AssertionError("a checkpoint makes a snapshot")
        self._validate()
        self.session.commit(self._draft, self._context.clock.now_ns())
        self.snapshot = self._draft
        end_session(self._context, self.session)

    def count_account(self) -> None:
        """After a complete snapshot: what the account holds with it."""
        if self.account is not None and self.snapshot is not None:
            self.account.commit(self.session.name, self.snapshot)

    def _validate(self) -> None:
        now_ns = self._context.clock.now_ns()
        sizes = self.publishing.unmeasured(self.sizes)
        try:
            validate(self._records, sizes, self._context.warn, now_ns, self._who.host_id)
        except BlocksLostError:
            # Its checkpoints may need what is lost: none of them is to become a partial snapshot.
            self.session.abandon(now_ns)
            raise

    def tidy_up(self) -> None:
        """After a complete snapshot. What fails here the next run does: the snapshot stands."""
        context, use = self._context, self.use
        if self.snapshot is None:
            raise AssertionError("nothing is tidied up before the snapshot stands")
        try:
            now_ns, committed = context.clock.now_ns(), (self.session.name, self.snapshot)
            left = drop_partials(self._records, use.set_id, committed, now_ns, self._who.host_id) is None
            if left or self.session.may_only_add:
                context.tell("information", f"{self.place.whole.shown}: {ADDS_ONLY}", verbosity=1)
            merge_levels(self._records, self.index)
            forget_lost(self.index)
            if self._is_own:
                reserve.keep(self._records.place, self.place.cache, now_ns)
            basing.remove_old_caches(context.directories, self.place, use.set_id, self.session.id)
        except (DestinationError, DamageError, StateFullError, StateError, AccessError) as error:
            context.warn(f"the backup is whole, but not all was tidied up after it: {error.message}")

    def adopt_cache(self, path: str) -> None:
        """Take the file cache that the run made as this place's, too; it belongs to the snapshot, whatever the place.

        Where that fails, the next run asks for all that is stored.
        """
        basing.take_cache(path, self.place, self.use.set_id, self.session.id)

    def close(self) -> None:
        """Leave the journal: for the next run where this one was not ended here."""
        if self._journal is not None:
            self._journal.close(is_ended=self.snapshot is not None)
            self._journal = None

    def close_index(self) -> None:
        """Close the look-up tables."""
        if self._is_loaded:
            self.index.tables.close()

    @property
    def sizes(self) -> dict[bytes, int]:
        """Of the blocks that this run stored."""
        return {**self._sizes, **(self.lane.blocks.sizes if self.lane is not None else {})}
