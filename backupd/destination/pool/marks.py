"""The marks by which a pool knows its members again: empty objects below `pool/` at each of them.

`pool/<pool>.<member>` stands at a member that has what the pool's rules want it to have; a disk that was emptied or
exchanged, and the empty directory where a drive is not mounted, don't have it. `pool/<pool>.lead.<n>.<member>` stands
at all members; the highest n says which of them was the lead when the pool was last made whole.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import suppress

import msgspec

from backupd.destination.contract import Store
from backupd.errors import ObjectExistsError

FOLDER = "pool"
_MOST_READ = 1000
_LEAD = re.compile(r"(d[0-9a-f]+)\.lead\.([0-9]{1,9})\.(d[0-9a-f]+)")
_MEMBER = re.compile(r"(d[0-9a-f]+)\.(d[0-9a-f]+)")


class Marks(msgspec.Struct, frozen=True):
    """What one place says of the pools that it belongs to."""

    members: frozenset[tuple[str, str]] = frozenset()
    """(pool, member)."""
    leads: frozenset[tuple[str, int, str]] = frozenset()
    """(pool, n, member)."""

    def is_member(self, pool: str, member: str) -> bool:
        """Whether the place is that member, and whole."""
        return (pool, member) in self.members


def parse(names: Iterable[str]) -> Marks:
    """Of object names; what is no mark is passed over."""
    members: set[tuple[str, str]] = set()
    leads: set[tuple[str, int, str]] = set()
    for number, name in enumerate(names):
        if number >= _MOST_READ:
            break
        text = name.removeprefix(FOLDER + "/")
        if (lead := _LEAD.fullmatch(text)) is not None:
            leads.add((lead[1], int(lead[2]), lead[3]))
        elif (member := _MEMBER.fullmatch(text)) is not None:
            members.add((member[1], member[2]))
    return Marks(frozenset(members), frozenset(leads))


def read(store: Store) -> Marks:
    """The marks at a place."""
    return parse(info.name for info in store.list(FOLDER + "/"))


def newest_lead(pool: str, found: Iterable[Marks]) -> tuple[int, str]:
    """(n, member) of the highest n that any of several members shows; (0, empty) where there is none."""
    leads = {(n, member) for marks in found for of, n, member in marks.leads if of == pool}
    return max(leads, default=(0, ""))


def member_mark(pool: str, member: str) -> str:
    """Name of a member's mark."""
    return f"{FOLDER}/{pool}.{member}"


def lead_mark(pool: str, n: int, member: str) -> str:
    """Name of a lead's mark."""
    return f"{FOLDER}/{pool}.lead.{n}.{member}"


def put(store: Store, name: str) -> None:
    """Set a mark; one that stands there is well."""
    with suppress(ObjectExistsError):
        store.put(name, [])
