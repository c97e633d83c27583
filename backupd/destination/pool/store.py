"""A pool of destinations as one store (FEATURES 4.3, decision 22); who does what is decided in `policy`."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TypeVar

from backupd.clock import Clock, SystemClock
from backupd.destination.contract import Buffers, Keeping, LockRule, ObjectInfo, Traits
from backupd.destination.pool import marks, policy
from backupd.destination.pool.locking import PoolLocks
from backupd.destination.pool.members import Member, Warn
from backupd.destination.pool.policy import Answer, Ask, Part, PoolId, Rules
from backupd.destination.pool.room import Room
from backupd.destination.pool.taking_part import Members
from backupd.errors import DestinationError, ObjectExistsError, ObjectMissingError
from backupd.store_errors import ObjectLockedError

Result = TypeVar("Result")
Numbers = list[int]
Errors = list[DestinationError]
Listed = list

_THREADS_A_MEMBER = 8
_MOST_THREADS = 64
_MOST_REMEMBERED = 100_000
"""Blocks of which is known where they lie; others are looked for."""


class PoolStore:
    """A store of stores. `at`: of a failover pool the member that this job uses alone; None: all of them."""

    def __init__(
        self,
        called: PoolId,
        rules: Rules,
        members: Sequence[Member],
        warn: Warn,
        at: int | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.called, self.rules, self.members = called, rules, members
        self._warn, self.at = warn, at
        self._who = Members(called, rules, members, at)
        self._locks = PoolLocks(self._who)
        self._lock = threading.Lock()
        self._begun: set[str] = set()
        self._known_places: dict[str, int] = {}
        self._damaged: dict[tuple[str, str], None] = {}
        self._room = Room(self._free_by_member, clock or SystemClock())
        self._left_temporaries = False

    # What it is

    @property
    def traits(self) -> Traits:
        """One of several creators wins where the lead decides.

        Of a block in a spread pool the member decides that its creator chose; that two may choose differently for one
        name matters to nobody, for names of blocks are random. In a failover pool each run has a member of its own to
        decide, so it promises nothing.
        """
        lead = self._who.decider()
        if lead is None or not self.members[lead].is_usable():
            return Traits(create_if_absent=False, parallel_calls=True, reports_space=False)
        answers = self._who.all(self._who.usable(), lambda member: member.call(lambda store: store.traits))
        known = {number: answer for number, answer in answers.items() if not isinstance(answer, DestinationError)}
        if lead not in known:
            return Traits(create_if_absent=False, parallel_calls=True, reports_space=False)
        told = known.values() if self.rules.kind == "spread" else [known[lead]]
        is_exact = self.rules.kind != "failover" and known[lead].create_if_absent
        reports_space = any(one.reports_space for one in told)
        return Traits(create_if_absent=is_exact, parallel_calls=True, reports_space=reports_space)

    @property
    def shown(self) -> str:
        """Its address."""
        return self.called.shown

    @property
    def may_leave_temporaries(self) -> bool:
        """Whether one of its members may."""
        return self._left_temporaries

    @property
    def is_lead_trusted(self) -> bool:
        """Whether the first member was the lead when the pool was last made whole."""
        return self._who.is_lead_trusted

    # Writing

    def put(self, name: str, buffers: Buffers) -> None:
        """Create, by the lead's word; a block of a spread pool at the member with the most room.

        Raises ObjectExistsError; the error of the member for want of which it failed.
        """
        with self._lock:
            was_begun = name in self._begun
            self._begun.add(name)
        try:
            if self.rules.kind == "spread" and policy.is_block(name):
                self._put_block(name, buffers, was_begun=was_begun)
            else:
                self._create(self._part(name), name, buffers, was_begun=was_begun)
        except ObjectExistsError:
            self._end(name)
            raise
        self._end(name)

    def _end(self, name: str) -> None:
        """What became of a name is known: ours, or another's."""
        with self._lock:
            self._begun.discard(name)

    def delete(self, name: str) -> None:
        """Remove at all members that answer. A key that may still stand somewhere is an error: it still opens.

        Raises ObjectLockedError where one of them retains it; the others have it no more.
        """
        self._who.check_lead()
        reached = self._who.reached(name)
        answers = self._who.all(reached, lambda member: member.call(lambda store: store.delete(name), writes=True))
        with self._lock:
            self._known_places.pop(name, None)
        failed = [answer for answer in answers.values() if isinstance(answer, DestinationError)]
        locked = next((error for error in failed if isinstance(error, ObjectLockedError)), None)
        if locked is not None:
            raise locked
        if len(failed) == len(answers):
            raise self._who.failure(f"{name} can't be deleted", failed)
        left = [one for one in self.members if one.error is not None] if self.at is None else []
        if policy.is_identity(name) and (failed or left):
            errors = failed + [one.told(one.error) for one in left if one.error is not None]
            raise self._who.failure(f"{name} is deleted, but not at each member", errors)

    # Reading

    def get(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        """Of the first member that has it. Raises ObjectMissingError only where it is nowhere."""
        errors: list[DestinationError] = []
        answered: set[int] = set()
        for number in self._reading_order(name):
            try:
                data = self.members[number].get(name, offset, length)
            except ObjectMissingError:
                answered.add(number)
            except DestinationError as error:
                errors.append(error)
            else:
                self._remember(name, number)
                return data
        if self._who.may_tell_absence(name, answered):
            raise ObjectMissingError(f"{name} is not in the pool {self.called.name}")
        raise self._who.failure(f"whether {name} is there can't be told", errors)

    def copies(self, name: str) -> Listed[Member]:
        """Of each member that has the object."""
        members = [self.members[number] for number in self._reading_order(name)]
        return [member for member in members if member.has(name)]

    def note_damage(self, name: str, bad: Sequence[str], good: str) -> None:
        """Tell it once of each object."""
        for member in bad:
            with self._lock:
                is_new = (member, name) not in self._damaged and len(self._damaged) < _MOST_REMEMBERED
                if is_new:
                    self._damaged[member, name] = None
            if is_new:
                self._warn(f"{member} has a damaged {name}; that of {good} is read")

    def damaged_copies(self) -> Listed[tuple[str, str]]:
        """All that were told."""
        return [*self._damaged]

    def size(self, name: str) -> int | None:
        """Of the first member that has it; None only where it is nowhere."""
        errors: list[DestinationError] = []
        answered: set[int] = set()
        for number in self._reading_order(name):
            try:
                size = self.members[number].size(name)
            except DestinationError as error:
                errors.append(error)
                continue
            if size is not None:
                self._remember(name, number)
                return size
            answered.add(number)
        if self._who.may_tell_absence(name, answered):
            return None
        raise self._who.failure(f"whether {name} is there can't be told", errors)

    def top_names(self) -> list[str]:
        """At the top of any member."""

        def names(member: Member) -> list[str]:
            found = member.call(lambda store: store.top_names())
            member.confirm_absence()
            return found

        return sorted({name for found in self._gathered("", names) for name in found if name != marks.FOLDER})

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """All that any member has; a name that several have comes once, with the first one's size."""
        found: dict[str, ObjectInfo] = {}
        for infos in self._gathered(prefix, lambda member: member.listed(prefix)):
            for info in infos:
                if not info.name.startswith(marks.FOLDER + "/"):
                    found.setdefault(info.name, info)
        yield from found.values()

    def free_bytes(self) -> int | None:
        """What still fits: of a mirror with all copies, of a spread pool in all, of a failover pool in the first."""
        free = self._free_by_member()
        if self.rules.kind == "mirror":
            return policy.room_for_copies(free, self.rules.copies)
        if self.rules.kind == "failover":
            decider = self._who.decider()
            return free.get(decider) if decider is not None else None
        told = [one for one in free.values() if one is not None]
        return sum(told) if told else None

    # Looking after it

    def remove_temporaries(self, folder: str, tag: str) -> int:
        """Remove a dead writer's at all members that answer."""
        who = self._who
        answers = who.all(who.usable(), lambda one: one.call(lambda store: store.remove_temporaries(folder, tag)))
        return sum(answer for answer in answers.values() if isinstance(answer, int))

    def remove_empty_folders(self, name: str) -> None:
        """Remove empty folders at all members that answer."""
        self._who.all(self._who.usable(), lambda one: one.call(lambda store: store.remove_empty_folders(name)))

    def settle_deletions(self, folder: str) -> None:
        """At all members that answer and can."""
        self._who.all(self._who.usable(), lambda one: one.settle_deletions(folder))

    def close(self) -> None:
        """Close all members."""
        self._who.threads.shutdown()
        for member in self.members:
            self._left_temporaries |= member.close()

    # Locks (LocksObjects)

    @property
    def lock_rule(self) -> LockRule | None:
        """The weakest of those of its members that lock; None where something may lie at none of these."""
        return self._locks.rule

    def locked_until(self, name: str) -> int | None:
        """Until its last copy may go. Raises ObjectMissingError, DestinationError."""
        return self._locks.locked_until(name)

    def lock(self, name: str, until_ns: int) -> None:
        """At each member that locks and has it. Raises ObjectMissingError, DestinationRefusedError."""
        self._locks.lock(name, until_ns)

    def keeping(self) -> Keeping:
        """Whether its members lock."""
        return self._locks.keeping()

    # Who takes part

    def _reading_order(self, name: str) -> Numbers:
        if self.at is not None:
            return [self.at]
        known = self._known_places.get(name)
        numbers = [number for number in range(len(self.members)) if number != known]
        return numbers if known is None else [known, *numbers]

    def _remember(self, name: str, number: int) -> None:
        if self.rules.kind == "spread" and policy.is_block(name):
            with self._lock:
                if len(self._known_places) >= _MOST_REMEMBERED:
                    self._known_places.clear()
                self._known_places[name] = number

    def _part(self, name: str) -> Part:
        self._who.check_lead()
        decider = self._who.decider()
        assert decider is not None  # noqa: S101 (just checked)
        others = [number for number in self._who.reached(name) if number != decider]
        if self.rules.kind == "failover":
            return Part(decider, others, others if policy.is_identity(name) else ())
        return Part(decider, others, others, self.rules.copies)

    # Doing

    def _create(self, part: Part, name: str, buffers: Buffers, *, was_begun: bool) -> None:
        errors: list[DestinationError] = []
        steps = policy.create(part, was_begun=was_begun)
        try:
            asks = next(steps)
            while True:
                answers = self._who.threads.map(partial(self._answer, name, buffers, errors), asks)
                asks = steps.send([*answers])
        except StopIteration as end:
            verdict: policy.Verdict = end.value
        if verdict == "exists":
            raise ObjectExistsError(f"{name} exists already in the pool {self.called.name}")
        if verdict == "failed":
            errors += [one.told(one.error) for one in self.members if one.error is not None]
            raise self._who.failure(f"{name} does not lie on enough members", errors)

    def _answer(self, name: str, buffers: Buffers, errors: Errors, ask: Ask) -> Answer:
        member = self.members[ask.member]
        try:
            if ask.action == "has":
                return "yes" if member.size(name) is not None else "no"
            if ask.action == "same":
                return member.holds(name, buffers)
            member.put(name, buffers)
        except ObjectExistsError:
            if ask.action == "put":
                return "no"
            found = member.holds(name, buffers)
            if found == "no":
                self._warn(f"{member.name} holds other bytes under {name} than the pool does")
            return found
        except DestinationError as error:
            errors.append(error)
            return "failed"
        return "yes"

    def _put_block(self, name: str, buffers: Buffers, *, was_begun: bool) -> None:
        """On one member, the next one where that fails."""
        usable = self._who.usable()
        errors: list[DestinationError] = []
        for number in self._room.choose(usable, sum(map(len, buffers))):
            others = [other for other in usable if other != number]
            try:
                # What a member before did unheard is ours, and no name that exists already.
                self._create(Part(number, others), name, buffers, was_begun=was_begun or bool(errors))
            except ObjectExistsError:
                raise
            except DestinationError as error:
                errors.append(error)
            else:
                self._remember(name, number)
                return
        raise self._who.failure(f"no member takes {name}", errors)

    def _gathered(self, prefix: str, work: Callable[[Member], Listed[Result]]) -> Listed[Listed[Result]]:
        """What all members have, in their order. Raises where what those that answer lack may lie elsewhere."""
        answers = self._who.all(self._who.usable() if self.at is not None else range(len(self.members)), work)
        good = {number: answer for number, answer in answers.items() if not isinstance(answer, DestinationError)}
        errors = [answer for answer in answers.values() if isinstance(answer, DestinationError)]
        if not self._who.may_tell_absence(prefix, set(good)):
            if self.rules.kind != "failover" or not good:
                raise self._who.failure("what it holds can't be told", errors)
            self._warn("not all members answer; what only the others hold is not seen")
        return [*good.values()]

    def _free_by_member(self) -> dict[int, int | None]:
        answers = self._who.all(self._who.usable(), lambda member: member.call(lambda store: store.free_bytes()))
        return {number: free for number, free in answers.items() if not isinstance(free, DestinationError)}
