"""From DEST to a repository to write to: found, opened, or made (CLI.md, Without a daemon)."""

from __future__ import annotations

import os
import threading

import msgspec

from backupd import durable_io
from backupd.cancel import Cancel
from backupd.destination.contract import Destination, Store
from backupd.destination.stores import canonical, local_path
from backupd.errors import (
    AnswerNeededError,
    BusyError,
    ConflictError,
    FormatError,
    RepositoryNotFoundError,
    UsageError,
)
from backupd.model.orders import BackupOrder, OwnRepository
from backupd.operations.backup.own_repository import copy_identity_from, find_own, lost
from backupd.operations.context import JobContext
from backupd.operations.places import OpenPlace, open_repository, split_place
from backupd.repository import identity, opening
from backupd.repository.key_management import check_newest
from backupd.repository.opening import NewSlot
from backupd.repository.parity_setting import with_parity
from backupd.seal.cipher import check_cipher_name
from backupd.seal.keyring import BLOCK_BYTES_CHOICES, Configuration
from backupd.seal.slot import CLEAR_SECRET, new_secret, secret_from_text, secret_to_text
from backupd.settings.keys import KeptKey, KeyStore, render
from backupd.settings.lock import SetLock
from backupd.sizes import MOST_PARITY
from backupd.snapshot import naming
from backupd.state_errors import translated

_MAKING_SECONDS = 30.0


class MadeKey(msgspec.Struct, frozen=True):
    """What was done about the key of a new repository."""

    file: str | None
    kind: str


class OpenedForWriting(msgspec.Struct, frozen=True):
    """An open repository and whether this run made it."""

    place: OpenPlace
    whole: Store
    made_key: MadeKey | None


def open_for_writing(
    order: BackupOrder, context: JobContext, tag: str, cancel: Cancel | None = None
) -> OpenedForWriting:
    """Open the place's repository, making it where there is none.

    tag: of this writer's temporary files. cancel: of its part of the run, None: of the run.

    Raises PlaceOccupiedError, RepositoryNotFoundError (`--existing`), KeyMissingError, WrongKeyError, UsageError,
    AnswerNeededError, DestinationError.
    """
    path, chosen = split_place(order.place)
    is_reading = order.existing or order.dry_run
    directory = local_path(path, order.access)
    if is_reading and directory is not None and not os.path.lexists(directory):
        raise lost(path) if order.own is not None and order.existing else _nothing_there(path, order)
    whole = context.open_store(path, tag, order.access, create=not is_reading, cancel=cancel)
    if order.own is not None:
        return _open_own(order, order.own, context, whole)
    repository = chosen or _find(context, whole, path)
    if repository is not None:
        _refuse_creation_options(order)
        return OpenedForWriting(_opened(order, context, whole, path, repository), whole, None)
    if is_reading:
        raise _nothing_there(path, order)
    # Two first runs of one host must not both make a key for the place.
    making = SetLock(context.directories.state, f"place-{identity.place_tag(canonical(path))}")
    making.acquire(context.clock, _MAKING_SECONDS, context.cancel)
    with making:
        repository = _find(context, whole, path)
        if repository is not None:
            return OpenedForWriting(_opened(order, context, whole, path, repository), whole, None)
        names = whole.top_names()
        identity.check_is_ours(whole, names)
        return _make(order, context, whole, identity.read_once(whole) if "once.json" in names else None)


def with_untold_key(opened: OpenedForWriting, context: JobContext, set_id: bytes) -> OpenedForWriting:
    """For a repository's first backup: tell of a kept key that nobody proved, as if it were made now.

    The run that made it may have been killed before it could tell where the only copy lies.
    """
    others = {name.set_id for name in opened.place.records.snapshot_names()} - {naming.set_id_text(set_id)}
    if opened.made_key is not None or opened.place.repository.slot.kind != "key" or others:
        return opened
    store = KeyStore(context.directories.data)
    kept = store.load(opened.place.repository.text_id)
    if kept is None or kept.proved:
        return opened
    made = MadeKey(store.path_of(opened.place.repository.text_id), "key")
    return msgspec.structs.replace(opened, made_key=made)


