"""What a user could have read when an entry was backed up, decided as Linux decides it. Pure.

Source: acl_permission_check and posix_acl_permission of the kernel; the tests compare with a real one.
"""

from __future__ import annotations

import struct

import msgspec

from backupd.errors import DamageError
from backupd.tree.entry import Entry, Extra, Kind, Stored
from backupd.tree.nodes import Load

READ, WRITE, SEARCH = 4, 2, 1

_ACL = b"system.posix_acl_access"
_VERSION = struct.pack("<I", 2)
_LINE = struct.Struct("<HHI")
_OWNER, _USER, _GROUP_OWNER, _GROUP, _MASK, _OTHER = 0x01, 0x02, 0x04, 0x08, 0x10, 0x20
_OF_ADMINISTRATORS = b"trusted."
_OF_ALL = (b"system.", b"security.")
"""Attributes of these names are told to who reaches an entry, others to who may read it, `trusted.` to nobody."""


class Reader(msgspec.Struct, frozen=True):
    """An ordinary user. Root's rights to everything are not his, whatever his number."""

    uid: int
    groups: frozenset[int]
    """All of them."""


def allows(reader: Reader, entry: Entry, wanted: int, load: Load) -> bool:
    """Whether an entry's owner, group, mode and ACL grant one permission to a user who reaches it.

    wanted: READ, WRITE or SEARCH. An ACL that is damaged or malformed grants nothing.
    """
    mode = entry.mode
    if reader.uid == entry.uid:
        return bool(mode >> 6 & wanted)
    # So does the kernel: group bits of an ACL's file are its mask, and an empty one leaves it unread.
    if mode & 0o070 and (acl := _acl(entry)) is not None:
        return _acl_allows(reader, entry.gid, acl, wanted, load)
    return bool((mode >> 3 if entry.gid in reader.groups else mode) & wanted)


def can_read(reader: Reader, entry: Entry, load: Load) -> bool:
    """Whether a file's bytes, or a directory's entries with what stat tells of them, were the user's to read.

    The target of a symlink and what else is no file is told to who reaches it.
    """
    if entry.kind == Kind.DIRECTORY:
        return allows(reader, entry, READ, load) and allows(reader, entry, SEARCH, load)
    return entry.kind != Kind.FILE or allows(reader, entry, READ, load)


def veiled(reader: Reader, entry: Entry, load: Load) -> Entry:
    """An entry without what a user who reaches it could not have read: content, attributes.

    Size, times, owner and mode stay; a file without its content must not be given back as if it were empty.
    """
    if entry.kind == Kind.FILE and not allows(reader, entry, READ, load):
        extra = entry.extra
        if extra is not None:
            xattrs = _told(extra, is_readable=False)
            extra = msgspec.structs.replace(extra, xattrs=xattrs, salt=None, extents=None, began_with=None)
        return msgspec.structs.replace(entry, content=None, extra=extra)
    extra = entry.extra
    if extra is None or not extra.xattrs:
        return entry
    xattrs = _told(extra, is_readable=entry.kind == Kind.SYMLINK or allows(reader, entry, READ, load))
    if xattrs == extra.xattrs:
        return entry
    return msgspec.structs.replace(entry, extra=msgspec.structs.replace(extra, xattrs=xattrs))


def _told(extra: Extra, *, is_readable: bool) -> list[tuple[bytes, bytes | Stored]] | None:
    if is_readable:
        kept = [one for one in extra.xattrs or () if not one[0].startswith(_OF_ADMINISTRATORS)]
    else:
        kept = [one for one in extra.xattrs or () if one[0].startswith(_OF_ALL)]
    return kept or None


def _acl(entry: Entry) -> bytes | Stored | None:
    xattrs = entry.extra.xattrs if entry.extra is not None else None
    return next((value for name, value in xattrs or () if name == _ACL), None)


def _acl_allows(reader: Reader, gid: int, acl: bytes | Stored, wanted: int, load: Load) -> bool:
    """By the lines of an ACL, for who is not the owner."""
    try:
        lines = _lines(load(acl.id) if isinstance(acl, Stored) else acl)
    except DamageError:
        return False
    mask = next((permissions for tag, permissions, _ in lines if tag == _MASK), 7)
    is_in_group = False
    for tag, permissions, number in lines:
        if tag == _USER and number == reader.uid:
            return bool(permissions & mask & wanted)
        if tag in (_GROUP_OWNER, _GROUP) and (gid if tag == _GROUP_OWNER else number) in reader.groups:
            is_in_group = True
            if permissions & wanted:
                return bool(permissions & mask & wanted)
        if tag == _OTHER:
            return not is_in_group and bool(permissions & wanted)
    return False


def _lines(value: bytes) -> list[tuple[int, int, int]]:
    """(tag, permissions, id) in the kernel's order; none where the value is no ACL."""
    if value[:4] != _VERSION or len(value) % _LINE.size != 4:
        return []
    lines = [*_LINE.iter_unpack(value[4:])]
    known = (_OWNER, _USER, _GROUP_OWNER, _GROUP, _MASK, _OTHER)
    if any(tag not in known for tag, _, _ in lines):
        return []
    return sorted(lines)
