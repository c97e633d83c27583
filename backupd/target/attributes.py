"""Giving what was written its owner, mode, extended attributes, times and flags, in the one order that keeps them.

Owner before mode: chown clears set-user-id. Mode before extended attributes: an ACL sets the group bits itself, and
chown takes capabilities off. Flags last: nothing of an immutable file can be set. Whatever can't be set is a loss,
one line each, never an error. The time before the mode: a file whose content is not whole has the mode 0600 that it was
made with, by which the next restore knows it; one that is whole has its time, and gets the rest again.
"""

from __future__ import annotations

import contextlib
import os
import stat as modes
import sys

from backupd.errors import TargetError
from backupd.inode_io import (
    FIXING_FLAGS,
    FLAGS,
    KEPT_FLAGS,
    NO_ATTRIBUTE,
    NOT_SUPPORTED,
    get_xattr,
    list_xattrs,
    read_flags,
    remove_xattr,
    set_xattr,
    write_flags,
)
from backupd.target.acls import ACCESS_ACL, DEFAULT_ACL, group_permissions
from backupd.target.kept import must_ask, tell_silent
from backupd.target.losses import Aspect, failure, lost
from backupd.target.placing import open_pinned
from backupd.target.wanted import Handle, Wanted
from backupd.tree.entry import Entry, Kind

_MAX_ID = 0xFFFF_FFFE
_SETUID = modes.S_ISUID | modes.S_ISGID
_ASPECTS = {
    ACCESS_ACL: Aspect.ACL,
    DEFAULT_ACL: Aspect.ACL,
    b"security.capability": Aspect.CAPABILITY,
}
_FOREIGN = (b"security.", b"system.", b"btrfs.")
"""Extended attributes that the machine itself gives (labels, integrity): never removed, but those of _ASPECTS."""
_OF_A_KIND = {
    Kind.FILE: modes.S_IFREG,
    Kind.DIRECTORY: modes.S_IFDIR,
    Kind.SYMLINK: modes.S_IFLNK,
    Kind.FIFO: modes.S_IFIFO,
    Kind.CHARACTER_DEVICE: modes.S_IFCHR,
    Kind.BLOCK_DEVICE: modes.S_IFBLK,
    Kind.SOCKET: modes.S_IFSOCK,
}


def apply(fd: int, wanted: Wanted, fresh: bool = False) -> list[str]:
    """Give an open file or directory all that is wanted; returns the losses, one line each.

    fresh: it was just made by us in a directory that passes no ACL on, so it has nothing that must go.
    """
    losses = apply_before_naming(fd, wanted, fresh)
    apply_flags(fd, wanted.entry, fresh, losses)
    return losses


def apply_before_naming(fd: int, wanted: Wanted, fresh: bool) -> list[str]:
    """All but the flags, with which it could not be renamed or linked any more."""
    losses: list[str] = []
    now = os.fstat(fd)
    if not fresh and wanted.entry.kind in (Kind.FILE, Kind.DIRECTORY):
        _unfix(fd, now, wanted)
    _apply(Handle(fd), now, wanted, fresh, losses)
    return losses


def apply_flags(fd: int, entry: Entry, fresh: bool, losses: list[str]) -> None:
    """Set the inode flags; what a new thing got from its directory beyond them (compression) stays."""
    flags = entry.extra.flags & KEPT_FLAGS if entry.extra is not None else 0
    if fresh and not flags:
        return
    mask = flags if fresh else KEPT_FLAGS
    try:
        write_flags(fd, flags, mask)
    except OSError as error:
        if flags:
            _set_single_flags(fd, flags, error, losses)


def apply_at(directory_fd: int, name: bytes, wanted: Wanted, fresh: bool = False) -> list[str]:
    """Give what is never opened (symlink, FIFO, device, socket) what is wanted; returns the losses.

    Nothing happens to what has other names and was not just made: they may lie outside of what is restored.
    Raises TargetError when another thing stands there by now.
    """
    losses: list[str] = []
    if sys.platform == "darwin":
        now = os.stat(name, dir_fd=directory_fd, follow_symlinks=False)
        handle = Handle(name, {"dir_fd": directory_fd, "follow_symlinks": False})
        if _is_ours(now, wanted.entry, fresh):
            _apply(handle, now, wanted, fresh, losses)
        return losses
    try:
        fd = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory_fd)
    except OSError as error:
        raise failure("metadata not set", error) from error
    try:
        now = os.fstat(fd)
        if _is_ours(now, wanted.entry, fresh):
            _apply(Handle(b"/proc/self/fd/%d" % fd), now, wanted, fresh, losses)
    finally:
        os.close(fd)
    return losses


