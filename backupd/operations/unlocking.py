"""Which secret opens a repository: the given one, else the kept key, else the one that lies in clear."""

from __future__ import annotations

from collections.abc import Sequence

from backupd.destination.contract import Destination
from backupd.errors import BackupError, KeyMissingError, RepositoryNotFoundError
from backupd.operations.context import JobContext
from backupd.repository import opening
from backupd.repository.opening import OpenRepository
from backupd.rules import names
from backupd.seal.slot import secret_from_text
from backupd.settings.keys import KeyStore, key_in


def unlock(context: JobContext, below: Destination, repository: str) -> OpenRepository:
    """Open with the given secret, else the kept key, else as unencrypted. Raises KeyMissingError, WrongKeyError."""
    repository_id = bytes.fromhex(repository[1:])
    given = context.order.unlock.secret
    if given is not None:
        return opening.unlock(below, repository_id, secret_of(given))
    store = KeyStore(context.directories.data)
    with context.rights.raised():
        kept = store.load(repository)
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
        raise KeyMissingError(
            f"no key for repository {repository[:9]} is kept here",
            hint=f"copy its .key file to {store.directory}, or give password or key by --password-file",
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


def not_here(context: JobContext, what: str, place: str, closed: Sequence[str]) -> BackupError:
    """For HOST:SET that no repository at a place holds, as far as they can be read. closed: those that can't be."""
    host, name = names.split_host(what)
    if not closed:
        return RepositoryNotFoundError(f"nothing of {what} is in {place}", hint="is the right disk mounted there?")
    directory = KeyStore(context.directories.data).directory
    return KeyMissingError(
        f"{what} is in none of the repositories in {place} that can be read with the keys of this machine",
        hint=f"copy its .key file from {host} to {directory}; where it is, says there: bkctl key show {name}",
        context={"key_directory": directory, "repositories": [*closed]},
    )