def _nothing_there(path: str, order: BackupOrder) -> RepositoryNotFoundError:
    hint = "is the disk mounted? Without --existing, one is made" if order.existing else "a dry run makes none"
    return RepositoryNotFoundError(f"no repository in {path}", hint=hint)


def _find(context: JobContext, whole: Store, path: str) -> str | None:
    """The repository that `once` uses at a place, None when there is none."""
    names = whole.top_names()
    repositories = identity.list_repositories(whole, names)
    once = None
    if "once.json" in names:
        try:
            once = identity.read_once(whole)
        except FormatError as error:
            if len(repositories) != 1:
                raise
            context.warn(f"{error.message}; there is one repository, which is used")
    if once in repositories:
        return once
    return _only(repositories, path) if repositories else None


def _opened(order: BackupOrder, context: JobContext, whole: Destination, path: str, repository: str) -> OpenPlace:
    place = open_repository(context, whole, path, repository, order.access)
    check_newest(place.repository)
    if order.own is None:
        return place
    return msgspec.structs.replace(place, repository=with_parity(place.repository, order.parity))


def _only(repositories: list[str], path: str) -> str:
    if len(repositories) > 1:
        raise UsageError(
            f"{len(repositories)} repositories in {path}, and none is marked for `once`",
            hint=f"name one of them: --to {path}/{repositories[0]}",
            context={"candidates": repositories},
        )
    return repositories[0]


def _refuse_creation_options(order: BackupOrder) -> None:
    fixed = {
        "--encryption": order.encryption,
        "--cipher": order.cipher,
        "--block-size": order.block_size_bytes,
        "--parity": order.parity,
    }
    given = [name for name, value in fixed.items() if value is not None]
    if given:
        raise ConflictError(
            f"{', '.join(given)}: fixed when the repository was made, and it is there already",
            hint="leave it out, or back up to a new place",
        )


def _open_own(order: BackupOrder, own: OwnRepository, context: JobContext, whole: Store) -> OpenedForWriting:
    """The repository of a set that the daemon keeps: opened, taken over, copied from another place, or made."""
    path = order.place
    making = SetLock(context.directories.state, f"place-{identity.place_tag(canonical(path))}")
    making.acquire(context.clock, _MAKING_SECONDS, context.cancel)
    with making:
        names = whole.top_names()
        if own.repository in identity.list_repositories(whole, names):
            return OpenedForWriting(_opened(order, context, whole, path, own.repository), whole, None)
        adopted = find_own(context, order, own, whole, names) if own.adopts else None
        if adopted is not None:
            return OpenedForWriting(_opened(order, context, whole, path, adopted), whole, None)
        if order.existing:
            raise lost(path)
        if order.dry_run:
            raise _nothing_there(path, order)
        if own.copied_from is not None:
            copy_identity_from(context, own, own.copied_from, whole)
            return OpenedForWriting(_opened(order, context, whole, path, own.repository), whole, None)
        identity.check_is_ours(whole, names)
        configuration = _configuration(order)
        secret, new = _choose_secret(order, context, KeyStore(context.directories.data))
        return _make_as(order, context, whole, bytes.fromhex(own.repository[1:]), configuration, secret, new)


def _make(order: BackupOrder, context: JobContext, whole: Store, once: str | None) -> OpenedForWriting:
    configuration = _configuration(order)
    secret, new = _choose_secret(order, context, KeyStore(context.directories.data))
    repository_id = bytes.fromhex(once[1:]) if once is not None else os.urandom(16)
    reserved = identity.reserve_once(whole, repository_id)
    if reserved != identity.id_text(repository_id):
        # A run of another host was first: its repository is the one, once it is made.
        _wait_for(context, whole, reserved)
        place = open_repository(context, whole, order.place, reserved, order.access)
        return OpenedForWriting(place, whole, None)
    return _make_as(order, context, whole, repository_id, configuration, secret, new)


