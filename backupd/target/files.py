"""Writing regular files: created new always, never into what stands there; whole before they replace anything."""

from __future__ import annotations

import contextlib
import os
import stat as modes
from collections.abc import Sequence

import msgspec

from backupd.errors import TargetError
from backupd.inode_io import EARLY_FLAGS, write_flags
from backupd.target.attributes import apply_before_naming, apply_flags
from backupd.target.losses import Aspect, check_name, failure, lost
from backupd.target.placing import lock_temporary, move_over, temporary_name
from backupd.target.wanted import Wanted

Buffers = Sequence[bytes | bytearray | memoryview]

_CREATE = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_REOPEN = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_IOV_MAX = 512
_HOLE_SLACK_BYTES = 128 * 1024


class OpenFile(msgspec.Struct, frozen=True, array_like=True):
    """A file that is being written."""

    fd: int
    name: bytes
    temporary: bytes | None
    """The name it has for now; None: its own."""

    @property
    def current_name(self) -> bytes:
        """The name under which it stands now."""
        return self.name if self.temporary is None else self.temporary


def create_file(directory_fd: int, name: bytes, replace: bool = False, flags: int = 0) -> OpenFile:
    """Create a file, mode 0600 until it is finished; under a temporary name where something stands at its own.

    replace: whether what stands there may be replaced in the end; if not, it is an error. It is not opened and not
    touched before `finish_file`. flags: the entry's inode flags; those that must come before the data are set.
    Raises TargetError, TargetFullError.
    """
    check_name(name)
    temporary = None
    try:
        try:
            fd = os.open(name, _CREATE, 0o600, dir_fd=directory_fd)
        except FileExistsError:
            if not replace:
                raise
            temporary = temporary_name()
            fd = os.open(temporary, _CREATE, 0o600, dir_fd=directory_fd)
            lock_temporary(fd)
    except OSError as error:
        raise failure("file not created", error) from error
    if flags & EARLY_FLAGS:
        with contextlib.suppress(OSError):
            write_flags(fd, flags, flags & EARLY_FLAGS)
    return OpenFile(fd, name, temporary)


def reopen_file(directory_fd: int, name: bytes, identity: tuple[int, int]) -> int:
    """A second descriptor of a file that another process creates, to write its own part.

    name: its current one. identity: (st_dev, st_ino) after creation. Raises TargetError when it is another file.
    """
    check_name(name)
    try:
        fd = os.open(name, _REOPEN, dir_fd=directory_fd)
    except OSError as error:
        raise failure("file not opened again", error) from error
    stat = os.fstat(fd)
    if not modes.S_ISREG(stat.st_mode) or (stat.st_dev, stat.st_ino) != identity:
        os.close(fd)
        raise TargetError("another file was put there meanwhile")
    return fd


def write_at(fd: int, offset: int, buffers: Buffers) -> int:
    """Write all buffers in a row from an offset on; returns the number of bytes.

    Raises TargetError, TargetFullError.
    """
    if offset < 0:
        raise TargetError("not written: the offset is negative")
    try:
        total = sum(map(len, buffers))
        written = os.pwritev(fd, buffers[:_IOV_MAX], offset)
        if written != total:
            written = _write_rest(fd, offset, buffers, written)
        return written
    except OSError as error:
        raise failure("not written", error) from error
    except OverflowError as error:
        raise TargetError("not written: no file can be that long") from error


def extend(fd: int, size: int) -> None:
    """Give a file its full size, all that is not written being a hole. Raises TargetError, TargetFullError."""
    try:
        os.ftruncate(fd, size)
    except OSError as error:
        raise failure(f"not made {size} bytes long", error) from error
    except OverflowError as error:
        raise TargetError("no file can be that long") from error


def finish_file(directory_fd: int, file: OpenFile, wanted: Wanted, fresh: bool = True) -> list[str]:
    """Give a written file its metadata and its name, and close it; returns the losses.

    fresh: as for `attributes.apply`: false where the directory passes an ACL on. Where this raises, the file is
    gone and what stood there before still stands. Raises TargetError, TargetFullError.
    """
    fd, name, temporary = file.fd, file.name, file.temporary
    try:
        losses = apply_before_naming(fd, wanted, fresh)
        if wanted.entry.extra is not None and wanted.entry.extra.extents is not None:
            _tell_holes(fd, wanted, losses)
        if temporary is not None:
            move_over(directory_fd, temporary, name)
        apply_flags(fd, wanted.entry, fresh, losses)
    except BaseException:
        abandon_file(directory_fd, file)
        raise
    try:
        os.close(fd)
    except OSError as error:
        _unlink(directory_fd, name)
        raise failure("not written", error) from error
    return losses


def abandon_file(directory_fd: int, file: OpenFile) -> None:
    """Close and delete a file that did not become whole; what stood there before still stands."""
    with contextlib.suppress(OSError):
        if os.fstat(file.fd).st_nlink:
            _unlink(directory_fd, file.current_name)
        os.close(file.fd)


def write_file(
    directory_fd: int, name: bytes, buffers: Buffers, wanted: Wanted, replace: bool = False, fresh: bool = True
) -> list[str]:
    """Create, write and finish a file whose bytes are all at hand; returns the losses.

    Raises TargetError, TargetFullError; the file is gone then.
    """
    extra = wanted.entry.extra
    file = create_file(directory_fd, name, replace, extra.flags if extra is not None else 0)
    if buffers:
        try:
            write_at(file.fd, 0, buffers)
        except BaseException:
            abandon_file(directory_fd, file)
            raise
    return finish_file(directory_fd, file, wanted, fresh)


def _write_rest(fd: int, offset: int, buffers: Buffers, written: int) -> int:
    """What one call left over: more buffers than it takes, or a short write."""
    position = 0
    for buffer in buffers:
        view = memoryview(buffer).cast("B")
        start = max(0, written - position)
        while start < len(view):
            step = os.pwrite(fd, view[start:], offset + position + start)
            start += step
        position += len(view)
    return position


def _tell_holes(fd: int, wanted: Wanted, losses: list[str]) -> None:
    extra = wanted.entry.extra
    extents = extra.extents if extra is not None else None
    if not isinstance(extents, bytes):
        return
    data = sum(int.from_bytes(extents[at : at + 8], "little") for at in range(8, len(extents), 16))
    more = os.fstat(fd).st_blocks * 512 - data
    if more > _HOLE_SLACK_BYTES + data // 50:
        losses.append(lost(Aspect.HOLES, f"takes {more} bytes more than its data", "the file system keeps none"))


def _unlink(directory_fd: int, name: bytes) -> None:
    with contextlib.suppress(OSError):
        os.unlink(name, dir_fd=directory_fd)
