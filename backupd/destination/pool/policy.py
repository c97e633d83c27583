"""What a pool does with which member: pure decisions, no member is touched here (docs/stores/pool.md, decision 22).

Members are numbers from 0 in the order of the pool's document; 0 is the lead. Every name but those of blocks in a
spread pool is decided by the lead alone: what its create-if-absent lets in is copied to the others, never the other way
round, so no two members ever hold different bytes under one name.
"""

from __future__ import annotations

from collections.abc import Collection, Generator, Mapping, Sequence
from typing import Literal, NamedTuple

import msgspec

from backupd.model.sets import PoolKind

LEAD = 0
_IDENTITY = ("once.json", "repository.json", "repository.json.2")
Action = Literal["has", "put", "copy", "same"]
"""`has`: is there such a name? `put`: create it. `copy`: create it, or find the same bytes there. `same`: are these the
bytes that stand there?"""
Answer = Literal["yes", "no", "failed"]
"""`failed`: nobody knows; a put may have been done."""
Verdict = Literal["won", "exists", "failed"]


class PoolId(NamedTuple):
    """What a pool is called."""

    id: str
    """Of the destination that it is: `d…`."""
    name: str
    shown: str
    """Its address."""


class Ask(NamedTuple):
    """What one member is asked to do."""

    member: int
    action: Action


Steps = Generator[Sequence[Ask], Sequence[Answer], Verdict]
"""Gives what may be asked side by side, takes the answers in that order."""


class Rules(msgspec.Struct, frozen=True):
    """Of one pool."""

    kind: PoolKind
    member_count: int
    copies: int = 1
    """Of a mirror: members that hold an object before its put is told as done; the lead is one of them."""

    def may_tell_absence(self, name: str, answered: Collection[int], *, is_lead_trusted: bool) -> bool:
        """Whether what none of these members has is nowhere. name: of an object, or what names begin with.

        is_lead_trusted: the lead has been the lead for all that the pool holds, or was made whole when it became it.
        """
        if len(answered) == self.member_count:
            return True
        if self.kind == "failover" or (self.kind == "spread" and may_be_block(name)):
            return False
        if is_lead_trusted and LEAD in answered:
            return True
        # Each object lies on `copies` members: so many cannot all be among those that did not answer.
        return len(answered) > self.member_count - self.copies


def may_be_block(name: str) -> bool:
    """Whether a name is of a block, or names of blocks begin so."""
    parts = name.split("/")
    return name == "" or parts[1:2] == [""] or (parts[1:2] == ["blocks"] and parts[2:] != [])


def is_block(name: str) -> bool:
    """Whether an object's name is of a block."""
    return name.split("/")[1:2] == ["blocks"]


def is_identity(name: str) -> bool:
    """Whether an object belongs to what makes a repository openable: every member of a failover pool has it."""
    parts = name.split("/")
    return parts[-1] in _IDENTITY or parts[1:2] in (["keys"], ["keyring"])


class Part(msgspec.Struct, frozen=True):
    """Who has a part in the creation of one name."""

    lead: int
    """Decides; of a failover pool the member in use."""
    others: Sequence[int] = ()
    """Those that can be asked now whether they have it."""
    copied_to: Sequence[int] = ()
    """Those of them that get a copy."""
    copies: int = 1
    """That have to be there in the end, with the lead's."""


def create(part: Part, *, was_begun: bool) -> Steps:
    """Create a name by the lead's word. was_begun: this pool tried before, and can't say what became of it.

    `won`: it is ours, on as many members as wanted. `exists`: another's. `failed`: what became of it is open; who asks
    again with `was_begun` goes on from there.
    """
    # A lead that came back with an older state may lack what the others have kept.
    if not was_begun and part.others and "yes" in (yield [Ask(number, "has") for number in part.others]):
        return "exists"
    put = (yield [Ask(part.lead, "put")])[0]
    if put == "failed":
        return "failed"
    if put == "no":
        same = (yield [Ask(part.lead, "same")])[0] if was_begun else "no"
        if same != "yes":
            return "exists" if same == "no" else "failed"
    copied = (yield [Ask(number, "copy") for number in part.copied_to]) if part.copied_to else []
    return "won" if 1 + list(copied).count("yes") >= part.copies else "failed"


def places_for_block(free_bytes: Mapping[int, int | None], size_bytes: int, turn: int) -> list[int]:
    """Members of a spread pool for a new block, the best first.

    free_bytes: of the members that take something; None: it does not say. Those that say are filled in proportion to
    what they have free, so that all are full at the same time; those that don't get their turn. turn: counts blocks.
    """
    told = {number: free for number, free in free_bytes.items() if free is not None}
    fitting = {number: free for number, free in told.items() if free >= size_bytes}
    silent = sorted(number for number, free in free_bytes.items() if free is None)
    ordered = _by_weight(fitting, turn)
    if silent:
        count = len(fitting) + len(silent)
        if turn % count < len(silent):
            ordered = _turned(silent, turn) + ordered
        else:
            ordered += _turned(silent, turn)
    # What seems full is tried last: what is told of free space is a moment old.
    return ordered + sorted((n for n in told if n not in fitting), key=lambda n: -told[n])


def _by_weight(free: Mapping[int, int], turn: int) -> list[int]:
    """Chosen by place on a line as long as all free space, which the golden section walks evenly."""
    total = sum(free.values())
    point = int((turn * 0.6180339887498949) % 1.0 * total)
    chosen: list[int] = []
    for number in sorted(free):
        if point < free[number]:
            chosen.append(number)
            break
        point -= free[number]
    return chosen + sorted((n for n in free if n not in chosen), key=lambda n: -free[n])


def _turned(numbers: list[int], turn: int) -> list[int]:
    at = turn % len(numbers)
    return numbers[at:] + numbers[:at]


def room_for_copies(free_bytes: Mapping[int, int | None], copies: int) -> int | None:
    """Space that a mirror has: the lead's, or less where too few others have as much. None: the lead does not say."""
    lead = free_bytes.get(LEAD)
    if lead is None:
        return None
    others = sorted((free for number, free in free_bytes.items() if number != LEAD and free is not None), reverse=True)
    silent = sum(1 for number, free in free_bytes.items() if number != LEAD and free is None)
    wanted = copies - 1 - silent
    if wanted <= 0:
        return lead
    return min(lead, others[wanted - 1]) if wanted <= len(others) else 0
