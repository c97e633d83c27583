"""Heals what no block holds: snapshots, keyrings, key slots, the text objects of a repository (FEATURES 8.3).

A snapshot comes back as a copy: under a name of its own, with a session and all that a copy to another place does, for
no name is ever written twice. The damaged name is dropped then. Keys and text objects are the same bytes at each place;
one that is damaged is deleted for the whole one to take its name, which is in hand and was looked at by then. A crash
between the two leaves it missing: the next repair creates it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress

from backupd.errors import (
    BackupError,
    BusyError,
    DamageError,
    DestinationError,
    NewerVersionError,
    ObjectExistsError,
    ObjectMissingError,
)
from backupd.model.orders import CheckOrder, ReplicateOrder
from backupd.operations.context import JobContext
from backupd.operations.places import OpenPlace, writing
from backupd.operations.repair.sources import open_sibling, passed_over
from backupd.operations.replicate.one_set import SetReplication
from backupd.operations.replicate.report import Report
from backupd.operations.snapshot_listing import SnapshotAt
from backupd.repository import identity
from backupd.repository.dropping import drop_snapshots
from backupd.repository.object_check import ObjectProblem, is_damage, is_whole_key
from backupd.settings.lock import SetLock
from backupd.snapshot.naming import SnapshotName, parse_snapshot_name

_MAX_BYTES = 1 << 20
_KEYS = ("keys/", "keyring/")


class SmallObjectRepair:
    """Of one check."""

    def __init__(self, order: CheckOrder, context: JobContext, place: OpenPlace) -> None:
        self._order, self._context, self._place = order, context, place
        self._healed: dict[str, str] = {}

    def run(self, problems: Sequence[ObjectProblem]) -> dict[str, str]:
        """Heal what is at hand of these; by name from where it came. What fails is told, and stays a problem."""
        names = [problem.name for problem in problems if is_damage(problem.code)]
        texts = [name for name in names if name in identity.TWINS]
        keys = [name for name in names if name.startswith(_KEYS)]
        snapshots = [parsed for name in names if (parsed := parse_snapshot_name(name)) is not None]
        if not texts and not keys and not snapshots:
            return {}
        self._context.step("repair keys, texts and snapshots")
        if not self._twins_differ:
            for name in texts:
                self._heal_twin(self._place, name, self._place.whole.shown)
        for sibling in self._order.siblings:
            with passed_over(self._context, sibling) as name:
                opened = open_sibling(self._context, self._place, sibling)
                if opened is not None:
                    self._heal_from(opened, name, texts, keys, snapshots)
        return self._healed

    def _heal_from(
        self, source: OpenPlace, called: str, texts: list[str], keys: list[str], snapshots: list[SnapshotName]
    ) -> None:
        for name in texts:
            self._heal_twin(source, name, called)
        for name in keys:
            with suppress(DamageError, ObjectMissingError, NewerVersionError):
                data = source.repository.place.get(name, 0, _MAX_BYTES)
                if is_whole_key(name, data):
                    self._put(name, data, called)
        for set_id in dict.fromkeys(one.set_id for one in snapshots):
            damaged = [one for one in snapshots if one.set_id == set_id and one.name not in self._healed]
            if damaged:
                self._copy_snapshots(source, called, set_id, damaged)

    # Text objects and keys

    @property
    def _twins_differ(self) -> bool:
        """Whether both can be read and say other things: then only a sibling knows which one is damaged."""
        repository = self._place.repository.text_id
        damaged = identity.damaged_twins(self._place.whole, repository)
        return any("twin differ" in message for message in damaged.values())

    def _heal_twin(self, source: OpenPlace, name: str, called: str) -> None:
        """From a twin there that is whole; of one's own place from the other twin."""
        is_own = source is self._place
        damaged = identity.damaged_twins(source.whole, self._place.repository.text_id)
        good = [twin for twin in identity.TWINS if twin not in damaged and not (is_own and twin == name)]
        if good:
            self._put(name, source.repository.place.get(good[0], 0, _MAX_BYTES), called)

    def _put(self, name: str, data: bytes, called: str) -> None:
        """Put whole bytes under a name, in place of what is damaged there."""
        if name in self._healed:
            return
        try:
            with writing(self._context, self._place) as writable:
                place = writable.repository.place
                if place.size(name) is not None:
                    place.delete(name)
                with suppress(ObjectExistsError):
                    place.put(name, [data])
        except DestinationError as error:
            self._context.warn(f"{name} could not be healed from {called}: {error.message}")
        else:
            self._healed[name] = called

    # Snapshots

    def _copy_snapshots(self, source: OpenPlace, called: str, set_id: str, damaged: list[SnapshotName]) -> None:
        """Copy what the sibling has of these moments and this place lacks, then drop the names that are damaged."""
        context = self._context
        starts = {one.start for one in damaged}
        wanted = [*_readable(source, set_id, starts)]
        if not wanted or not self._is_wanted(set_id, wanted):
            return
        lock = SetLock(context.directories.state, set_id)
        try:
            lock.acquire(context.clock, 0.0, context.cancel)
        except BusyError as error:
            context.warn(f"a damaged snapshot of {wanted[0].snapshot.set_name} was not healed: {error.message}")
            return
        with lock:
            report = Report(context, called, self._place.whole.shown)
            order = ReplicateOrder(place=source.address, to=self._place.address)
            try:
                with writing(context, self._place) as writable:
                    SetReplication(context, source, writable, report, wanted, order).run()
                    copied = {at.snapshot.id for at in wanted if report.has_copied(at.snapshot)}
                    self._drop(writable, called, damaged, wanted, copied)
            except BackupError as error:
                context.cancel.check()
                context.warn(f"a damaged snapshot could not be copied from {called}: {error.message}")

    def _is_wanted(self, set_id: str, wanted: list[SnapshotAt]) -> bool:
        words = self._order.set_names
        return not words or set_id in words or any(at.snapshot.set_name in words for at in wanted)

    def _drop(
        self, place: OpenPlace, called: str, damaged: list[SnapshotName], wanted: list[SnapshotAt], copied: set[bytes]
    ) -> None:
        """A name is given up where what it held is here; a copy's name does not tell what that was.

        So for a copy of that moment which was not here before, one for one. copied: ids.
        """
        # A repair that was killed after it copied, or a replication, has brought these before.
        here = {at.snapshot.id for at in wanted}
        told = {one.session for one in damaged} & here
        others = [at.name for at in wanted if at.snapshot.id in copied - told]
        left = [parsed.start for name in others if (parsed := parse_snapshot_name(name)) is not None]
        host_id = bytes.fromhex(self._context.host.host_id)
        for one in damaged:
            if one.session not in told:
                if one.start not in left:
                    continue
                left.remove(one.start)
            now_ns = self._context.clock.now_ns()
            drop_snapshots(place.records, [one.name], now_ns, host_id, f"damaged; copied again from {called}")
            self._healed[one.name] = called


def _readable(source: OpenPlace, set_id: str, starts: set[str]) -> Iterator[SnapshotAt]:
    """Finished snapshots of a set that began at these moments, the oldest first."""
    names = [one for one in source.records.snapshot_names() if one.set_id == set_id and one.start in starts]
    for one in sorted(names, key=lambda name: name.start):
        with suppress(DamageError, ObjectMissingError, NewerVersionError):
            snapshot = source.records.snapshot(one.name)
            if snapshot.is_complete:
                yield SnapshotAt(one.name, snapshot)
