"""The sets and destinations that the daemon knows: looked up by name or id, changed one at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import msgspec

from backupd.catalog import definitions as rows
from backupd.catalog.database import Connection, Database
from backupd.catalog.definitions import (
    StoredContact,
    StoredDefinition,
    StoredDestination,
    StoredNotice,
    StoredRepository,
    StoredSet,
)
from backupd.clock import Clock
from backupd.daemon import seeding, volumes
from backupd.daemon.config_plan import Known, Plan
from backupd.daemon.naming import new_id, pick, refuse_taken
from backupd.daemon.owners import Owners, refuse_host
from backupd.destination.stores import check_known
from backupd.errors import (
    ConflictError,
    DestinationNotFoundError,
    KeptInFileError,
    SetNotFoundError,
)
from backupd.model.places import is_place, lies_in
from backupd.model.sets import DestinationText, ProxyText, SetText
from backupd.model.store_access import Volume
from backupd.rules.definition_rules import check_destination, check_set, difference
from backupd.rules.fixed_settings import refuse_fixed
from backupd.rules.owner_rules import succeeding
from backupd.rules.pool_rules import check_members, pools_with, renamed_member, with_place
from backupd.settings.daemon_settings import DaemonSettings

Write = Callable[[Connection], None]
_Made = TypeVar("_Made")


class Definitions:
    """What the catalog says of sets and destinations, in memory. All on the event loop."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database, self._clock = database, clock
        self.owners = Owners(database)
        self._changing = asyncio.Lock()
        self.sets: list[StoredSet] = []
        self.destinations: list[StoredDestination] = []
        self.repositories: list[StoredRepository] = []
        self.seedings: seeding.Seedings = {}
        self.notices: list[StoredNotice] = []
        self.contacts: list[StoredContact] = []
        self.left: frozenset[str] = frozenset()
        """Ids of what came from a file of conf.d that names it no longer: commands may change it."""
        self.temp: str | None = None
        """Where jobs put aside what they need for themselves; None: the usual place."""
        self.proxy: ProxyText | None = None
        """On the way to all destinations that say nothing of one."""
        self.account_quota: str | None = None
        """How much all sets together may hold, in source bytes."""

    async def reload(self) -> None:
        """Read all from the catalog."""

        def read(
            connection: Connection,
        ) -> tuple[list[StoredSet], list[StoredDestination], list[StoredRepository], seeding.Seedings]:
            places = rows.destinations(connection)
            return rows.sets(connection), places, rows.repositories(connection), seeding.load(connection, places)

        found = await asyncio.wrap_future(self._database.read(read))
        self.sets, self.destinations, self.repositories, self.seedings = found
        self.notices = await asyncio.wrap_future(self._database.read(rows.notices))
        self.contacts = await asyncio.wrap_future(self._database.read(rows.contacts))
        await self.owners.learn(self.sets)

    def adopt(self, settings: DaemonSettings) -> None:
        """Take over what new settings say of all destinations and sets."""
        self.proxy, self.temp = settings.proxy, settings.temp
        self.account_quota = settings.account_quota or None

    # Looking up

    def set(self, word: str) -> StoredSet:
        """A set by name, id or the begin of an id. Raises SetNotFoundError, AmbiguousNameError."""
        refuse_host(word, self.sets, self.owners)
        return pick(word, self.sets, "b", SetNotFoundError)

    def destination(self, word: str) -> StoredDestination:
        """A destination by name, id or place. Raises DestinationNotFoundError, AmbiguousNameError."""
        by_place = [one for one in self.destinations if is_place(word) and one.text.place == word.rstrip("/")]
        if by_place:
            return by_place[0]
        return pick(word, self.destinations, "d", DestinationNotFoundError)

    def destination_of(self, place: str) -> StoredDestination | None:
        """The destination that a place, or a repository's place, lies in."""
        found = [one for one in self.destinations if lies_in(place, one.text.place)]
        return max(found, key=lambda one: len(one.text.place), default=None)

    def find_set(self, set_id: str | None) -> StoredSet | None:
        """A set by its whole id. None: it was removed meanwhile, or none is meant."""
        return next((stored for stored in self.sets if stored.id == set_id), None)

    def refuse_other_owner(self, set_id: str | None, what: str) -> None:
        """Raises OtherOwnerError where it is a set of another machine, which alone can do that; empty: all can."""
        stored = self.find_set(set_id)
        if stored is not None and what:
            self.owners.refuse_others(stored, what)

    def set_by_id(self, set_id: str) -> StoredSet:
        """A set by its whole id. Raises SetNotFoundError: it was removed meanwhile."""
        stored = self.find_set(set_id)
        if stored is None:
            raise SetNotFoundError("the set was removed meanwhile")
        return stored

    def repository(self, set_id: str, destination_id: str) -> StoredRepository | None:
        """Where a set is stored at a destination, None before its first run there."""
        found = (r for r in self.repositories if (r.set_id, r.destination_id) == (set_id, destination_id))
        return next(found, None)

    async def volume_of(self, stored: StoredDestination) -> Volume | None:
        """The file system that a destination lies on; noted at first sight. None: elsewhere, or nobody can tell."""
        return await volumes.volume_of(self._database, stored)

    def users_of(self, destination: StoredDestination) -> list[StoredSet]:
        """The sets that are stored there."""
        return [stored for stored in self.sets if destination.text.name in stored.text.to]

    @property
    def places(self) -> dict[str, DestinationText]:
        """The destinations' texts by name."""
        return {one.text.name: one.text for one in self.destinations}

    # Changing

    async def apply(self, make: Callable[[Known], Plan], *, dry_run: bool = False) -> Plan:
        """Bring many definitions to what a plan says, all of them or none. Raises what `make` raises, StateFullError.

        make: runs on another thread.
        """
        async with self._changing:
            known = Known(
                self.sets,
                self.destinations,
                self.left,
                self.notices,
                self.contacts,
                self._stored,
                self.owners.name,
                frozenset(one.id for one in self.sets if self.owners.is_own(one)),
            )
            plan = await asyncio.to_thread(make, known)
            if not dry_run:
                if plan.changes:
                    await self._write(_put_all, plan)
                    for destination in plan.destinations:
                        await self.volume_of(destination)
                self.left = plan.left
            return plan

    async def add_destination(self, text: DestinationText, *, dry_run: bool = False) -> StoredDestination:
        """Make a destination. Raises NameTakenError, ConflictError, ConfigError, StateFullError."""
        async with self._changing:
            text = check_destination(text)
            check_known(text.place)
            refuse_taken(text.name, self.destinations)
            identity = new_id("d", is_dry=dry_run)
            text = with_place(text, identity)
            _refuse_shared(text, self.destinations)
            self._check_members(text)
            made = StoredDestination(id=identity, text=text, file=None, created_ns=self._clock.now_ns())
            volume = await volumes.look(text)
            if not dry_run:
                await self._write(rows.put_destination, made)
                await volumes.keep(self._database, made, volume)
            return made

    async def add_set(self, text: SetText, *, dry_run: bool = False) -> StoredSet:
        """Make a set. Raises NameTakenError, DestinationNotFoundError, ConfigError, StateFullError."""
        async with self._changing:
            text = await asyncio.to_thread(check_set, text, self.places)
            refuse_taken(text.name, self.sets)
            made = StoredSet(id=new_id("b", is_dry=dry_run), text=text, file=None, created_ns=self._clock.now_ns())
            if not dry_run:
                await self._write(rows.put_set, made)
            return made

    async def change_set(
        self, stored: StoredSet, text: SetText, *, dry_run: bool = False
    ) -> tuple[StoredSet, dict[str, Any]]:
        """Give a set a new text; it, and the difference, empty when nothing changes.

        Raises as `add_set`, KeptInFileError, ConflictError: it is stored somewhere, and that can't follow.
        """
        async with self._changing:
            self.refuse_kept(stored := self.set_by_id(stored.id))
            here = self.owners.name if self.owners.is_own(stored) else ""
            text = succeeding(await asyncio.to_thread(check_set, text, self.places), stored.text, here)
            if stored.id in self._stored:
                refuse_fixed(stored.text, text)
            refuse_taken(text.name, [one for one in self.sets if one.id != stored.id])
            made, changes = msgspec.structs.replace(stored, text=text, file=None), difference(stored.text, text)
            followers = self._notices_renamed(stored.text.name, text.name)

            def write(connection: Connection) -> None:
                rows.put_set(connection, made)
                for notice in followers:
                    rows.put_notice(connection, notice)

            if changes and not dry_run:
                await self._write(write)
            return made, changes

    async def change_noticed(self, work: Callable[[], tuple[_Made, Write | None]]) -> _Made:
        """Change notices or contacts, one change at a time; what was made.

        work: looks at what there is, says what it makes of it and what to write; None: nothing. Raises what it raises,
        StateFullError.
        """
        async with self._changing:
            made, write = work()
            if write is not None:
                await self._write(write)
            return made

    async def change_destination(
        self, stored: StoredDestination, text: DestinationText, *, dry_run: bool = False, place_anew: bool = False
    ) -> tuple[StoredDestination, dict[str, Any]]:
        """Give a destination a new text; the sets that use it follow a new name. As `change_set`.

        place_anew: its place is taken as it is now, whatever disk it was on.
        """
        async with self._changing:
            self.refuse_kept(stored := self.destination(stored.id))
            text = with_place(check_destination(text), stored.id)
            check_known(text.place)
            others = [one for one in self.destinations if one.id != stored.id]
            refuse_taken(text.name, others)
            _refuse_shared(text, others)
            self._check_members(text, stored.text.name)
            if stored.text.pool is not None and text.pool is None:
                raise ConflictError(f"{stored.text.name} is a pool", hint="make a destination of its own for the place")
            made, changes = msgspec.structs.replace(stored, text=text, file=None), difference(stored.text, text)
            users = await asyncio.to_thread(self._renamed, stored, text)
            pools = self._pools_renamed(stored, text.name)
            kept = None if place_anew else await volumes.kept(self._database, made)
            volume = await volumes.look(text) if kept is None else kept

            def write(connection: Connection) -> None:
                rows.put_destination(connection, made)
                for pool in pools:
                    rows.put_destination(connection, pool)
                for user in users:
                    rows.put_set(connection, user)

            if changes and not dry_run:
                await self._write(write)
            if (changes or place_anew) and not dry_run:
                await volumes.keep(self._database, made, volume)
            return made, changes

    async def remove_set(self, stored: StoredSet) -> None:
        """Forget a set; what it stored stays. Raises KeptInFileError."""
        async with self._changing:
            self.refuse_kept(stored := self.set_by_id(stored.id))
            await self._write(rows.remove_set, stored.id)

    async def remove_destination(self, stored: StoredDestination) -> None:
        """Forget a destination; what is stored there stays. Raises KeptInFileError, ConflictError: it is in use."""
        async with self._changing:
            self.refuse_kept(stored := self.destination(stored.id))
            users = self.users_of(stored)
            if users:
                raise ConflictError(
                    f"{stored.text.name} is used by {', '.join(one.text.name for one in users)}",
                    hint=f"take it from them first: bkctl set edit {users[0].text.name} --remove-to {stored.text.name}",
                )
            pools = pools_with(stored.text.name, self.places)
            if pools:
                raise ConflictError(
                    f"{stored.text.name} is a member of the pool {pools[0]}",
                    hint=f"take it out first: bkctl destination edit {pools[0]} names the members that stay",
                )
            await self._write(_forget_destination, stored.id)

    async def begin_seeding(self, destination: StoredDestination, begun: seeding.Seeding) -> None:
        """Runs of these sets leave the destination alone from now on. Raises StateFullError."""
        async with self._changing:
            await self._write(seeding.begin, destination.id, begun)

    async def adopt_seeded(self, destination_id: str, set_id: str) -> None:
        """A set's copy has arrived at its destination and is whole."""
        async with self._changing:
            await asyncio.wrap_future(self._database.write_always(seeding.adopt, destination_id, set_id))
            await self.reload()

    async def end_seeding(self, destination: StoredDestination) -> None:
        """Nothing is awaited there any longer: runs begin there anew."""
        async with self._changing:
            await asyncio.wrap_future(self._database.write_always(seeding.end, destination.id))
            await self.reload()

    @property
    def _stored(self) -> frozenset[str]:
        """Ids of the sets that have a repository somewhere."""
        return frozenset(one.set_id for one in self.repositories)

    def _check_members(self, text: DestinationText, old_name: str = "") -> None:
        known = {name: one for name, one in self.places.items() if name != old_name}
        known |= {name: renamed_member(one, old_name, text.name) for name, one in known.items()}
        check_members(text, {**known, text.name: text}, [one.text for one in self.sets])

    def _pools_renamed(self, stored: StoredDestination, name: str) -> list[StoredDestination]:
        """The pools that a destination is a member of, as they are with its new name. Raises KeptInFileError."""
        found: list[StoredDestination] = []
        for one in self.destinations:
            text = renamed_member(one.text, stored.text.name, name)
            if text != one.text:
                self.refuse_kept(one)
                found.append(msgspec.structs.replace(one, text=text))
        return found

    def _renamed(self, stored: StoredDestination, text: DestinationText) -> list[StoredSet]:
        """The sets that use a destination, as they are with its new text. Raises ConfigError: one does not fit it."""
        old, places = stored.text.name, {**self.places, text.name: text}
        users: list[StoredSet] = []
        for user in self.users_of(stored):
            changed = msgspec.structs.replace(
                user.text,
                to=[text.name if one == old else one for one in user.text.to],
                retention_at={text.name if n == old else n: policy for n, policy in user.text.retention_at.items()},
            )
            check_set(changed, places)
            if changed != user.text:
                self.refuse_kept(user)
                users.append(msgspec.structs.replace(user, text=changed))
        return users

    def _notices_renamed(self, old: str, new: str) -> list[StoredNotice]:
        """The notices about a set, as they are with its new name. Raises KeptInFileError."""
        found: list[StoredNotice] = []
        for one in self.notices if new != old else ():
            if old in one.text.sets:
                self.refuse_kept(one)
                sets = [new if name == old else name for name in one.text.sets]
                found.append(msgspec.structs.replace(one, text=msgspec.structs.replace(one.text, sets=sets)))
        return found

    def refuse_kept(self, stored: StoredDefinition) -> None:
        """Raises KeptInFileError for what stands in a file of conf.d."""
        if stored.file is not None and stored.id not in self.left:
            raise KeptInFileError(
                f"{stored.text.name} stands in {stored.file}",
                hint="change it there, then: bkctl config reload",
                context={"file": stored.file},
            )

    async def _write(self, work: Callable[..., None], *args: object) -> None:
        await asyncio.wrap_future(self._database.write(work, *args))
        await self.reload()


def _forget_destination(connection: Connection, destination_id: str) -> None:
    volumes.remove_destination(connection, destination_id)
    seeding.end(connection, destination_id)


def _put_all(connection: Connection, plan: Plan) -> None:
    for destination in plan.destinations:
        rows.put_destination(connection, destination)
    for one in plan.sets:
        rows.put_set(connection, one)
    for notice in plan.notices:
        rows.put_notice(connection, notice)
    for contact in plan.contacts:
        rows.put_contact(connection, contact)


def _refuse_shared(text: DestinationText, others: Sequence[StoredDestination]) -> None:
    twin = next((one for one in others if one.text.place == text.place), None)
    if twin is not None:
        raise ConflictError(f"{text.place} is destination {twin.text.name} already", hint="use that one")