def refresh(directory_fd: int, name: bytes, wanted: Wanted) -> list[str]:
    """Bring the metadata of something that is the same already to what is wanted; what fits is not touched.

    Nothing happens to what has other names (see apply_at). Raises TargetError when another thing stands there by now.
    """
    if wanted.entry.kind not in (Kind.FILE, Kind.DIRECTORY):
        return apply_at(directory_fd, name, wanted)
    try:
        fd = open_pinned(directory_fd, name)
    except PermissionError:
        return apply_at(directory_fd, name, wanted)
    except OSError as error:
        raise failure("metadata not set", error) from error
    try:
        return apply(fd, wanted) if _is_ours(os.fstat(fd), wanted.entry, False) else []
    finally:
        os.close(fd)


def _is_ours(now: os.stat_result, entry: Entry, fresh: bool) -> bool:
    is_shared = now.st_nlink > 1 and entry.kind != Kind.DIRECTORY
    if modes.S_IFMT(now.st_mode) != _OF_A_KIND[Kind(entry.kind)] or (fresh and is_shared):
        raise TargetError("another thing was put there meanwhile")
    return not is_shared


def _apply(handle: Handle, now: os.stat_result, wanted: Wanted, fresh: bool, losses: list[str]) -> None:
    entry = wanted.entry
    mode, has_changed = _set_owner(handle, now, wanted, losses)
    _set_times(handle, now, entry, losses)
    if not fresh and handle.has_xattrs:
        _remove_others(handle.where, wanted.xattrs, losses)
    if entry.kind != Kind.SYMLINK or sys.platform == "darwin":
        _set_mode(handle, now, mode, has_changed, losses)
    for name, value in wanted.xattrs:
        if (fresh or not _has_value(handle, name, value)) and not _set_xattr(handle, name, value, losses):
            _close_group(handle, name, value, mode)
    if must_ask(now.st_dev, entry.mtime_ns):
        tell_silent(handle, now, wanted, mode, losses)


def _set_owner(handle: Handle, now: os.stat_result, wanted: Wanted, losses: list[str]) -> tuple[int, bool]:
    """The mode that may be set now, and whether the owner was changed.

    Without the right owner set-user-id would lend the rights of a wrong one.
    """
    entry, owner = wanted.entry, wanted.owner
    has_user, has_group, has_changed = now.st_uid == entry.uid, now.st_gid == entry.gid, False
    if owner is not None:
        has_user, has_group = now.st_uid == owner[0], now.st_gid == owner[1]
        if not (has_user and has_group):
            has_changed = True
            has_user, has_group = _change_owner(handle, owner, (has_user, has_group), losses)
    mode = entry.mode
    if mode & _SETUID:
        mode &= ~((0 if has_user else modes.S_ISUID) | (0 if has_group else modes.S_ISGID))
        if mode != entry.mode:
            losses.append(lost(Aspect.SETUID, "left out", "the owner is another"))
    return mode, has_changed


def _change_owner(
    handle: Handle, owner: tuple[int, int], has: tuple[bool, bool], losses: list[str]
) -> tuple[bool, bool]:
    """Whether user and group are right afterwards; the group alone is tried where both can't be set."""
    has_user, has_group = has
    uid, gid = owner
    shown = f"{uid}:{gid} not set"
    if not 0 <= uid <= _MAX_ID or not 0 <= gid <= _MAX_ID:
        losses.append(lost(Aspect.OWNER, shown, "no such id on this system"))
        return has
    try:
        os.chown(handle.where, uid, gid, **handle.options)
        return True, True
    except OSError as error:
        reason = error
    if not has_user and not has_group:
        try:
            os.chown(handle.where, -1, gid, **handle.options)
            has_group = True
        except OSError:
            pass
    shown = f"{uid} not set" if has_group else f"group {gid} not set" if has_user else shown
    losses.append(lost(Aspect.OWNER, shown, reason))
    return has_user, has_group


