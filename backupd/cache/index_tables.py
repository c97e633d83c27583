"""All look-up tables of a destination, searched as one."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator

from backupd.cache.index_table import IndexedFrame, IndexTable, Place, open_table, prefixes_of
from backupd.cache.table_file import SUFFIX, make_table, remove_table
from backupd.errors import StateError
from backupd.index.layout import ID_BYTES, BlockRow, IndexContents


class IndexTables:
    """Tells where a destination's chunks lie, the newest word first: tables are searched from the one added last.

    Not for several threads at once.
    """

    def __init__(self, directory: str, tables: Iterable[IndexTable] = ()) -> None:
        """directory: holds the table files; made when the first is written."""
        self._directory = directory
        self._tables = list(tables)
        self.absent_blocks: set[bytes] = set()
        """Ids of blocks that damage records and gc lists name: what lies there counts as absent for writing."""
        self.absent_places: set[bytes] = set()
        """Block id + chunk id (64 bytes) of single chunks that damage records name."""

    def load(self, name: str) -> bool:
        """Add the table of an index object; False when there is none that can be trusted: then `build` it.

        name: the object's, below `index/`.
        """
        table = open_table(self._directory, name)
        if table is not None:
            self.add(table)
        return table is not None

    def build(self, name: str, contents: IndexContents) -> None:
        """Write the table of an index object and add it. Raises StateFullError, AccessError, StateError."""
        make_table(self._directory, name, contents)
        if not self.load(name):
            raise StateError(
                f"the index table {name} just written in {self._directory} can't be read back",
                hint="look after the disk it lies on",
            )

    def add(self, table: IndexTable) -> None:
        """Search this table too, before the others."""
        self._tables.append(table)

    def names(self) -> list[str]:
        """Names of the index objects whose tables are searched, in the order they were added."""
        return [table.name for table in self._tables]

    def tables(self) -> tuple[IndexTable, ...]:
        """The tables, in the order they were added."""
        return tuple(self._tables)

    def keep_only(self, names: Collection[str], spared: Collection[str] = ()) -> None:
        """Search no others than these, and remove the table files of all other index objects but those spared."""
        for table in self._tables:
            if table.name not in names:
                table.close()
        self._tables = [table for table in self._tables if table.name in names]
        for name in self.file_names():
            if name not in names and name not in spared:
                remove_table(self._directory, name)

    def file_names(self) -> list[str]:
        """Names of the index objects whose table files are there, searched or not."""
        if not os.path.isdir(self._directory):
            return []
        return [name.removesuffix(SUFFIX) for name in os.listdir(self._directory) if name.endswith(SUFFIX)]

    def close(self) -> None:
        """Close all tables."""
        for table in self._tables:
            table.close()
        self._tables = []

    def __len__(self) -> int:
        return sum(map(len, self._tables))

    def find(self, chunk_id: bytes, trying: bool = False) -> Place | None:
        """Where a chunk lies, see `find_many`."""
        return self.find_many(chunk_id, trying)[0]

    def find_many(self, ids: bytes, trying: bool = False) -> list[Place | None]:
        """Where each chunk lies, or None. ids: 32 bytes a chunk.

        Places that count as absent are passed over; with trying they are given where there is no other.
        """
        places: list[Place | None] = [None] * (len(ids) // ID_BYTES)
        doubtful: dict[int, Place] = {}
        pending = list(range(len(places)))
        prefixes = prefixes_of(ids)
        for table in reversed(self._tables):
            for number, rank in table.hits(ids, prefixes, pending):
                place = table.place(rank)
                if self._is_absent(place.block_id, ids, number):
                    doubtful.setdefault(number, place)
                else:
                    places[number] = place
            pending = [number for number in pending if places[number] is None]
            if not pending:
                break
        if trying:
            for number in pending:
                places[number] = doubtful.get(number)
        return places

    def has_many(self, ids: bytes) -> bytearray:
        """For each chunk 1 if it need not be written, else 0. ids: 32 bytes a chunk."""
        if self.absent_blocks or self.absent_places:
            return bytearray(place is not None for place in self.find_many(ids))
        present = bytearray(len(ids) // ID_BYTES)
        pending = list(range(len(present)))
        prefixes = prefixes_of(ids)
        for table in reversed(self._tables):
            for number, _ in table.hits(ids, prefixes, pending):
                present[number] = 1
            pending = [number for number in pending if not present[number]]
            if not pending:
                break
        return present

    def places(self, chunk_id: bytes) -> list[Place]:
        """Every place of a chunk, those last that count as absent: what a reader tries one after the other."""
        prefixes = prefixes_of(chunk_id)
        found = [
            table.place(rank) for table in reversed(self._tables) for _, rank in table.hits(chunk_id, prefixes, (0,))
        ]
        distinct = list(dict.fromkeys(found))
        return sorted(distinct, key=lambda place: self._is_absent(place.block_id, chunk_id, 0))

    def blocks(self) -> Iterator[BlockRow]:
        """Every block that an index object names, once."""
        seen: set[bytes] = set()
        for table in self._tables:
            for row in table.blocks():
                if row.block_id not in seen:
                    seen.add(row.block_id)
                    yield row

    def frames_of(self, block_id: bytes) -> list[IndexedFrame]:
        """What all index objects say of a block; a segment that several name comes several times."""
        return [frame for table in self._tables for frame in table.frames_of(block_id)]

    def entries(self) -> Iterator[tuple[bytes, Place]]:
        """Every chunk and place of every table; a chunk of several tables comes several times."""
        for table in self._tables:
            yield from table.entries()

    def _is_absent(self, block_id: bytes, ids: bytes, number: int) -> bool:
        if block_id in self.absent_blocks:
            return True
        if not self.absent_places:
            return False
        return block_id + ids[number * ID_BYTES : (number + 1) * ID_BYTES] in self.absent_places
