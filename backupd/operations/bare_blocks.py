"""A repository of which only parts are left: they are found, and shown as a repository again in a directory of links.

Nothing is written where they lie. What can be made again, the index, is made in a temporary directory.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator

from backupd.block.layout import BLOCK_HEADER_BYTES
from backupd.cache.index_tables import IndexTables
from backupd.destination.contract import Below
from backupd.destination.local import LocalDestination
from backupd.errors import (
    BackupError,
    DestinationUnreachableError,
    KeyMissingError,
    RepositoryNotFoundError,
    UsageError,
)
from backupd.index.layout import BlockContents
from backupd.model.store_access import NO_ACCESS
from backupd.operations.context import JobContext
from backupd.operations.healed import HealedBlocks
from backupd.operations.index_rebuild import read_missing
from backupd.operations.places import OpenPlace
from backupd.operations.unlocking import unlock
from backupd.repository import identity
from backupd.repository.block_listing import list_blocks
from backupd.repository.index_loading import publish
from backupd.repository.records import Records
from backupd.seal.header import HEADER_BYTES, MAGIC, ObjectKind
from backupd.settings.directories import ensure
from backupd.state_errors import translated

_PREFIX = re.compile(r"[0-9a-f]{2}")
_LINKED = ("keys", "keyring", "snapshots", "gc")
_BATCH_CHUNKS = 400_000
_ID_BYTES = 16
_MAX_TEXT_BYTES = 64 << 10


def open_parts(context: JobContext, path: str, scratch: str) -> OpenPlace:
    """Open what is left of a repository. path: a place, a repository's folder or its blocks. scratch: empty, ours.

    Raises RepositoryNotFoundError without blocks, KeyMissingError without keys/ and keyring/ or a key, WrongKeyError.
    """
    blocks, folder = _find(path)
    repository = _repository_id(folder, blocks)
    view = ensure(os.path.join(scratch, "view", repository))
    try:
        os.symlink(blocks, os.path.join(view, "blocks"))
        for name in _LINKED:
            if os.path.isdir(os.path.join(folder, name)):
                os.symlink(os.path.join(folder, name), os.path.join(view, name))
    except OSError as error:
        raise translated(error, view) from error
    for name in ("keys", "keyring"):
        if not os.path.exists(os.path.join(view, name)):
            raise KeyMissingError(
                f"{folder} has no {name}/: the key opens the keyring, and the keyring opens the blocks",
                hint=f"copy {name}/ of the repository beside its blocks; any destination of it will do",
            )
    above = os.path.dirname(view)
    whole = LocalDestination(above, "decrypt")
    identity.write_identity(whole, bytes.fromhex(repository[1:]), "", context.clock.now_ns())
    opened = unlock(context, Below(whole, repository), repository)
    for problem in opened.warnings:
        context.warn(problem)
    cache, healed = ensure(os.path.join(scratch, "cache")), HealedBlocks(context.warn, path)
    return OpenPlace(above, NO_ACCESS, whole, opened, Records(opened), cache, healed)


def make_index(context: JobContext, place: OpenPlace) -> int:
    """Make the index of an opened view from its blocks; returns how many chunks it names."""
    tables = IndexTables(ensure(os.path.join(place.cache, "index")))
    listed = list_blocks(place.repository.place)
    empty = IndexTables(place.cache)
    chunks = 0
    for batch in _batches(read_missing(context, place.repository.place, place.setup(), listed, empty)):
        publish(place.repository, tables, batch, 0)
        chunks += sum(len(frame.ids) // 32 for contents in batch for frame in contents.frames)
    tables.close()
    return chunks


def _batches(found: Iterator[BlockContents]) -> Iterator[list[BlockContents]]:
    batch: list[BlockContents] = []
    chunks = 0
    for contents in found:
        batch.append(contents)
        chunks += sum(len(frame.ids) // 32 for frame in contents.frames)
        if chunks >= _BATCH_CHUNKS:
            yield batch
            batch, chunks = [], 0
    if batch:
        yield batch


def _find(path: str) -> tuple[str, str]:
    """(directory of the blocks, directory with the rest of the repository), both absolute."""
    path = os.path.realpath(path)
    try:
        names = sorted(os.listdir(path))
    except OSError as error:
        raise DestinationUnreachableError(f"{path}: {error.strerror}", hint="name a directory of blocks") from error
    if "blocks" in names:
        return os.path.join(path, "blocks"), path
    if any(_PREFIX.fullmatch(name) for name in names):
        has_keys = "keys" in names or not os.path.isdir(os.path.join(os.path.dirname(path), "keys"))
        return path, path if has_keys else os.path.dirname(path)
    repositories = [name for name in names if os.path.isdir(os.path.join(path, name, "blocks"))]
    if len(repositories) > 1:
        raise UsageError(
            f"{len(repositories)} repositories in {path}",
            hint=f"name one of them: {os.path.join(path, repositories[0])}",
            context={"candidates": repositories},
        )
    if not repositories:
        raise RepositoryNotFoundError(
            f"no blocks in {path}", hint="name the directory that holds blocks/, or the folder `blocks` itself"
        )
    folder = os.path.join(path, repositories[0])
    return os.path.join(folder, "blocks"), folder


def _repository_id(folder: str, blocks: str) -> str:
    """By the folder's name, else by its text objects, else by the clear header of a block."""
    if identity.is_id_text(os.path.basename(folder)):
        return os.path.basename(folder)
    for twin in identity.TWINS:
        found = _named_in(os.path.join(folder, twin))
        if found is not None:
            return found
    for above, _, names in os.walk(blocks):
        for name in names:
            head = _head(os.path.join(above, name), BLOCK_HEADER_BYTES)
            if len(head) == BLOCK_HEADER_BYTES and head.startswith(MAGIC + bytes((ObjectKind.BLOCK,))):
                return identity.id_text(head[HEADER_BYTES : HEADER_BYTES + _ID_BYTES])
    raise RepositoryNotFoundError(f"no whole block in {blocks}", hint="is it a directory of blocks?")


def _named_in(path: str) -> str | None:
    try:
        found = json.loads(_head(path, _MAX_TEXT_BYTES))
    except (ValueError, RecursionError):
        return None
    name = found.get("id") if isinstance(found, dict) else None
    return name if isinstance(name, str) and identity.is_id_text(name) else None


def _head(path: str, length: int) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(length)
    except OSError as error:
        if isinstance(error, FileNotFoundError):
            return b""
        raise BackupError(f"{path}: {error.strerror}") from error
