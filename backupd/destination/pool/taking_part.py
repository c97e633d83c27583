"""Who of a pool takes part in what, and how several are asked at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from backupd.destination.pool import marks, policy
from backupd.destination.pool.members import Member
from backupd.destination.pool.policy import LEAD, PoolId, Rules
from backupd.errors import DestinationError, DestinationUnreachableError
from backupd.store_errors import NotAMemberError

Result = TypeVar("Result")
Numbers = list[int]

_THREADS_A_MEMBER = 8
_MOST_THREADS = 64


class Members:
    """The members of one pool, as numbers. `at`: of a failover pool that which a job uses alone; None: all of them."""

    def __init__(self, called: PoolId, rules: Rules, members: Sequence[Member], at: int | None) -> None:
        self.called, self.rules, self.members, self.at = called, rules, members, at
        self.threads = ThreadPoolExecutor(min(_MOST_THREADS, _THREADS_A_MEMBER * len(members)))

    @property
    def is_lead_trusted(self) -> bool:
        """Whether the first member was the lead when the pool was last made whole."""
        _, lead = marks.newest_lead(self.called.id, [member.marks for member in self.members])
        return lead == self.members[LEAD].described.id

    def usable(self) -> Numbers:
        """Those that answer just now."""
        if self.at is not None:
            return [self.at]
        answers = self.all(range(len(self.members)), Member.is_usable)
        return [number for number, answer in answers.items() if answer is True]

    def decider(self) -> int | None:
        """Whose create-if-absent counts; None: nobody is there whose could."""
        if self.rules.kind != "failover":
            return LEAD
        return next(iter(self.usable()), None)

    def reached(self, name: str) -> Numbers:
        """Where something is changed: everywhere; of the identity also beyond the member that a job uses alone."""
        if self.at is not None and policy.is_identity(name):
            answers = self.all(range(len(self.members)), Member.is_usable)
            return [self.at, *(n for n, answer in answers.items() if answer is True and n != self.at)]
        return self.usable()

    def may_tell_absence(self, name: str, answered: set[int]) -> bool:
        """Whether what none of these members has is nowhere."""
        if self.at is not None:
            return self.at in answered
        return self.rules.may_tell_absence(name, answered, is_lead_trusted=self.is_lead_trusted)

    def check_lead(self) -> None:
        """Raises the lead's error where it can't decide just now."""
        decider = self.decider()
        if decider is None:
            raise self.failure("no member is there", [])
        member = self.members[decider]
        if not member.is_usable():
            hint = "nothing is stored without it; where it is gone for good, make another member the first, then heal"
            raise self.failure("its lead is away", [member.told(member.error)] if member.error else [], hint)
        if self.rules.kind != "failover" and not self.is_lead_trusted:
            raise NotAMemberError(
                f"pool {self.called.name}: {member.name} is its first member, but was not made the lead yet",
                hint=f"bkctl destination heal {self.called.name}",
            )

    def all(
        self, numbers: Iterable[int], work: Callable[[Member], Result]
    ) -> dict[int, Result | DestinationError]:
        """Have members do something side by side; the error of each that failed stands in place of its answer."""

        def one(number: int) -> Result | DestinationError:
            try:
                return work(self.members[number])
            except DestinationError as error:
                return error

        chosen = [*numbers]
        if len(chosen) == 1:
            return {chosen[0]: one(chosen[0])}
        return dict(zip(chosen, self.threads.map(one, chosen), strict=True))

    def failure(self, what: str, errors: Sequence[DestinationError], hint: str = "") -> DestinationError:
        """One error of several members' errors: of the kind of the first that is not worth trying again, if any."""
        text = "; ".join(dict.fromkeys(error.message for error in errors))
        message = f"pool {self.called.name}: {what}" + f": {text}" * bool(text)
        first = next((e for e in errors if not e.retryable), errors[0] if errors else None)
        kind = type(first) if first is not None else DestinationUnreachableError
        return kind(
            message,
            hint=hint or (first.hint if first is not None else "bring its members back"),
            context=dict(first.context) if first is not None else None,
        )