def _set_mode(handle: Handle, now: os.stat_result, mode: int, has_changed: bool, losses: list[str]) -> None:
    if modes.S_IMODE(now.st_mode) == mode and not (has_changed and mode & _SETUID):
        return
    try:
        os.chmod(handle.where, mode, **handle.options)
        if mode & _SETUID and (os.stat(handle.where, **handle.options).st_mode ^ mode) & _SETUID:
            losses.append(lost(Aspect.SETUID, "left out", "not permitted"))
    except OSError as error:
        losses.append(lost(Aspect.MODE, f"{mode:04o} not set", error))


def _set_times(handle: Handle, now: os.stat_result, entry: Entry, losses: list[str]) -> None:
    """The access time goes with it: none is kept. On macOS a time before the birth moves the birth (utimes(2))."""
    birth = entry.extra.birth_ns if entry.extra is not None else None
    try:
        if birth is not None and sys.platform == "darwin":
            os.utime(handle.where, ns=(birth, birth), **handle.options)
        elif birth is not None:
            losses.append(lost(Aspect.BIRTH, "not set", "this system has no call for it"))
        elif now.st_mtime_ns == entry.mtime_ns:
            return
        os.utime(handle.where, ns=(entry.mtime_ns, entry.mtime_ns), **handle.options)
    except OSError as error:
        losses.append(lost(Aspect.TIME, "not set", error))
    except OverflowError:
        losses.append(lost(Aspect.TIME, "not set", "no such time on this system"))


def _remove_others(where: int | bytes, wanted: list[tuple[bytes, bytes]], losses: list[str]) -> None:
    try:
        present = list_xattrs(where)
    except OSError:
        return
    names = {name for name, _ in wanted}
    for name in present:
        if name in names or (name.startswith(_FOREIGN) and name not in _ASPECTS):
            continue
        try:
            remove_xattr(where, name)
        except OSError as error:
            if error.errno != NO_ATTRIBUTE:
                losses.append(lost(_aspect(name), f"{_shown(name)} not removed", error))


def _set_xattr(handle: Handle, name: bytes, value: bytes, losses: list[str]) -> bool:
    reason: OSError | str = "not possible for this kind here"
    if handle.has_xattrs:
        try:
            set_xattr(handle.where, name, value)
            return True
        except OSError as error:
            reason = error
        except ValueError:
            reason = "no valid name"
    if _has_value(handle, name, value):
        return True
    losses.append(lost(_aspect(name), f"{_shown(name)} not set", reason))
    return False


def _has_value(handle: Handle, name: bytes, value: bytes) -> bool:
    """A label that we may not set is no loss where the machine gave the same by itself."""
    try:
        return handle.has_xattrs and get_xattr(handle.where, name) == value
    except (OSError, ValueError):
        return False


def _close_group(handle: Handle, name: bytes, value: bytes, mode: int) -> None:
    """Where an ACL is lost, the mode's group bits are its mask: narrow them to what the group itself had."""
    permissions = group_permissions(value) if name == ACCESS_ACL else None
    if permissions is not None:
        with contextlib.suppress(OSError):
            os.chmod(handle.where, mode & (~0o070 | permissions << 3), **handle.options)


def _unfix(fd: int, now: os.stat_result, wanted: Wanted) -> None:
    """Take immutable and append-only off an existing thing while its metadata is set."""
    try:
        if read_flags(fd) & FIXING_FLAGS and (now.st_nlink == 1 or wanted.entry.kind == Kind.DIRECTORY):
            write_flags(fd, 0, FIXING_FLAGS)
    except OSError:
        return


def _set_single_flags(fd: int, flags: int, error: OSError, losses: list[str]) -> None:
    """Set what can be set where not all can, and tell the others."""
    missing = []
    for name, bit in FLAGS.items():
        if flags & bit:
            try:
                write_flags(fd, bit, bit)
            except OSError:
                missing.append(name)
    if missing:
        reason = "not supported here" if error.errno in NOT_SUPPORTED else error
        losses.append(lost(Aspect.FLAGS, f"{', '.join(missing)} not set", reason))


def _aspect(name: bytes) -> Aspect:
    return _ASPECTS.get(name, Aspect.XATTR)


def _shown(name: bytes) -> str:
    return name.decode(errors="backslashreplace")
