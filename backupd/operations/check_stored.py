"""The blocks and the trees of a check: what the index names lies there, what snapshots name can be had."""

from __future__ import annotations

from collections.abc import Collection
from functools import partial
from typing import Any

from backupd.block.layout import block_name
from backupd.errors import ChunkLostError, FormatError, ObjectMissingError
from backupd.model.orders import CheckOrder
from backupd.model.work import BlockVerdict
from backupd.operations.check_areas import AreaRecount
from backupd.operations.check_findings import Findings
from backupd.operations.check_progress import check_progress
from backupd.operations.context import JobContext
from backupd.operations.places import OpenPlace
from backupd.operations.rolling import VerifiedBlocks
from backupd.operations.snapshot_listing import SnapshotAt
from backupd.repository.bad_places import BadPlaces, PlaceCheck, retired_in
from backupd.repository.block_check import BlockCheck
from backupd.repository.block_listing import list_blocks
from backupd.repository.index_check import VerifiedIndex
from backupd.repository.object_check import SmallObjects, read_deleted
from backupd.repository.reader import ChunkReader, SegmentReader
from backupd.repository.tree_check import Hit, TreeCheck
from backupd.repository.verifying import BlockVerifier
from backupd.repository.workforce import default_count
from backupd.sizes import count, format_bytes
from backupd.snapshot import naming

_MOST_CHUNKS_NAMED = 10


