"""Which secret opens a repository: the given one, else the kept key, else the one that lies in clear."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence

from backupd.destination.contract import Destination
from backupd.errors import BackupError, KeyMissingError, RepositoryNotFoundError
from backupd.operations.context import JobContext
from backupd.repository import opening
from backupd.repository.opening import OpenRepository
from backupd.rules import names
from backupd.seal.slot import secret_from_text
from backupd.settings.keys import KeyStore, key_in
from backupd.store_errors import KeyDirectoryError


def unlock(context: JobContext, below: Destination, repository: str) -> OpenRepository:
    """Open with the given secret, else the kept key, else as unencrypted. Raises KeyMissingError, WrongKeyError."""
    repository_id = bytes.fromhex(repository[1:])
    given = context.order.unlock.secret
    if given is not None:
        return opening.unlock(below, repository_id, secret_of(given))
    store = KeyStore(context.directories.data)
    unkept: KeyDirectoryError | None = None
    with context.rights.raised():
        try:
            kept = store.load(repository)
        except KeyDirectoryError as error:
            # What is not encrypted needs none.
            kept, unkept = None, error
    if kept is not None:
        if kept.warning:
            context.warn(kept.warning)
        secret = secret_from_text(kept.secret)
        if secret is None:
            raise KeyMissingError(
                f"the key in {store.path_of(repository)} is not whole: a character of it is wrong",
                hint="compare its last line with the key sheet, or give the key by --password-file",
            )
        return opening.unlock(below, repository_id, secret, kept.slot)
    opened = opening.unlock_clear(below, repository_id)
    if opened is None:
        if unkept is not None:
            raise unkept
        raise KeyMissingError(
            f"no key for repository {repository[:9]} is kept here",
            hint=f"its .key file belongs here: {store.path_of(repository)}; or give password or key by --password-file",
            context={"key_directory": store.directory, "repository": repository},
        )
    return opened


def is_without_key(error: BackupError) -> bool:
    """Whether `unlock` found no key of the repository, good or bad, and it is encrypted."""
    return isinstance(error, KeyMissingError) and "key_directory" in error.context


def secret_of(given: bytes) -> bytes:
    """A given secret: the key in it where it is the text of a key file, else as it is."""
    key = key_in(given.decode(errors="replace"))
    return key.encode() if secret_from_text(key) is not None else given


def not_here(
    context: JobContext, what: str, place: str, closed: Sequence[str], others: Collection[str] = ()
) -> BackupError:
    """For HOST:SET that no repository at a place holds, as far as they can be read. closed: those that can't be.

    others: hosts that stored a set of that name there.
    """
    host, name = names.split_host(what)
    known = ", ".join(f"{one}:{name}" for one in sorted(others))
    if not closed:
        hint = f"there is {known}" if known else "is the right disk mounted there?"
        return RepositoryNotFoundError(f"nothing of {what} is in {place}", hint=hint)
    store = KeyStore(context.directories.data)
    with context.rights.raised():
        store.refuse_file()
    directory = store.directory
    path = store.path_of(closed[0]) if len(closed) == 1 else os.path.join(directory, "")
    beside = f". There is {known}" if known else ""
    return KeyMissingError(
        f"{what} is in none of the repositories in {place} that can be read with the keys of this machine",
        hint=f"copy its .key file from {host} to {path}; where it is, says there: bkctl key show {name}{beside}",
        context={"key_directory": directory, "repositories": [*closed]},
    )
