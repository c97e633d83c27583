"""Who may read what is stored: if this is wrong, one user reads another's files, or can't have his own back."""

from __future__ import annotations

import os
import random
import struct
from pathlib import Path

import pytest

from backupd.errors import ChunkLostError
from backupd.tree.entry import Entry, Extra, Kind, Stored
from backupd.tree.permissions import READ, SEARCH, WRITE, Reader, allows, can_read, veiled
from tests.support.ordinary_user import run_as

ACL = b"system.posix_acl_access"
USERS = {31001: [31001, 32001], 31002: [31002], 31003: [31003, 32001, 32002], 31004: []}
IDS = [31001, 31002, 32001, 32002]
SEED = 20261121

Xattrs = list[tuple[bytes, bytes | Stored]]


def lost(_: bytes) -> bytes:
    raise ChunkLostError("lost")


def entry(mode: int, **given: object) -> Entry:
    fields: dict[str, object] = {"kind": Kind.FILE, "uid": 0, "gid": 0, "content": bytes(32), "size": 5, "extra": None}
    fields |= given
    return Entry(name=b"a", mode=mode, mtime_ns=0, **fields)  # type: ignore[arg-type]


def random_acl(draw: random.Random) -> bytes:
    lines = [(0x01, draw.randrange(8), 0xFFFFFFFF), (0x04, draw.randrange(8), 0xFFFFFFFF)]
    lines += [(0x02, draw.randrange(8), uid) for uid in draw.sample([31001, 31002, 31003], draw.randrange(3))]
    lines += [(0x08, draw.randrange(8), gid) for gid in draw.sample([31002, 32001, 32002], draw.randrange(3))]
    lines += [(0x10, draw.choice([0, 4, 5, 6, 7]), 0xFFFFFFFF), (0x20, draw.randrange(8), 0xFFFFFFFF)]
    lines.sort(key=lambda line: (line[0], line[2]))
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *line) for line in lines)


@pytest.mark.root
@pytest.mark.platform("linux")
def test_decides_as_the_kernel_does(tmp_path: Path) -> None:
    """Else the same user gets from the backup what the machine itself would have kept from him, or less."""
    draw = random.Random(SEED)
    for above in [tmp_path, *tmp_path.parents[:-1]]:
        if not above.stat().st_mode & 0o001:
            above.chmod(above.stat().st_mode | 0o011)
    entries: dict[str, Entry] = {}
    for number in range(600):
        path = tmp_path / str(number)
        kind = draw.choice([Kind.FILE, Kind.DIRECTORY])
        path.mkdir() if kind == Kind.DIRECTORY else path.touch()
        os.chown(path, draw.choice([0, *IDS]), draw.choice([0, *IDS]))
        xattrs: Xattrs = []
        path.chmod(draw.randrange(0o1000))
        if number % 2:
            os.setxattr(path, ACL, random_acl(draw))
            if draw.randrange(3) == 0:
                # The mask goes with the group bits.
                path.chmod(draw.randrange(0o1000))
            xattrs = [(ACL, os.getxattr(path, ACL))]
        stat = path.stat()
        extra = Extra(xattrs=xattrs) if xattrs else None
        entries[str(path)] = entry(stat.st_mode & 0o7777, kind=kind, uid=stat.st_uid, gid=stat.st_gid, extra=extra)
    for uid, groups in USERS.items():
        gid = groups[0] if groups else 31009
        kernel = run_as(
            uid, gid, groups, lambda: [[os.access(path, bit) for bit in (READ, WRITE, SEARCH)] for path in entries]
        )
        reader = Reader(uid, frozenset([gid, *groups]))
        ours = [[allows(reader, one, bit, lost) for bit in (READ, WRITE, SEARCH)] for one in entries.values()]
        wrong = [(path, entries[path]) for path, a, b in zip(entries, kernel, ours, strict=True) if a != b]  # type: ignore[call-overload]
        assert not wrong, (uid, len(wrong), wrong[:3])


def test_damaged_acl_grants_nothing() -> None:
    """A lost or torn list of rights must not open a file that it closed."""
    reader = Reader(31001, frozenset([31001]))
    for value in (Stored(bytes(32), 600), b"", b"\2\0\0\0\1", struct.pack("<IHHI", 2, 0x99, 7, 0)):
        one = entry(0o777, extra=Extra(xattrs=[(ACL, value)]))
        assert not any(allows(reader, one, bit, lost) for bit in (READ, WRITE, SEARCH))


def test_owner_number_nobody_and_root() -> None:
    """A caller is never root, so number 0 gets no more than its bits."""
    assert not allows(Reader(0, frozenset([0])), entry(0o000), READ, lost)
    assert allows(Reader(0, frozenset([0])), entry(0o400), READ, lost)


def test_long_acl_is_fetched() -> None:
    """An ACL of many lines lies apart from its entry and counts all the same."""
    value = struct.pack("<I", 2) + b"".join(
        struct.pack("<HHI", *line) for line in [(1, 6, 0), (2, 4, 31001), (4, 0, 0), (0x10, 4, 0), (0x20, 0, 0)]
    )
    one = entry(0o640, extra=Extra(xattrs=[(ACL, Stored(b"\1" * 32, len(value)))]))
    assert allows(Reader(31001, frozenset()), one, READ, lambda _: value)
    assert not allows(Reader(31002, frozenset()), one, READ, lambda _: value)


def test_directory_is_readable_with_both_bits() -> None:
    """Names without their metadata, and metadata without names, are no listing."""
    reader = Reader(31001, frozenset())
    found = [can_read(reader, entry(mode, kind=Kind.DIRECTORY), lost) for mode in (0o7, 0o5, 0o4, 0o1)]
    assert found == [True, True, False, False]


def test_unreadable_file_keeps_what_stat_tells() -> None:
    """Its bytes must not leak, not even as ids that tell whether two files are the same."""
    xattrs: Xattrs = [(ACL, b"x"), (b"security.selinux", b"l"), (b"trusted.key", b"k"), (b"user.note", b"n")]
    extra = Extra(hard_link=b"g" * 16, xattrs=xattrs, salt=bytes(32), extents=b"e" * 16, began_with=(1, 2, 3, 4))
    seen = veiled(Reader(31001, frozenset()), entry(0o600, extra=extra), lost)
    assert seen.content is None
    assert (seen.size, seen.mode) == (5, 0o600)
    assert seen.extra is not None
    assert [name for name, _ in seen.extra.xattrs or ()] == [ACL, b"security.selinux"]
    assert (seen.extra.salt, seen.extra.extents, seen.extra.began_with) == (None, None, None)


def test_readable_file_loses_only_what_administrators_see() -> None:
    """A user's own attributes come back with the file; trusted ones were never his to see."""
    xattrs: Xattrs = [(b"trusted.key", b"k"), (b"user.note", b"n")]
    owner, other = Reader(31001, frozenset()), Reader(31002, frozenset())
    one = entry(0o600, uid=31001, extra=Extra(xattrs=list(xattrs)))
    seen = veiled(owner, one, lost)
    assert seen.content == one.content
    assert seen.extra is not None
    assert seen.extra.xattrs == xattrs[1:]
    passed = veiled(other, entry(0o711, kind=Kind.DIRECTORY, extra=Extra(xattrs=list(xattrs))), lost)
    assert passed.extra is not None
    assert passed.extra.xattrs is None
    plain = entry(0o644)
    assert veiled(other, plain, lost) is plain