def _make_as(
    order: BackupOrder,
    context: JobContext,
    whole: Store,
    repository_id: bytes,
    configuration: Configuration,
    secret: bytes | None,
    new: NewSlot,
) -> OpenedForWriting:
    store = KeyStore(context.directories.data)
    now_ns = context.clock.now_ns()
    file: str | None = None
    if secret is not None:
        kept = KeptKey(
            repository_id=identity.id_text(repository_id),
            secret=secret_to_text(secret),
            place=order.place,
            made_ns=now_ns,
        )
        if order.key_out is not None:
            _write_out(order.key_out, kept)
            file = order.key_out
        # The key is on the disk before anything is sealed with it.
        if not order.ephemeral and store.is_writable():
            file = store.save(kept)
    opened = opening.create(whole, repository_id, configuration, new, now_ns)
    unlocked = msgspec.structs.replace(
        order, unlock=msgspec.structs.replace(order.unlock, secret=new.secret if new.kind != "clear" else None)
    )
    context.order = unlocked
    place = open_repository(context, whole, order.place, opened.text_id, order.access)
    return OpenedForWriting(place, whole, MadeKey(file, new.kind))


def _wait_for(context: JobContext, whole: Destination, repository: str) -> None:
    deadline = context.clock.monotonic() + _MAKING_SECONDS
    pause = threading.Event()
    while all(whole.size(f"{repository}/{twin}") is None for twin in identity.TWINS):
        context.cancel.check()
        if context.clock.monotonic() >= deadline:
            raise BusyError(f"another host is making the repository in {whole.shown}", hint="run it again in a minute")
        pause.wait(0.2)


def _configuration(order: BackupOrder) -> Configuration:
    if order.cipher is not None and order.encryption not in ("custom", None):
        raise UsageError(f"--cipher goes with --encryption custom, not {order.encryption}")
    cipher = check_cipher_name(order.cipher or "aes-256-gcm")
    block_bytes = order.block_size_bytes or BLOCK_BYTES_CHOICES[0]
    if block_bytes not in BLOCK_BYTES_CHOICES:
        raise UsageError("a block is of 32 or 64 MiB", hint="--block-size 32M or --block-size 64M")
    parity = order.parity or 0
    if parity > MOST_PARITY:
        raise UsageError(f"a block has at most {MOST_PARITY} % of parity", hint="--parity 5%")
    return Configuration(cipher, block_bytes, parity)


def _choose_secret(order: BackupOrder, context: JobContext, store: KeyStore) -> tuple[bytes | None, NewSlot]:
    """(secret to keep, if there is one to keep; the first key slot)."""
    given = order.new_secret or order.unlock.secret
    if order.encryption == "none":
        return None, NewSlot("clear", CLEAR_SECRET, "clear")
    if given is not None:
        key = secret_from_text(given.decode(errors="replace"))
        if key is not None and order.encryption != "password":
            return key, NewSlot("key", key, "given key")
        return None, NewSlot("password", given, "password")
    if order.encryption == "password":
        hint = "give it by --new-password-file or --new-password-command"
        raise AnswerNeededError("a new password is needed", hint=hint)
    if order.key_out is None and (order.ephemeral or not store.is_writable()):
        if not order.ephemeral:
            store.refuse_file()
        raise AnswerNeededError(
            "a new random key would be lost: there is nowhere to keep it",
            hint=f"give --key-out FILE, or a password by --new-password-file, or make {store.directory} writable",
        )
    secret = new_secret()
    return secret, NewSlot("key", secret, "first key")


def _write_out(path: str, kept: KeptKey) -> None:
    try:
        durable_io.write_temporary(path, [render(kept).encode("utf-8", "surrogateescape")])
    except OSError as error:
        if isinstance(error, FileExistsError):
            raise ConflictError(f"{path} exists already", hint="name a new file for the key") from error
        raise translated(error, path) from error
