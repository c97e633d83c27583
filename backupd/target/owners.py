"""Which owner a restored entry gets: by name, by number, the caller's, or as a file maps them."""

from __future__ import annotations

import grp
import os
import pwd
from collections.abc import Callable, Mapping

import msgspec

from backupd.errors import UsageError
from backupd.target.acls import ACCESS_ACL, DEFAULT_ACL, with_ids

Names = Mapping[int, bytes]
"""What a snapshot says its ids were called."""


class OwnerMap(msgspec.Struct, frozen=True):
    """Maps a snapshot's owners to this machine's; a plain value that can be sent to workers."""

    users: dict[int, int] = {}
    """Only ids that change; all others stay as they are."""
    groups: dict[int, int] = {}
    keeps_mine: bool = False
    """All is left to whoever restores."""

    def resolve(self, uid: int, gid: int) -> tuple[int, int] | None:
        """The owner to set; None: none."""
        if self.keeps_mine:
            return None
        return self.users.get(uid, uid), self.groups.get(gid, gid)

    def resolve_acls(self, xattrs: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        """The same extended attributes, users and groups named in ACLs mapped too."""
        if not self.users and not self.groups:
            return xattrs
        acls = (ACCESS_ACL, DEFAULT_ACL)
        return [(n, with_ids(value, self.users, self.groups) if n in acls else value) for n, value in xattrs]


def owner_map(choice: str, users: Names, groups: Names) -> OwnerMap:
    """The map for `--owner name|number|me|FILE`.

    Raises UsageError for a file that can't be read or has a malformed line, with the line's number.
    """
    if choice == "number":
        return OwnerMap()
    if choice == "me":
        return OwnerMap(keeps_mine=True)
    by_name = OwnerMap(_by_name(users, _user_here), _by_name(groups, _group_here))
    return by_name if choice == "name" else _with_file(by_name, choice, users, groups)


def _by_name(names: Names, here: Callable[[str], int | None]) -> dict[int, int]:
    found = {number: here(os.fsdecode(name)) for number, name in names.items() if name}
    return {old: new for old, new in found.items() if new is not None and new != old}


def _user_here(name: str) -> int | None:
    try:
        return pwd.getpwnam(name).pw_uid
    except (KeyError, ValueError):
        return None


def _group_here(name: str) -> int | None:
    try:
        return grp.getgrnam(name).gr_gid
    except (KeyError, ValueError):
        return None


def _with_file(by_name: OwnerMap, path: str, users: Names, groups: Names) -> OwnerMap:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            lines = file.read().splitlines()
    except OSError as error:
        raise UsageError(
            f"the file of owners {path} can't be read: {error.strerror}",
            hint="--owner is name, number, me or a file with lines user:OLD=NEW and group:OLD=NEW",
        ) from error
    kinds = {
        "user": (dict(by_name.users), users, _user_here),
        "group": (dict(by_name.groups), groups, _group_here),
    }
    for number, line in enumerate(lines, 1):
        text = line.partition("#")[0].strip()
        if not text:
            continue
        kind, colon, rule = text.partition(":")
        old, equals, new = (part.strip() for part in rule.partition("="))
        if not (colon and equals and old and new) or kind.strip() not in kinds:
            raise UsageError(
                f"{path}, line {number}: '{text}' is no mapping",
                hint="write user:OLD=NEW or group:OLD=NEW, names or numbers",
            )
        table, known, here = kinds[kind.strip()]
        target = int(new) if new.isdecimal() else here(new)
        if target is None:
            raise UsageError(f"{path}, line {number}: no {kind.strip()} '{new}' on this machine")
        table.update(dict.fromkeys(_ids(old, known), target))
    return OwnerMap(kinds["user"][0], kinds["group"][0])


def _ids(old: str, names: Names) -> list[int]:
    if old.isdecimal():
        return [int(old)]
    return [number for number, name in names.items() if os.fsdecode(name) == old]
