"""What a restored entry may come to lack, and how that and plain failures are told."""

from __future__ import annotations

import errno
from enum import StrEnum

from backupd.errors import BackupError, TargetError, TargetFullError
from backupd.model.results import Problem


class Aspect(StrEnum):
    """What can be lost of an entry although it was written; docs/fidelity.md has a row for each."""

    OWNER = "owner and group"
    SETUID = "set-user-id and set-group-id"
    MODE = "permission bits"
    ACL = "POSIX ACLs"
    CAPABILITY = "file capabilities"
    XATTR = "extended attributes"
    TIME = "modification time"
    BIRTH = "birth time"
    FLAGS = "inode flags"
    HOLES = "sparse holes"
    HARD_LINK = "hard links"


def lost(aspect: Aspect, what: str, reason: OSError | str = "") -> str:
    """One loss as a line: `owner and group: 1000:1000 not set, not permitted`."""
    text = reason if isinstance(reason, str) else explained(reason)
    return f"{aspect}: {what}, {text}" if text else f"{aspect}: {what}"


def explained(error: OSError) -> str:
    """Why a call failed, in a few words."""
    if error.errno in (errno.EPERM, errno.EACCES):
        return "not permitted"
    return error.strerror or str(error)


def failure(what: str, error: OSError) -> BackupError:
    """The error to raise when an entry can't be written.

    TargetFullError when the file system or quota is used up: that ends the restore. Else TargetError: that is a
    Problem of one entry. Neither is a subclass of the other.
    """
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return TargetFullError(f"no space left: {what}", hint="free space there, or restore to another place")
    return TargetError(f"{what}: {explained(error)}")


def check_name(name: bytes) -> None:
    """Refuse what is not one name inside one directory. Raises TargetError."""
    if b"/" in name or b"\0" in name or name in (b"", b".", b".."):
        raise TargetError(f"{name!r} can't be a name in a directory")


def as_problem(path: bytes, losses: list[str]) -> Problem | None:
    """All losses of one entry as one warning; None when nothing was lost."""
    return Problem(path=path, kind="metadata", message="; ".join(losses)) if losses else None
