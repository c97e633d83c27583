"""The places of one backup, each opened for writing; one that can't be is no hindrance to the others (DESIGN 5)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import msgspec

from backupd import durable_io
from backupd.cancel import Cancel, PartCancel
from backupd.destination.stores import canonical
from backupd.errors import BackupError, StoppedError
from backupd.model.orders import BackupOrder, FurtherPlace, OwnRepository
from backupd.model.places import inside
from backupd.operations import cache_place
from backupd.operations.backup.opening import OpenedForWriting, open_for_writing
from backupd.operations.backup.part import Part
from backupd.operations.backup.parts import Parts
from backupd.operations.backup.session import WriterIdentity
from backupd.operations.backup.setting import SetUse
from backupd.operations.context import JobContext, error_fields
from backupd.operations.failover import on_one_member
from backupd.operations.places import closed, remove_dead_temporaries, split_place
from backupd.repository import identity
from backupd.settings.writer_mark import WriterMark
from backupd.sizes import count


class Places:
    """What was opened of an order's places, by their number in it, and what hindered the others."""

    def __init__(self, order: BackupOrder, context: JobContext, tag: str) -> None:
        """tag: of this writer's temporary files."""
        self.order, self.context, self._tag = order, context, tag
        self._opened: dict[int, OpenedForWriting] = {}
        self._cancels: dict[int, Cancel] = {}
        self._orders: dict[int, BackupOrder] = {}
        self._errors: dict[int, BackupError] = {}
        self._parts: Parts | None = None
        self._alarms: dict[int, BackupError] = {}
        """Of several places: at which one snapshots are gone is that place's own matter."""

    def open(self, stack: ExitStack) -> None:
        """Open all; the stack closes them. Raises the first place's error where none could be."""
        further = [] if self.order.dry_run else self.order.also
        for number, order in enumerate([self.order, *(self._order_at(place) for place in further)]):
            try:
                is_reading = order.existing or order.dry_run
                address = on_one_member(order.place, order.access, self.context, create=not is_reading)
                chosen = msgspec.structs.replace(order, place=address)
                if number == 0:
                    self.order = msgspec.structs.replace(self.order, place=chosen.place)
                self._cancels[number], self._orders[number] = PartCancel(self.context.cancel), chosen
                self._opened[number] = self._open(number, self._joining(chosen), stack)
            except StoppedError:
                raise
            except BackupError as error:
                if not further:
                    raise
                self._errors[number] = error
            if further and self.context.alarm is not None:
                self._alarms[number], self.context.alarm = self.context.alarm, None
        if not self._opened:
            raise self._errors[0]

    @contextmanager
    def all_told(self) -> Iterator[None]:
        """What ends the run at all of several places says of each of them why: `context.places`, by number."""
        try:
            yield
        except BackupError as error:
            found = {**self._errors, **(self._parts.errors if self._parts is not None else {})}
            if self.order.also and found:
                told = {str(number): error_fields(one) for number, one in found.items()}
                error.context = {**error.context, "places": told}
            raise

    @property
    def first(self) -> OpenedForWriting:
        """The first that could be opened."""
        return self._opened[min(self._opened)]

    def parts(self, use: SetUse) -> Parts:
        """What a run works with."""
        host = self.context.host
        who = WriterIdentity(bytes.fromhex(host.host_id), bytes.fromhex(host.state_id), host.boot_id, use.set_id)
        parts = [
            Part(number, self.context, self._cancels[number], opened, use, who, self._orders[number])
            for number, opened in self._opened.items()
        ]
        for part in parts:
            part.alarm = self._alarms.get(part.number)
        addresses = [self.order.place, *(place.place for place in self.order.also)]
        self._parts = Parts(parts, addresses, self._errors, self.context.clock)
        return self._parts

    def forget_kept(self, use: SetUse) -> None:
        """Where the set keeps nothing here any more: what earlier runs kept of it. The caller holds the set's lock."""
        if self.order.cache.mode != "none" or self.order.dry_run:
            return
        for opened in self._opened.values():
            repository, tag = opened.place.repository.text_id, os.path.basename(opened.place.cache)
            # Other sets go by the index of a repository that several share.
            cache_place.forget(self.context, repository, tag, None if self.order.own is not None else use.set_id)

    def _order_at(self, place: FurtherPlace) -> BackupOrder:
        return msgspec.structs.replace(
            self.order,
            place=place.place,
            access=place.access,
            own=place.own,
            existing=place.existing,
            space=place.space,
            also=[],
        )

    def _joining(self, order: BackupOrder) -> BackupOrder:
        """Where nothing is known of earlier runs at a place: a copy of the repository that the first one has.

        Else it would be copied from whatever place is known to have it, and that may be the one that is away.
        """
        if not self._opened or order.own is None or order.existing:
            return order
        first = self.first.place
        repository = first.repository.text_id
        if not order.own.adopts and order.own.repository != repository:
            return order
        origin = inside(split_place(first.address)[0], repository)
        own = OwnRepository(repository=repository, copied_from=origin, copied_access=first.access)
        return msgspec.structs.replace(order, own=own)

    def _open(self, number: int, order: BackupOrder, stack: ExitStack) -> OpenedForWriting:
        place_tag = identity.place_tag(canonical(split_place(order.place)[0]))
        mark = stack.enter_context(WriterMark(self.context.directories.state, place_tag, self._tag))
        opened = open_for_writing(order, self.context, self._tag, self._cancels[number])
        stack.enter_context(closed(opened.whole, mark))
        if not order.dry_run:
            self._remove_leftovers(opened, mark)
        return opened

    def _remove_leftovers(self, opened: OpenedForWriting, mark: WriterMark) -> None:
        """Remove temporary files of writers of this state that were killed, and finish what a killed maker began."""
        text_id = opened.place.repository.text_id
        identity.complete_twins(opened.whole, text_id)
        removed = remove_dead_temporaries(mark, opened.whole, text_id)
        if removed:
            text = f"removed {count(removed, 'temporary file')} that killed jobs left in {opened.whole.shown}"
            self.context.tell("information", text, verbosity=1)
        opened.whole.remove_empty_folders(f"{text_id}/sessions")
        state, data = self.context.directories.state, self.context.directories.data
        own = [state, *(os.path.join(state, name) for name in ("journals", "seen")), os.path.join(data, "keys")]
        cache = opened.place.cache
        for directory in (*own, cache, os.path.join(cache, "index")):
            durable_io.remove_leftovers(directory)
