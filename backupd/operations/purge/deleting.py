"""Every object of a repository goes, in an order that leaves it unreadable first and recognisable to the last."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

from backupd.destination.contract import Below, Destination, SettlesDeletions, Store
from backupd.errors import FormatError
from backupd.model import events
from backupd.operations.context import JobContext
from backupd.repository import identity, purge_marker
from backupd.repository.deleting import delete_each
from backupd.repository.identity import TWINS
from backupd.snapshot import naming
from backupd.store_errors import PurgeWaitsError

_ROUNDS = 5
_FIRST = ("keys/", "keyring/")


class Deleting:
    """Of one repository, to which nobody writes any more."""

    def __init__(self, context: JobContext, store: Store, repository: str, stored_bytes: int) -> None:
        """store: the whole place. stored_bytes: of all of it, to tell how far it is."""
        self._context, self._store, self._repository, self._stored_bytes = context, store, repository, stored_bytes
        self.objects = self.blocks = self.bytes = 0
        """What was deleted; bytes of all but keys."""
        self.locked: dict[str, int] = {}
        """Objects that the store retains, and until when; nanoseconds."""

    def run(self, whole: Destination) -> None:
        """Key slots first; what says that it is a repository, and the marker, last, and only when nothing else is left.

        whole: the place, by which it is deleted.
        """
        context, below = self._context, Below(whole, self._repository)
        context.step("destroy the keys")
        for folder in _FIRST:
            self._delete_all(below, [info.name for info in below.list(folder)], {})
        context.step("delete all else")
        for _ in range(_ROUNDS):
            sizes = {info.name: info.size_bytes for info in below.list("") if info.name not in self.locked}
            left = [name for name in sizes if name not in TWINS and not naming.is_purge_name(name)]
            if not left:
                break
            self._delete_all(below, left, sizes)
        else:
            if below.traits.create_if_absent and not self.locked:
                raise PurgeWaitsError(
                    "something still arrives there, from a writer that has not seen the purge",
                    hint="purge again in a minute",
                )
        if self.locked:
            return
        # What says what this is goes when nothing else can come back.
        self._settle()
        self._delete_all(below, list(TWINS), {})
        if self.locked:
            return
        # Before the marker: without it nobody would know what the name stands for.
        with suppress(FormatError):
            if identity.read_once(whole) == self._repository:
                whole.delete("once.json")
        self._settle()
        # What says that keys are gone goes last of all.
        for name in sorted(purge_marker.names(below), key=lambda name: purge_marker.read(below, name).is_deleting):
            below.delete(name)
        for folder in ("snapshots", "sessions", "blocks", ""):
            self._store.remove_empty_folders(f"{self._repository}/{folder}".rstrip("/"))

    def _settle(self) -> None:
        if isinstance(self._store, SettlesDeletions):
            self._store.settle_deletions(self._repository)

    def _delete_all(self, below: Destination, wanted: Iterable[str], sizes: dict[str, int]) -> None:
        for name, locked in delete_each(below, wanted, self._context.cancel.check):
            if locked is not None:
                self.locked[name] = int(locked.context.get("until_ns", 0))
            else:
                self.objects += 1
                self.blocks += name.startswith("blocks/")
                self.bytes += sizes.get(name, 0)
            self._tick()

    def _tick(self) -> None:
        self._context.progress(
            lambda elapsed: events.Progress(
                step="delete", bytes_done=self.bytes, bytes_total=self._stored_bytes, elapsed_seconds=elapsed
            )
        )
