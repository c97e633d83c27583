"""Whose files restored ones are: the wrong owner opens them to strangers."""

from __future__ import annotations

import grp
import os
import pwd
from pathlib import Path

import pytest

from backupd.errors import UsageError
from backupd.target.acls import group_permissions, with_ids
from backupd.target.owners import OwnerMap, owner_map
from tests.support.zoo import ACL, acl

DAEMON = pwd.getpwnam("daemon").pw_uid
USERS = {0: b"root", 4000: b"daemon", 4001: b"nobody-here-knows-him", 4002: b""}
GROUPS = {0: b"root", 5000: b"daemon", 5001: b"unknown-here"}


def test_by_name_where_known_else_by_number() -> None:
    owners = owner_map("name", USERS, GROUPS)
    assert owners.resolve(0, 0) == (0, grp.getgrnam("root").gr_gid if "root" in _groups() else 0)
    assert owners.resolve(4000, 5000) == (DAEMON, grp.getgrnam("daemon").gr_gid)
    assert owners.resolve(4001, 5001) == (4001, 5001)
    assert owners.resolve(4002, 9) == (4002, 9)


def _groups() -> set[str]:
    return {group.gr_name for group in grp.getgrall()}


def test_by_number_and_mine() -> None:
    assert owner_map("number", USERS, GROUPS).resolve(4000, 5000) == (4000, 5000)
    assert owner_map("me", USERS, GROUPS).resolve(4000, 5000) is None


def test_file_of_owners(tmp_path: Path) -> None:
    path = tmp_path / "owners"
    path.write_text("# moved\n\nuser:daemon=77  # by name\nuser: 4001 = daemon\ngroup:5000=0\nuser:absent=5\n")
    owners = owner_map(os.fspath(path), USERS, GROUPS)
    assert owners.resolve(4000, 5000) == (77, 0)
    assert owners.resolve(4001, 5001) == (DAEMON, 5001)
    assert owners.resolve(0, 0)[0] == 0  # type: ignore[index]


@pytest.mark.parametrize(
    "line", ["user=1", "user:a", "user:=1", "user:a=", "other:a=1", "nonsense", "user:1=no-such-one"]
)
def test_malformed_line_is_named(tmp_path: Path, line: str) -> None:
    """A mapping that is guessed at gives files to the wrong user."""
    path = tmp_path / "owners"
    path.write_text(f"user:1=2\n{line}\n")
    with pytest.raises(UsageError, match="line 2"):
        owner_map(os.fspath(path), USERS, GROUPS)


def test_absent_file_of_owners_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="can't be read"):
        owner_map(os.fspath(tmp_path / "absent"), {}, {})


def test_owners_named_in_acls_are_mapped_too() -> None:
    """Else a user of the old machine's number would get what the ACL gave to another."""
    no_id = 0xFFFF_FFFF
    before = acl((1, 6, no_id), (2, 7, 4000), (2, 4, 4001), (4, 4, no_id), (8, 5, 5000), (16, 7, no_id), (32, 0, no_id))
    after = acl((1, 6, no_id), (2, 4, 2), (2, 7, 9), (4, 4, no_id), (8, 5, 3), (16, 7, no_id), (32, 0, no_id))
    assert with_ids(before, {4000: 9, 4001: 2}, {5000: 3}) == after
    owners = OwnerMap({4000: 9, 4001: 2}, {5000: 3})
    xattrs = [(b"system.posix_acl_access", before), (b"user.x", before)]
    assert owners.resolve_acls(xattrs) == [(b"system.posix_acl_access", after), (b"user.x", before)]
    assert OwnerMap().resolve_acls(xattrs) is xattrs
    assert with_ids(b"no acl", {1: 2}, {}) == b"no acl"
    assert (group_permissions(ACL), group_permissions(b"no acl")) == (4, None)