class StoredCheck:
    """Checks blocks against the index, then walks the trees; with `--crc` both at once."""

    def __init__(
        self,
        order: CheckOrder,
        context: JobContext,
        place: OpenPlace,
        index: VerifiedIndex,
        objects: SmallObjects,
        findings: Findings,
    ) -> None:
        self._order, self._context, self._place = order, context, place
        self._tables, self._objects, self._findings = index.tables, objects, findings
        self._healed_as_read: set[bytes] = set()
        self._segments = SegmentReader(place.repository.place, place.setup(), self._healed_as_read.add)
        self._verifier = BlockVerifier(place.repository.place, place.setup())
        self._places = PlaceCheck(index.tables, place.repository.place, place.setup())
        self._indexed = {row.block_id: row.size_bytes for row in index.tables.blocks()}
        self._listed: dict[bytes, int] = {}
        self._crc: BlockCheck | None = None
        self._verified = VerifiedBlocks(context, place)
        self.has_walked = False
        """Whether the trees were looked at."""
        self.areas: AreaRecount | None = None
        """As the last walk counted them."""
        self._verified_bytes = self._crc_bytes = 0
        self._damaged_orphans = 0
        self._has_reread = False
        self._block_problems: dict[bytes, list[tuple[str, str]]] = {}
        self._read: set[bytes] = set()
        self._in_no_index: set[bytes] = set()
        self._needed: set[bytes] = set()
        self._entries = 0
        self.bad = BadPlaces()
        """Places found bad by this check, of which nothing can be had."""
        self.healable = BadPlaces()
        """Places found bad of which the block's parity gives all."""
        self.healable_blocks: set[bytes] = set()
        """Damaged blocks of which their parity gives all."""
        self.recorded = BadPlaces()
        """Places that damage records name."""
        self.now_recorded = BadPlaces()
        """Places that this check recorded itself."""
        self.recorded.add_records(objects.damage, objects.deleted)

    def run(self, snapshots: list[SnapshotAt]) -> None:
        """Check all blocks, and the trees of these snapshots."""
        self._check_presence()
        before = self.known_bad()
        if self._order.crc:
            self._begin_crc()
        if self._order.blocks_only:
            self._finish_crc()
            if all(block_id in self.recorded for block_id in self._block_problems):
                # What was known before is walked for by the next periodic check.
                return
            if self._order.repair:
                # A repair gives up nothing that it did not read.
                recorded = self.recorded.blocks | self.recorded.chunks.keys()
                for block_id in (recorded & self._listed.keys()) - self._block_problems.keys():
                    self._verify(block_id)
        self._walk(snapshots, before)
        self._finish_crc()
        for block_id in self._healed_as_read - self._read:
            self._verify(block_id)
        is_behind = False
        if self._block_problems or self._needed or self._in_no_index:
            snapshots, is_behind = self._caught_up(snapshots)
        after = self.known_bad()
        if is_behind or after.without(before) or before.without(after):
            self._findings.forget_hits()
            self._in_no_index.clear()
            self._needed.clear()
            self._walk(snapshots, after)

    @property
    def is_to_be_healed(self) -> bool:
        """Whether something is lost, or damage was found that no record named before."""
        is_lost = bool(self._findings.hit_count or self.readable_blocks() - self._stored_again())
        return is_lost or bool(self.bad.without(self.recorded))

    @property
    def needed_blocks(self) -> int:
        """Blocks in which lies what snapshots need and nobody gives."""
        return len(self._needed)

    @property
    def chunk_count(self) -> int:
        """That the index names."""
        return len(self._tables)

    @property
    def has_read_all(self) -> bool:
        """Whether every byte of each block that lies there was read by this check."""
        return self._order.crc and self._listed.keys() <= self._read

    def readable_blocks(self) -> set[bytes]:
        """Damaged blocks of which all chunks can be had: by parity, or for the damage is beside them."""
        return self.healable_blocks | self._unharmed()

    def damaged_blocks(self) -> set[bytes]:
        """Blocks of which a part is bad as it lies there, or was when it was recorded."""
        known = self.known_bad()
        return known.blocks | known.chunks.keys() | self.readable_blocks()

    def look_again(self, snapshots: list[SnapshotAt], new_blocks: Collection[bytes]) -> None:
        """After healing: read these blocks, then walk the trees of these snapshots once more."""
        # Lists closed meanwhile are not read: what they gave free may lie where an index object newer than ours says.
        self.recorded.update(self.now_recorded)
        self._indexed = {row.block_id: row.size_bytes for row in self._tables.blocks()}
        self._listed = list_blocks(self._place.repository.place)
        for block_id in new_blocks:
            self._verify(block_id)
        self._findings.forget_hits()
        self._in_no_index.clear()
        self._needed.clear()
        self._walk(snapshots, self.known_bad())

    def _caught_up(self, snapshots: list[SnapshotAt]) -> tuple[list[SnapshotAt], bool]:
        """After a look at what went meanwhile: the snapshots that were not dropped, and whether anything did go.

        What a freeing deleted since the check began is no damage: what is needed of it was copied before.
        """
        void, _ = self._place.records.readable_void_names()
        left = [at for at in snapshots if at.name not in void]
        gone = read_deleted(self._place.repository) - self._objects.deleted
        self._objects.deleted.update(gone)
        for block_id, problems in [*self._block_problems.items()]:
            is_missing = problems[0][0] == ObjectMissingError.code and block_id in self._objects.deleted
            if is_missing or block_id in gone:
                del self._block_problems[block_id]
                self.bad.forget(block_id)
                self.healable.forget(block_id)
                self.healable_blocks.discard(block_id)
                gone.add(block_id)
        is_more = self._tables.recheck()
        return left, is_more or bool(gone) or len(left) < len(snapshots)

    def result(self) -> dict[str, Any]:
        """Counts for the result."""
        orphans = self._orphans()
        return {
            "statistics": self.statistics(),
            "coverage": self._verified.result(self._listed),
            "blocks": len(self._listed),
            "chunks": len(self._tables),
            "entries": self._entries,
            "healable_blocks": len(self.healable_blocks),
            "bytes_read": self._verified_bytes + self._segments.fetched_bytes,
            "orphans": {
                "blocks": len(orphans),
                "bytes": sum(orphans.values()),
                "damaged": self._damaged_orphans,
            },
        }

    def statistics(self) -> dict[str, Any]:
        """What the index says that is stored, and what of that lies there; without what nobody needs any more."""
        given_up = self._objects.deleted | (self.known_bad().blocks - self._needed)
        indexed = {one: size for one, size in self._indexed.items() if one not in given_up}
        found = {one: self._listed[one] for one in indexed if one in self._listed}
        recorded, counted = ({"blocks": len(one), "bytes": sum(one.values())} for one in (indexed, found))
        return {"recorded": recorded, "found": counted, "agree": recorded == counted}

    def close(self) -> None:
        """End workers, close tables, keep what was verified."""
        self._verified.keep(self._listed)
        if self._crc is not None:
            self._crc.close()
        self._tables.close()

    # Blocks

    def _check_presence(self) -> None:
        """First how many blocks are there, then how long each is; one of another length is looked into at once."""
        self._listed = list_blocks(self._place.repository.place)
        # A repair gives up nothing that it did not read; a share of the blocks alone is mostly all that is looked at.
        reads_recorded = self._order.repair and not self._order.blocks_only
        for block_id, size in self._indexed.items():
            found = self._listed.get(block_id)
            if found is None:
                if block_id not in self._deleted():
                    self.bad.add_block(block_id)
                    message = f"{block_name(block_id)} is missing"
                    self._block_problems[block_id] = [(ObjectMissingError.code, message)]
            elif found != size or (
                block_id in self.recorded and (reads_recorded or self._segments.healer.may_heal(block_id))
            ):
                # Of what is recorded as bad, its parity may give all.
                self._verify(block_id)
        orphans = self._orphans()
        if orphans:
            self._context.tell(
                "information",
                f"in no index object: {count(len(orphans), 'block')} ({format_bytes(sum(orphans.values()))}), "
                "left by runs that were stopped, or a run is under way",
            )

    def _verify(self, block_id: bytes) -> None:
        self._context.cancel.check()
        self._take(self._verifier.verify(block_id, self._indexed.get(block_id, 0)))

    def _deleted(self) -> set[bytes]:
        """Blocks that closed gc lists name, read once more when the first one is missing: it may have gone just now."""
        if self._has_reread is False:
            self._has_reread = True
            self._objects.deleted.update(read_deleted(self._place.repository))
        return self._objects.deleted

    def _orphans(self) -> dict[bytes, int]:
        return {block_id: size for block_id, size in self._listed.items() if block_id not in self._indexed}

    def _begin_crc(self) -> None:
        share = self._order.share_permille
        chosen = self._verified.next_share(self._listed, share) if share is not None else list(self._listed)
        self._crc_bytes = sum(self._listed[block_id] for block_id in chosen)
        shown = f"{format_bytes(self._crc_bytes)} in {count(len(chosen), 'block')}"
        self._context.tell("information", f"reading {shown} from {self._place.whole.shown}")
        done = self._block_problems.keys()
        todo = [(block_id, self._indexed.get(block_id, 0)) for block_id in chosen if block_id not in done]
        workers = self._order.limits.jobs or default_count()
        self._crc = BlockCheck(self._place.setup(), workers, todo, self._context.meters.of(self._place.address))

    def _finish_crc(self) -> None:
        while self._crc is not None and not self._crc.is_done:
            self._pump(0.2)

    def _pump(self, timeout: float) -> None:
        self._context.cancel.check()
        if self._crc is not None:
            for verdict in self._crc.pump(timeout):
                self._take(verdict)
        self._context.progress(partial(check_progress, self._entries, self._verified_bytes, self._crc_bytes))
        self._context.wait_while_paused()

    def _take(self, verdict: BlockVerdict) -> None:
        self._verified_bytes += verdict.size_bytes
        block_id = verdict.block_id
        # What was read now counts, not what a record says of it.
        self._read.add(block_id)
        self._verified.note(block_id)
        if block_id not in self._indexed:
            if verdict.problems:
                self._damaged_orphans += 1
                self._context.tell("information", f"{verdict.problems[0][1]}; no index object names the block")
            return
        lost = self._places.compare(verdict, self.healable if verdict.is_healable else self.bad)
        problems = list(verdict.problems)
        if verdict.is_healable:
            self.healable_blocks.add(block_id)
            problems = [(code, f"{message}; all of it can be healed from its parity") for code, message in problems]
        if lost and not problems:
            text = f"{block_name(block_id)} has other chunks than the index says"
            problems.append((FormatError.code, text))
        if problems:
            self._block_problems[block_id] = problems

    # Trees

    def _walk(self, snapshots: list[SnapshotAt], bad: BadPlaces) -> None:
        """The newest of each set first: what older ones share with them is known by then."""
        self.has_walked = True
        bad.mark(self._tables, self._objects.deleted)
        reader = ChunkReader(self._segments, self._tables)
        areas = self.areas = AreaRecount(self._place, self._tables, self._objects, self._listed)
        trees = TreeCheck(reader.load, self._tables.has_many, self._tables, areas.note)
        for snapshot in areas.begin(snapshots, bad):
            name = naming.snapshot_id_text(snapshot.id)
            for hit in trees.walk(snapshot.root):
                if hit is not None:
                    areas.give_up()
                    self._findings.losses.add(snapshot, hit)
                    self._note(name, hit)
                self._entries = trees.entry_count
                self._pump(0.0)
            areas.end(snapshot, reader.load)

    def _note(self, snapshot: str, hit: Hit) -> None:
        self._findings.hit(snapshot, hit)
        if not hit.lost:
            self._findings.add(f"tree of {snapshot}", FormatError.code, hit.message)
        for start in range(0, len(hit.lost), 32):
            chunk_id = hit.lost[start : start + 32]
            places = self._tables.places(chunk_id)
            if not places:
                self._in_no_index.add(chunk_id)
            for place in places:
                self._needed.add(place.block_id)
                # A node that no place gave: those that were not known to be bad are from now on.
                if hit.message and place.block_id in self._listed:
                    self.bad.add_chunks(place.block_id, chunk_id)
                    self._block_problems.setdefault(place.block_id, [(ChunkLostError.code, hit.message)])

    # What is a problem

    def known_bad(self) -> BadPlaces:
        """What this check found bad, and what is recorded and was not read."""
        known = BadPlaces()
        known.add_records(self._objects.damage, self._objects.deleted)
        for block_id in self._read:
            known.forget(block_id)
        known.update(self.bad)
        return known

    def judge(self) -> None:
        """A bad place that was recorded before and that nothing needs any more is healed, all others are problems."""
        fresh = self.bad.without(self.recorded)
        # What an open list names may go, where a freeing deletes by an older list that nobody can read.
        stored_again, going = self._stored_again(), self._objects.absent - self._listed.keys()
        going |= retired_in(self._objects.damage)
        healed = len(stored_again)
        for block_id, problems in self._block_problems.items():
            if block_id in stored_again:
                continue
            is_known = block_id not in fresh or block_id in going
            if block_id in self.bad and is_known and block_id not in self._needed:
                healed += 1
                continue
            for code, message in problems:
                self._findings.add(block_name(block_id), code, message)
        for block_id in self._needed - self._block_problems.keys():
            reason = "was given free" if block_id in self._objects.deleted else "is recorded as damaged"
            text = f"{block_name(block_id)} {reason}, but snapshots need what lay in it"
            self._findings.add(block_name(block_id), ChunkLostError.code, text)
        if self.healable_blocks - stored_again:
            found = count(len(self.healable_blocks - stored_again), "damaged block")
            self._context.tell("information", f"read whole by parity: {found}: no file is lost by that")
        if healed:
            blocks = count(healed, "damaged block")
            what = "no snapshot that was checked needs what is lost in it any more"
            if not self.has_walked:
                what = "a check of all snapshots says whether anything needs what is lost in it"
            self._context.tell("information", f"{blocks} recorded before: {what}")
        if self._in_no_index:
            some = ", ".join(sorted(chunk_id.hex()[:16] for chunk_id in self._in_no_index)[:_MOST_CHUNKS_NAMED])
            self._findings.add(
                "index",
                ChunkLostError.code,
                f"in no readable index object: {count(len(self._in_no_index), 'chunk')} of snapshots: {some}",
            )

    def _stored_again(self) -> set[bytes]:
        """Damaged blocks that nobody has to read: what is bad in them was recorded, and lies elsewhere now."""
        bad = self.known_bad()
        bad.update(self.healable)
        given_up = self._unharmed() & self.recorded.blocks
        for block_id in given_up:
            bad.add_block(block_id)
        bad.mark(self._tables, self._objects.deleted)
        fresh = self.healable.without(self.recorded)
        known = {one for one in self.healable_blocks if one in self.healable and one not in fresh} | given_up
        return {block_id for block_id in known if all(self._tables.has_many(self._bad_ids(block_id)))}

    def _unharmed(self) -> set[bytes]:
        """Damaged blocks whose chunks lie there whole, as where only the directory is damaged."""
        return {one for one in self._block_problems if one not in self.bad and one not in self.healable}

    def _bad_ids(self, block_id: bytes) -> bytes:
        chosen = self.healable.chunks.get(block_id)
        frames = self._tables.frames_of(block_id) if chosen is None else []
        return b"".join(frame.ids for frame in frames) if chosen is None else b"".join(chosen)
