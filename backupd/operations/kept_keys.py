"""The key at hand: what was given on the command line, else what the key directory keeps."""

from __future__ import annotations

import msgspec

from backupd.errors import BackupError
from backupd.operations.context import JobContext
from backupd.operations.unlocking import secret_of
from backupd.repository.key_management import slots_of
from backupd.repository.opening import OpenRepository
from backupd.seal.slot import Slot, secret_from_text, secret_to_text
from backupd.settings.keys import KeptKey, KeyStore
from backupd.store_errors import KeyDirectoryError


class KeyAtHand(msgspec.Struct, frozen=True):
    """A random key that can be shown."""

    text: str
    """The 44 characters."""
    is_given: bool
    """Whether it came by the command line, typed or from a file."""
    kept: KeptKey | None
    """Where the key directory holds this very key."""
    path: str | None
    """Of the kept key."""

    @property
    def proved(self) -> bool | None:
        """Whether somebody typed the kept key in from a copy; None where it is not kept."""
        return self.kept.proved if self.kept is not None else None


def key_at_hand(context: JobContext, repository: OpenRepository) -> KeyAtHand | None:
    """The key that opened the repository, where it is one of 44 characters; None for a password or a clear key."""
    if repository.slot.kind != "key":
        return None
    store = KeyStore(context.directories.data)
    given = context.order.unlock.secret
    kept = load_kept(context, repository.text_id)
    if given is None:
        return KeyAtHand(kept.secret, False, kept, store.path_of(repository.text_id)) if kept is not None else None
    secret = secret_from_text(secret_of(given).decode(errors="replace"))
    if secret is None:
        return None
    is_same = kept is not None and secret_from_text(kept.secret) == secret
    path = store.path_of(repository.text_id) if is_same else None
    return KeyAtHand(secret_to_text(secret), True, kept if is_same else None, path)


def other_kept_secret(context: JobContext, repository: OpenRepository) -> bytes | None:
    """The kept key's secret where another secret opened the repository."""
    kept = load_kept(context, repository.text_id) if context.order.unlock.secret is not None else None
    return secret_from_text(kept.secret) if kept is not None else None


def slots_of_kept(context: JobContext, repository: str, found: dict[str, Slot]) -> list[str]:
    """Names of the slots that the kept key opens; none where none is kept."""
    if all(slot.kind == "clear" for slot in found.values()):
        return []
    kept = load_kept(context, repository)
    secret = secret_from_text(kept.secret) if kept is not None else None
    return slots_of(bytes.fromhex(repository[1:]), found, secret) if secret is not None else []


def mask(key: str) -> str:
    """The first and last four characters, enough to tell keys apart."""
    return f"{key[:4]}…{key[-4:]}"


def load_kept(context: JobContext, repository: str) -> KeptKey | None:
    """The kept key of a repository that is open: a file that can't be read must not stand in the way then."""
    try:
        return KeyStore(context.directories.data).load(repository)
    except KeyDirectoryError as error:
        context.warn(f"{error.message}; {error.hint}")
        return None
    except BackupError as error:
        context.warn(error.message)
        return None
