"""Locks of a pool's members (DESIGN 8.6): one copy that stands is enough, but each object has to have one."""

from __future__ import annotations

from collections.abc import Mapping

from backupd.destination.contract import Forwarding, Keeping, LockRule, Store
from backupd.destination.pool.members import Member
from backupd.destination.pool.policy import LEAD
from backupd.destination.pool.taking_part import Members
from backupd.errors import DestinationError, DestinationRefusedError, ObjectMissingError
from backupd.model.places import PlaceUrl, is_url


class PoolLocks:
    """What a pool says as LocksObjects."""

    def __init__(self, who: Members) -> None:
        self._who = who

    @property
    def rule(self) -> LockRule | None:
        """The weakest of those that lock, by days and mode; None where something may lie at none of them."""
        rules = self._rules()
        found = [rule for rule in rules.values() if rule is not None]
        if not found or (len(found) < len(rules) and not self._has_all(rules)):
            return None
        is_firm = all(rule.mode == "compliance" for rule in found)
        return LockRule("compliance" if is_firm else "governance", min(rule.days for rule in found))

    def locked_until(self, name: str) -> int | None:
        """Until the last copy may go; None also where it is nowhere, and a member that locks nothing answers.

        Raises ObjectMissingError, DestinationError.
        """
        answers = self._who.all(
            self._chosen(), lambda member: member.call(lambda store: Forwarding(store).locked_until(name))
        )
        errors = [answer for answer in answers.values() if isinstance(answer, DestinationError)]
        if len(errors) == len(answers):
            raise self._nowhere(name, answers)
        return max((one for one in answers.values() if isinstance(one, int)), default=None)

    def keeping(self) -> Keeping:
        """Whether they lock. Of versions it says nothing, for nothing of a pool can be brought back by them."""
        kept = self._who.all(
            self._chosen(), lambda member: member.call(lambda store: (_rule(store), Forwarding(store).keeping().locks))
        )
        told = [answer for answer in kept.values() if not isinstance(answer, DestinationError)]
        if any(rule is not None and locks is False for rule, locks in told):
            return Keeping(locks=False)
        if any(locks for _, locks in told):
            return Keeping(locks=True)
        return Keeping(locks=False if all(locks is False for _, locks in told) else None)

    def lock(self, name: str, until_ns: int) -> None:
        """At each member that locks and has it.

        Raises ObjectMissingError where it is nowhere; DestinationRefusedError where one that locks could not, when
        all others have.
        """

        def lock(member: Member) -> bool:
            if _rule_of(member) is None:
                return False
            member.call(lambda store: Forwarding(store).lock(name, until_ns))
            return True

        answers = self._who.all(self._chosen(), lock)
        errors = [answer for answer in answers.values() if isinstance(answer, DestinationError)]
        failed = [error for error in errors if not isinstance(error, ObjectMissingError)]
        if failed:
            told = self._who.failure(f"{name} is not locked at each member", failed)
            raise DestinationRefusedError(told.message, hint=told.hint, context=told.context)
        if not any(answer is True for answer in answers.values()):
            raise self._nowhere(name, answers)

    def _chosen(self) -> list[int]:
        at = self._who.at
        return [at] if at is not None else [*range(len(self._who.members))]

    def _rules(self) -> dict[int, LockRule | None]:
        """Of members that answer."""
        answers = self._who.all(self._chosen(), _rule_of)
        return {number: answer for number, answer in answers.items() if not isinstance(answer, DestinationError)}

    def _has_all(self, rules: Mapping[int, LockRule | None]) -> bool:
        """Whether a member that locks has a copy of everything."""
        if self._who.rules.kind != "mirror":
            return False
        return self._who.rules.copies == len(self._who.members) or rules.get(LEAD) is not None

    def _nowhere(self, name: str, answers: Mapping[int, object]) -> DestinationError:
        absent = {number for number, answer in answers.items() if isinstance(answer, ObjectMissingError)}
        if self._who.may_tell_absence(name, absent):
            return ObjectMissingError(f"{name} is not in the pool {self._who.called.name}")
        errors = [one for one in answers.values() if isinstance(one, DestinationError)]
        others = [one for one in errors if not isinstance(one, ObjectMissingError)]
        return self._who.failure(f"{name} lies at no member that locks and answers", others)


def _rule_of(member: Member) -> LockRule | None:
    """How a member locks. Raises DestinationError where it is away and its address says that it locks."""
    if not member.is_usable() and not _says_lock(member):
        return None
    return member.call(_rule)


def _rule(store: Store) -> LockRule | None:
    return Forwarding(store).lock_rule


def _says_lock(member: Member) -> bool:
    place = member.described.place
    return is_url(place) and "lock" in PlaceUrl.parse(place).options
