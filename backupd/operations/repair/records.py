"""A way out for records that can't be read: what stands in for each says no more than is sure (docs/protocol.md).

Nothing here lets more be deleted than before. What has no safe way out stays a problem, and ends each freeing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from backupd.errors import BackupError, ConflictError, ObjectExistsError
from backupd.model.orders import CheckOrder
from backupd.operations.check_findings import Findings
from backupd.operations.context import JobContext
from backupd.operations.places import OpenPlace, writing
from backupd.repository import reserve
from backupd.repository.block_listing import list_blocks
from backupd.repository.notes import readable_notes, write_note
from backupd.repository.object_check import ObjectProblem, SmallObjects, is_damage
from backupd.repository.records import Records
from backupd.seal.header import ObjectKind
from backupd.snapshot import naming
from backupd.snapshot.notes import NOTHING, PIN
from backupd.snapshot.records import BlockList, Note, Snapshot

_TRIES = 3
_Way = Callable[[Records, str], str]
"""Does without the object of that name; what stands in for it. Raises BackupError."""


class RecordRepair:
    """Of one check."""

    def __init__(self, order: CheckOrder, context: JobContext, place: OpenPlace, objects: SmallObjects) -> None:
        self._order, self._context, self._place = order, context, place
        self._objects = objects
        self._living: list[Snapshot] = [one for name, one in objects.snapshots.items() if name not in objects.void]

    def before_reading(self, problems: Sequence[ObjectProblem]) -> dict[str, str]:
        """Put something in place of gc lists and, where that was confirmed, of notes; by name what stands in for it."""
        ways: dict[str, _Way] = {}
        # Candidates first: an open generation is ended before another one is begun.
        for problem in sorted(problems, key=lambda one: one.name.endswith(".deleted")):
            parsed = naming.parse_gc_name(problem.name)
            if parsed is not None:
                ways[problem.name] = self._without_candidates if parsed[1] == "candidates" else self._without_deleted
            elif problem.name.startswith("notes/") and self._is_confirmed:
                ways[problem.name] = self._without_note
        return self._do(problems, ways)

    def after_reading(self, findings: Findings, *, has_read: bool, is_whole: bool) -> dict[str, str]:
        """Do without damage records and, where that was confirmed, without drop records.

        has_read: every block was read, and what is bad in them is recorded. is_whole: all snapshots that stand are.
        """
        ways: dict[str, _Way] = {}
        for problem in findings.problems:
            if problem.name.startswith("damage/") and has_read:
                ways[problem.name] = _without_damage
            elif problem.name.startswith("gc/drop-") and is_whole and self._is_confirmed:
                ways[problem.name] = self._without_drop
        healed = self._do(findings.problems, ways)
        findings.problems = [one for one in findings.problems if one.name not in healed]
        return healed

    def _do(self, problems: Sequence[ObjectProblem], ways: dict[str, _Way]) -> dict[str, str]:
        healed: dict[str, str] = {}
        damaged = {one.name for one in problems if is_damage(one.code)}
        for name, way in ways.items():
            if name not in damaged:
                continue
            try:
                with writing(self._context, self._place) as place:
                    healed[name] = way(place.records, name)
            except BackupError as error:
                self._context.cancel.check()
                self._context.warn(f"{name} can't be done without: {error.message}")
            else:
                self._context.warn(f"{name} can't be read; in its place now: {healed[name]}")
        return healed

    @property
    def _is_confirmed(self) -> bool:
        """Whether somebody knows what a note, or a drop, may have said."""
        names = {one.set_name for one in self._living} | {naming.set_id_text(one.set_id) for one in self._living}
        return self._order.confirmed in names

    # Gc lists

    def _without_candidates(self, records: Records, name: str) -> str:
        """End the generation with a list that gives nothing free; what the candidates named is needed, or named again.

        Who waits to end it finds that name taken, and deletes what stands there: nothing.
        """
        self._see_that_one_creates(records)
        n = _number(name)
        try:
            records.put(ObjectKind.DELETED, naming.gc_name(n, "deleted"), BlockList(n, []))
        except ObjectExistsError:
            # Ended already: nobody reads the candidates any more, unless that list can't be read either.
            records.get(ObjectKind.DELETED, naming.gc_name(n, "deleted"), BlockList)
        records.place.delete(name)
        return "a list that gives nothing free"

    def _without_deleted(self, records: Records, name: str) -> str:
        """Cover the list by one of its candidates that are gone; those that are there are candidates again.

        What it named was among the candidates, or in lists that stand. One who sleeps while he deletes may go on: so
        those are asked for before the list is covered, and nobody relies on them anew in between. What the new
        generation strikes out the old one did, too. Raises as Records.get where the candidates can't be read either:
        then nobody knows what was deleted.
        """
        self._see_that_one_creates(records)
        n = _number(name)
        proposed = set(records.get(ObjectKind.CANDIDATES, naming.gc_name(n, "candidates"), BlockList).blocks)
        there = proposed & list_blocks(records.place).keys()
        # By a repair that was broken off, or by a cleaner.
        is_asked = there <= _asked(records)
        for _ in range(_TRIES):
            new = max(number for number, _ in _gc_numbers(records)) + 1
            try:
                if not is_asked:
                    again = BlockList(new + 1, sorted(there))
                    records.put(ObjectKind.CANDIDATES, naming.gc_name(new + 1, "candidates"), again)
                    is_asked = True
                gone = BlockList(new, sorted(proposed - there), [n])
                records.put(ObjectKind.DELETED, naming.gc_name(new, "deleted"), gone)
            except ObjectExistsError:
                continue
            left = "" if not there else "; those that are there are candidates again"
            return f"list {new}, of its candidates that are gone{left}"
        raise ObjectExistsError("others free space at the same time")

    def _see_that_one_creates(self, records: Records) -> None:
        # What the store can do is known for sure once something was created.
        reserve.prove(records.place)
        if not records.is_exact:
            raise ConflictError(
                "this store does not say which of two writers was first: what another host wrote may not be seen yet"
            )

    def _without_drop(self, records: Records, name: str) -> str:
        """All that stands was found whole, by the lists that this check knows.

        Raises ConflictError where a session is announced whose snapshot is not among what was found whole: its name may
        be one of those, and then it must not commit. So where a list is open, or came meanwhile: who began it may have
        read this record, and go by it.
        """
        gc = records.gc_state()
        if gc.open_lists or not gc.deleted <= self._objects.deleted:
            raise ConflictError("space is being freed by what it may have said; end that first: bkctl free SET")
        walked = self._objects.snapshots.keys() - self._objects.void
        # Where listings lag, each run stays announced when it has committed.
        posted = (records.readable_session(*one) for one in records.sessions().items())
        if any(one is None or one.snapshot_name not in walked for one in posted):
            raise ConflictError("it may have ended a run that is still announced: bkctl destination sessions shows it")
        records.place.delete(name)
        return "nothing: what it dropped and still stands is listed again"

    # Notes

    def _without_note(self, records: Records, name: str) -> str:
        """Pin all snapshots: it may have been a pin of any of them, or a tag that keeps one.

        Not where listings lag: one that is not listed yet, though it was noted, would lose its pin.
        """
        self._see_that_one_creates(records)
        noted, _ = readable_notes(records)
        host_id, now_ns = bytes.fromhex(self._context.host.host_id), self._context.clock.now_ns()
        count = 0
        for one in self._living:
            before = noted.get(one.id, NOTHING)
            if one.is_complete and not before.is_pinned:
                written_ns = max(now_ns, before.newest_ns + 1)
                write_note(records, Note(written_ns, host_id, one.id, PIN, "a note could not be read"))
                count += 1
        records.place.delete(name)
        pins = "a pin of 1 snapshot" if count == 1 else f"pins of {count} snapshots"
        return f"{pins}; bkctl snapshot unpin those that need not stay"


def _gc_numbers(records: Records) -> list[tuple[int, str]]:
    """Number and kind of each list that stands."""
    parsed = (naming.parse_gc_name(one.name) for one in records.place.list("gc/"))
    return [one for one in parsed if one is not None]


def _asked(records: Records) -> set[bytes]:
    """Blocks that open lists name. Raises as Records.get."""
    numbers = _gc_numbers(records)
    closed = {n for n, kind in numbers if kind == "deleted"}
    names = [naming.gc_name(n, "candidates") for n, kind in numbers if kind == "candidates" and n not in closed]
    return {block_id for name in names for block_id in records.get(ObjectKind.CANDIDATES, name, BlockList).blocks}


def _number(name: str) -> int:
    parsed = naming.parse_gc_name(name)
    if parsed is None:
        raise AssertionError(f"{name} is no gc list")
    return parsed[0]


def _without_damage(records: Records, name: str) -> str:
    records.place.delete(name)
    return "what this check found of all blocks"
