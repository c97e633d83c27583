"""What an SFTP server's refusals mean: it has eight codes, and one of them stands for nearly everything."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from backupd.destination.sftp import protocol
from backupd.destination.sftp.protocol import SftpFormatError, Space, StatusError
from backupd.destination.sftp.session import HARDLINK, STATVFS, LostError, Session
from backupd.errors import (
    DestinationError,
    DestinationFullError,
    DestinationRefusedError,
    DestinationUnreachableError,
    ObjectMissingError,
)
from backupd.store_errors import NameTooLongError, ReadOnlyStoreError, StoreAnswerError, StoreFolderError

_LEAST_FREE_BYTES = 64 << 10
_FULL_HINT = "make space there, or raise the quota; what is stored stays, and the next run goes on from it"
_FULL_WORDS = ("no space", "quota", "disk full")


@contextmanager
def translated(what: str) -> Iterator[None]:
    """What a session raises, as our errors; what: the place and the name there."""
    try:
        yield
    except LostError as error:
        if error.is_silence:
            message, hint = f"{what}: {error}", "is the machine or its disk stuck?"
        else:
            message, hint = f"{what}: the connection broke off ({error})", "was the server restarted, or the net cut?"
        raise DestinationUnreachableError(message, hint=hint) from error
    except SftpFormatError as error:
        message = f"{what}: the server's answer makes no sense: {error}"
        raise StoreAnswerError(message, hint="is it an SFTP server, and a sound one?") from error
    except StatusError as error:
        raise refusal(what, error) from error


def refusal(what: str, error: StatusError) -> DestinationError:
    """A request that changes nothing, refused."""
    if error.code == protocol.NO_SUCH_FILE:
        return ObjectMissingError(f"{what} is not there")
    if error.code == protocol.PERMISSION_DENIED:
        return _no_rights(what)
    return DestinationError(f"{what}: the server refuses: {error}", hint="the server's log may say why")


def refusal_of_change(
    session: Session, what: str, base: str, error: StatusError, size_bytes: int, *, is_openssh: bool
) -> DestinationError:
    """A request that makes, changes or removes something, refused; asks the server what it can say of its disk."""
    if error.code == protocol.NO_SUCH_FILE:
        if session.follow(base) is None:
            return StoreFolderError(
                f"{what}: the directory of the place is gone", hint="is the disk mounted there? Else make it again"
            )
        return DestinationError(f"{what}: somebody else removed its directory meanwhile")
    if error.code == protocol.PERMISSION_DENIED:
        # A read-only session of OpenSSH (internal-sftp -R) offers nothing that writes.
        if is_openssh and STATVFS in session.extensions and HARDLINK not in session.extensions:
            return _read_only(what)
        return _no_rights(what)
    if error.code == protocol.BAD_MESSAGE:
        return NameTooLongError(
            f"{what}: the server does not take a name of this kind or length", hint="choose a place with a shorter path"
        )
    if error.code == protocol.UNSUPPORTED:
        hint = "use another SFTP server, best OpenSSH, or an rclone: place"
        return DestinationRefusedError(f"{what}: the server does not do that", hint=hint)
    return _unexplained(_space(session, base), what, error, size_bytes)


def _unexplained(space: Space | None, what: str, error: StatusError, size_bytes: int) -> DestinationError:
    if space is not None and space.is_read_only:
        return _read_only(what)
    is_full = space is not None and (
        space.free_bytes < max(size_bytes, _LEAST_FREE_BYTES) or (space.free_names is not None and not space.free_names)
    )
    if is_full or any(word in error.text.lower() for word in _FULL_WORDS):
        return DestinationFullError(f"{what}: no space is left", hint=_FULL_HINT)
    return DestinationError(
        f"{what}: the server refuses: {error}",
        hint="SFTP gives no reason: a quota that is used up, a limit on files or a failing disk; its log may say more",
    )


def _space(session: Session, base: str) -> Space | None:
    try:
        return session.space(base or "/")
    except StatusError:
        return None


def _no_rights(what: str) -> DestinationError:
    hint = "mend owner or mode of the directory there, or log in as its owner; an append-only account can't do this"
    return DestinationRefusedError(f"{what}: permission denied", hint=hint)


def _read_only(what: str) -> DestinationError:
    hint = "mount it for writing there, or let the account write (sshd_config: internal-sftp without -R)"
    return ReadOnlyStoreError(f"{what}: the place can only be read", hint=hint)
