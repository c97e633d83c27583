"""Reads every index object whole at the destination, whatever this host's tables say, and makes sound tables."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from backupd.cache.index_table import IndexTable, open_table
from backupd.cache.index_tables import IndexTables
from backupd.cache.table_file import make_table
from backupd.errors import (
    BackupError,
    DamageError,
    DestinationError,
    DestinationUnreachableError,
    KeyMissingError,
    NewerVersionError,
    ObjectMissingError,
)
from backupd.index.layout import IndexContents
from backupd.repository.index_loading import add_new, fetch_contents
from backupd.repository.opening import OpenRepository

_ROUNDS = 3


class VerifiedIndex(msgspec.Struct, frozen=True):
    """Tables of what the destination itself says, and what is wrong there."""

    tables: IndexTables
    damaged: dict[str, BackupError]
    """By object name below `index/`; those that a readable one replaces don't count."""
    locked: list[str]
    """Of an epoch that the key at hand does not open."""
    object_count: int


def verify_index(repository: OpenRepository, directory: str, step: Callable[[], None]) -> VerifiedIndex:
    """Fetch and read all index objects.

    directory: for tables; those that are there are used where they are sound, none is removed. step: called after each.
    Objects that vanish meanwhile were replaced by others: then it looks again.
    """
    opened: dict[str, IndexTable] = {}
    damaged: dict[str, BackupError] = {}
    locked: list[str] = []
    for _ in range(_ROUNDS):
        names = {info.name.removeprefix("index/") for info in repository.place.list("index/")}
        vanished = False
        for name in sorted(names - opened.keys() - damaged.keys() - set(locked)):
            try:
                opened[name] = _sound_table(directory, name, fetch_contents(repository, name))
            except KeyMissingError:
                locked.append(name)
            except (ObjectMissingError, DestinationUnreachableError) as error:
                if not isinstance(error, ObjectMissingError):
                    raise
                vanished = True
            except (DamageError, DestinationError, NewerVersionError) as error:
                damaged[name] = error
            step()
        if not vanished:
            break
    replaced = {old for table in opened.values() for old in table.replaces}
    for name in replaced & opened.keys():
        opened.pop(name).close()
    tables = IndexTables(directory, opened.values())
    known = set(names)
    tables.grow_by(lambda: add_new(repository, tables, known))
    for name, reason in damaged.items():
        if not isinstance(reason, NewerVersionError):
            tables.doubt(name)
    for name in opened:
        tables.trust(name)
    return VerifiedIndex(tables, {n: e for n, e in damaged.items() if n not in replaced}, locked, len(names))


def _sound_table(directory: str, name: str, contents: IndexContents) -> IndexTable:
    table = open_table(directory, name)
    if table is not None and table.is_sound():
        return table
    if table is not None:
        table.close()
    make_table(directory, name, contents)
    table = open_table(directory, name)
    if table is None:
        raise BackupError(f"the index table {name} just written in {directory} can't be read back")
    return table
