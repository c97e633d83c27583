"""Which sets are this machine's: only those it runs, and changes what they stored.

A text names a machine; which one that is, is found out once and kept in the catalog. So a set stays with its machine
when that is renamed, and goes to no other that comes to be called so.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from backupd.catalog.database import Database
from backupd.catalog.definitions import StoredSet
from backupd.catalog.facts import fact, put_fact
from backupd.daemon.naming import pick
from backupd.errors import BackupError, RepositoryNotFoundError, SetNotFoundError
from backupd.model.api import LeftOutSet, OwnerView
from backupd.model.sets import OwnerText, SetText
from backupd.rules.owner_rules import host_word, read_owner, shown
from backupd.rules.picking import is_of_host
from backupd.settings import directories
from backupd.settings.host import host_name, read_host_id
from backupd.settings.machine import machine_fingerprint
from backupd.store_errors import OtherOwnerError
from backupd.wire.malformed import MALFORMED

_FACT = "owners"

_log = logging.getLogger("backupd.sets")


class _Meant(msgspec.Struct, frozen=True):
    """What an owner in a set's text was found to mean."""

    name: str
    """As the text says it: the id, else the name."""
    id: str
    """Host id of this machine; empty: another one's."""
    called: str = ""
    """Name of this machine then."""


class Owners:
    """All on the event loop."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.name, self.id = "", ""
        """Of this machine; no id: it is not known, nor kept what names mean."""
        self._meant: dict[str, _Meant] | None = None
        """By set id; None: the catalog was not read yet."""

    async def find_out(self, environment: Mapping[str, str]) -> None:
        """Learn who this machine is. environment: of job processes."""
        self.name, state = host_name(), directories.find(environment).state
        try:
            self.id = await asyncio.to_thread(lambda: read_host_id(state, machine_fingerprint()))
        except BackupError as error:
            # Jobs say so, too; who looks at the daemon is to find it running.
            _log.error("the id of this machine can't be read: %s", error.message)

    async def learn(self, sets: Sequence[StoredSet]) -> None:
        """Find out what names in the texts of sets mean that were not there before."""
        if not self.id:
            return
        if self._meant is None:
            self._meant = await self._kept()
        owners = {one.id: read_owner(one.text.owner) for one in sets if one.text.owner is not None}
        meant = {set_id: self._meaning(set_id, owner) for set_id, owner in owners.items()}
        if meant != self._meant:
            self._meant = meant
            try:
                text = msgspec.json.encode(meant).decode()
                await asyncio.wrap_future(self._database.write(put_fact, _FACT, text))
            except BackupError as error:
                # Found out again at the next start.
                _log.warning("whose sets are is not kept: %s", error.message)

    async def _kept(self) -> dict[str, _Meant]:
        text = await asyncio.wrap_future(self._database.read(fact, _FACT))
        try:
            return msgspec.json.decode(text, type=dict[str, _Meant]) if text is not None else {}
        except MALFORMED:
            return {}

    def is_own(self, stored: StoredSet) -> bool:
        """Whether this machine runs it."""
        if stored.text.owner is None:
            return True
        owner = read_owner(stored.text.owner)
        if not self.id:
            return owner.id is None and self._is_called(owner.name)
        meant = self._meaning(stored.id, owner)
        # A machine that was moved has another id than before, and is called as before; a copy of it is not.
        return bool(meant.id) and (meant.id == self.id or self._is_called(owner.name or meant.called))

    def _meaning(self, set_id: str, owner: OwnerText) -> _Meant:
        """As it was found out before, unless the text names another machine by now."""
        said, known = owner.id or owner.name, (self._meant or {}).get(set_id)
        if known is not None and known.name.casefold() == said.casefold():
            return known
        is_this = owner.id == self.id if owner.id is not None else self._is_called(owner.name)
        return _Meant(said, self.id if is_this else "", self.name)

    def runs(self, stored: StoredSet) -> bool:
        """Whether it runs by itself, and with all others."""
        return stored.text.enabled and self.is_own(stored)

    def view(self, stored: StoredSet) -> OwnerView:
        """The owner of a set as the API shows it."""
        owner, is_here = read_owner(stored.text.owner or OwnerText(name=self.name, id=self.id)), self.is_own(stored)
        name = owner.name or (self.name if is_here else shown(owner))
        return OwnerView(name=name, id=owner.id, after=owner.after or [], is_here=is_here)

    def refuse_others(self, stored: StoredSet, what: str) -> None:
        """Raises OtherOwnerError for a set of another machine. what: is done there alone, as `run`."""
        if not self.is_own(stored):
            raise _refusal(stored.text, what, self.name)

    def nothing_stored(self, stored: StoredSet, where: str = "") -> RepositoryNotFoundError:
        """For a set that this machine has stored nowhere yet, or not there. where: as `in usb`."""
        name, owner = stored.text.name, self.view(stored)
        if not owner.is_here:
            return RepositoryNotFoundError(
                f"{name} belongs to {owner.name}, and nothing of it was stored from here",
                hint=f"bkctl snapshot list {host_word(stored.text.owner or '')}:{name} shows what there is",
            )
        message = f"nothing of {name} is stored {where} yet" if where else f"nothing of {name} is stored yet"
        return RepositoryNotFoundError(message, hint=f"run it first: bkctl backup {name}")

    def warnings(self, sets: Sequence[StoredSet]) -> list[str]:
        """A sentence for each set that another machine runs where this one may be meant: it is called so, or ran it."""
        doubts = ((one, self._doubt(one)) for one in sets if one.text.owner is not None and not self.is_own(one))
        return [
            f"{one.text.name} does not run here, for it belongs to {whose}; if this one is "
            + (
                f"meant, write into {one.file}: owner: {{name: {self.name}, id: {self.id}}}"
                if one.file is not None
                else f"meant: bkctl set edit {one.text.name} --owner {self.name}"
            )
            for one, whose in doubts
            if whose
        ]

    def _doubt(self, stored: StoredSet) -> str:
        """What another machine has to do with this one that owns a set; empty: nothing."""
        owner = read_owner(stored.text.owner or "")
        if self.id and self._meaning(stored.id, owner).id:
            return f"the machine {shown(owner)}, whose state was moved or copied to this one"
        return f"another machine called {self.name}" if self._is_called(owner.name) else ""

    def _is_called(self, name: str) -> bool:
        return bool(name) and name.casefold() == self.name.casefold()


def refuse_host(word: str, sets: Sequence[StoredSet], owners: Owners) -> None:
    """Raises SetNotFoundError for HOST:SET where that is no name of a set, and says which half is unknown."""
    host, _, name = word.rpartition(":")
    if not host:
        return
    stored = pick(name, sets, "b", SetNotFoundError)
    name, owner = stored.text.name, owners.view(stored)
    hosts = list(dict.fromkeys([owner.name, *owner.after, owners.name]))
    if any(is_of_host(one, host) for one in hosts):
        message = f"{word} means what a machine stored of {name}, and here the set is meant"
        raise SetNotFoundError(message, hint=f"leave the machine out: {name}")
    known = [f"{one}:{name}" for one in hosts]
    raise SetNotFoundError(
        f"no machine called '{host}' is known to {name}",
        hint=f"there is {', '.join(known)}; who stored of it, says: bkctl snapshot list {name}",
        context={"candidates": known},
    )


def left_out(sets: Sequence[StoredSet], owners: Owners) -> list[LeftOutSet]:
    """The sets that don't run when all are to."""
    found = [(one, owners.view(one)) for one in sets if not owners.runs(one)]
    return [LeftOutSet(set=one.text.name, owner=None if its.is_here else its.name) for one, its in found]


def nothing_runs(left: Sequence[LeftOutSet], here: str) -> SetNotFoundError:
    """Where all are left out, with why. here: name of this machine."""
    if not left:
        return SetNotFoundError("no set is enabled", hint="bkctl set create makes one")
    said = [f"{one.set} belongs to {one.owner}" if one.owner else f"{one.set} is disabled" for one in left]
    disabled = next((one.set for one in left if one.owner is None), None)
    if disabled is not None:
        hint = f"bkctl set enable {disabled} lets it run"
    else:
        hint = f"each runs where it belongs; one goes to this machine by: bkctl set edit {left[0].set} --owner {here}"
    return SetNotFoundError(f"no set of this machine is enabled: {', '.join(said)}", hint=hint)


def _refusal(text: SetText, what: str, here: str) -> OtherOwnerError:
    context: dict[str, Any] = {"set": text.name, "owner": shown(text.owner)}
    return OtherOwnerError(
        f"{text.name} belongs to {shown(text.owner)}, which alone can {what} it",
        hint=f"do that there; or give it to this machine: bkctl set edit {text.name} --owner {here}",
        context=context,
    )
