"""Copies to each member of a pool what it lacks: after it was away, when it is new, when another one becomes the lead.

Objects never change and names are used once, so healing is copying what is missing, one object in memory at a time.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import msgspec

from backupd.destination.contract import Store
from backupd.destination.pool.opening import set_marks
from backupd.destination.pool.policy import LEAD
from backupd.destination.pool.store import PoolStore
from backupd.errors import DestinationError, DestinationUnreachableError, ObjectExistsError, ObjectMissingError

_REPOSITORY = re.compile(r"r[0-9a-f]{32}")
_FOLDERS = ("keyring/", "keys/", "index/", "damage/", "notes/", "gc/", "sessions/", "snapshots/")
"""What makes other things count comes after them."""
_TWINS = ("repository.json", "repository.json.2")
_OF_THE_LEAD = ("/keys/", "/sessions/")
"""What is deleted in the course of things: what others have and the lead has not was deleted while they were away."""
_BLOCK_FOLDERS = [f"blocks/{number:02x}/" for number in range(256)]


class Healed(msgspec.Struct):
    """What was done."""

    objects: int = 0
    bytes: int = 0
    members: dict[str, int] = {}
    """Objects copied to each, by name."""
    stale: list[str] = []
    """Names that stay at a member although the lead has them no more."""
    left: list[str] = []
    """Why a member is not whole, a sentence each."""


def heal(store: PoolStore, tick: Callable[[Healed], None] = lambda done: None) -> Healed:
    """Bring all members that can be reached to what the pool's rules want, then mark them. tick: may raise to end it.

    Raises DestinationUnreachableError where what is there can't be told because too few members answer.
    """
    healer = _Healer(store, tick)
    healer.run()
    return healer.done


class _Healer:
    def __init__(self, store: PoolStore, tick: Callable[[Healed], None]) -> None:
        self._store, self._tick = store, tick
        self._open: dict[int, Store] = {}
        self._whole: set[int] = set()
        """Those that had their mark before."""
        self._failed: set[int] = set()
        """Those that refused something: nothing more is put there, what they hold is still copied to the others."""
        self.done = Healed()

    def run(self) -> None:
        self._whole = {number for number, member in enumerate(self._store.members) if member.is_usable()}
        self._begin(create=False)
        self._check_enough()
        self._begin(create=bool(self._whole))
        # Twice: what a run wrote meanwhile goes to marked members alone.
        for _ in range(2):
            for folder in self._folders():
                self._heal_folder(folder)
            # Every error at the lead ends the healing: here it has all that is known.
            set_marks(self._store, {n: place for n, place in self._open.items() if n not in self._failed})

    def _begin(self, *, create: bool) -> None:
        """Open those that are not open yet. A directory is made only beside whole members: else a disk is missing."""
        self.done.left.clear()
        for number, member in enumerate(self._store.members):
            if number not in self._open:
                try:
                    self._open[number] = member.begin(create=create)
                except DestinationError as error:
                    self.done.left.append(error.message)

    def _check_enough(self) -> None:
        """A member may be called whole only when all that the others hold is seen."""
        store = self._store
        is_told = store.rules.may_tell_absence("r/x", self._whole, is_lead_trusted=store.is_lead_trusted)
        # Of a failover pool nothing but keys and what is made once is copied.
        is_told |= store.rules.kind == "failover" and bool(self._whole)
        if not self._open or (len(self._open) < len(store.members) and not is_told):
            raise DestinationUnreachableError(
                f"pool {store.called.name} can't be healed: {'; '.join(self.done.left)}",
                hint="what only those hold would be missed; bring them back, or take them out of the pool",
            )

    def _folders(self) -> Iterator[str]:
        """What names begin with, in the order in which objects are copied."""
        tops = {top for place in self._open.values() for top in place.top_names()}
        for repository in sorted(filter(_REPOSITORY.fullmatch, tops)):
            if self._store.rules.kind == "mirror":
                yield from (f"{repository}/{folder}" for folder in _BLOCK_FOLDERS)
            folders = _FOLDERS[:2] if self._store.rules.kind == "failover" else _FOLDERS
            yield from (f"{repository}/{folder}" for folder in (*folders, *_TWINS))
        yield "once.json"

    def _heal_folder(self, prefix: str) -> None:
        """Copy what members lack of one folder, or one object."""
        held: dict[int, set[str]] = {}
        for number in [*self._open]:
            try:
                held[number] = _held(self._open[number], prefix)
            except DestinationError as error:
                if number not in self._failed:
                    raise
                self._give_up(number, error)
        lead = held.get(LEAD) if self._store.is_lead_trusted and LEAD in self._whole else None
        for name in sorted(set[str]().union(*held.values())):
            if lead is not None and name not in lead and prefix.endswith(_OF_THE_LEAD):
                if name not in self.done.stale:
                    self.done.stale.append(name)
                continue
            lacking = [number for number, names in held.items() if name not in names and number not in self._failed]
            if lacking:
                self._copy(name, [number for number, names in held.items() if name in names], lacking)

    def _give_up(self, number: int, error: DestinationError) -> None:
        """One that failed before can't be listed either. Raises DestinationUnreachableError where it may hold more."""
        self.done.left.append(self._store.members[number].told(error).message)
        self._whole.discard(number)
        del self._open[number]
        self._check_enough()

    def _copy(self, name: str, sources: list[int], lacking: list[int]) -> None:
        data = self._read(name, sources)
        if data is None:
            return
        for number in lacking:
            self._tick(self.done)
            member = self._store.members[number]
            try:
                self._open[number].put(name, [data])
            except ObjectExistsError:
                continue
            except DestinationError as error:
                if number == LEAD:
                    raise member.told(error) from error
                # The others go on; it gets no mark, and the next healing goes on with it.
                self.done.left.append(member.told(error).message)
                self._failed.add(number)
                continue
            self.done.objects += 1
            self.done.bytes += len(data)
            self.done.members[member.name] = self.done.members.get(member.name, 0) + 1

    def _read(self, name: str, sources: list[int]) -> bytes | None:
        """Of the first that gives it; None: it was deleted meanwhile. Raises DestinationError."""
        errors: list[DestinationError] = []
        for number in sources:
            try:
                return self._open[number].get(name)
            except ObjectMissingError:
                continue
            except DestinationError as error:
                errors.append(self._store.members[number].told(error))
        if errors:
            raise errors[0]
        return None


def _held(place: Store, prefix: str) -> set[str]:
    if not prefix.endswith("/"):
        return {prefix} if place.size(prefix) is not None else set()
    return {info.name for info in place.list(prefix)}
