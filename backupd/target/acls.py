"""POSIX ACLs as Linux keeps them in extended attributes: version 2, then (tag, permissions, id) a line.

Source: linux/posix_acl_xattr.h. Pure.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping

ACCESS_ACL = b"system.posix_acl_access"
DEFAULT_ACL = b"system.posix_acl_default"

_HEADER = struct.pack("<I", 2)
_LINE = struct.Struct("<HHI")
_USER = 0x02
_GROUP_OWNER = 0x04
_GROUP = 0x08
_MASK = 0x10


def with_ids(value: bytes, users: Mapping[int, int], groups: Mapping[int, int]) -> bytes:
    """The ACL with its named users and groups mapped; ids that are not mapped, and what is no ACL, stay."""
    if not _is_acl(value):
        return value
    lines = []
    for tag, permissions, number in _LINE.iter_unpack(value[4:]):
        ids = users if tag == _USER else groups if tag == _GROUP else {}
        lines.append((tag, permissions, ids.get(number, number)))
    named = sorted(lines, key=lambda line: (line[0], line[2]))
    return _HEADER + b"".join(_LINE.pack(*line) for line in named)


def group_permissions(value: bytes) -> int | None:
    """The owning group's permissions (0 to 7) that an access ACL leaves under its mask; None: not an ACL."""
    if not _is_acl(value):
        return None
    found = {tag: permissions for tag, permissions, _ in _LINE.iter_unpack(value[4:])}
    return int(found.get(_GROUP_OWNER, 0) & found.get(_MASK, 7) & 7)


def _is_acl(value: bytes) -> bool:
    return value[:4] == _HEADER and len(value) % _LINE.size == 4
