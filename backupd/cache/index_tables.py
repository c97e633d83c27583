"""All look-up tables of a destination, searched as one."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Set
from typing import TypeVar

from backupd.cache.index_table import IndexedFrame, IndexTable, Place, open_table, prefixes_of
from backupd.cache.table_file import SUFFIX, make_table, remove_table
from backupd.errors import StateError
from backupd.index.layout import ID_BYTES, BlockRow, IndexContents
from backupd.state_errors import translated

T = TypeVar("T")
_FRUITLESS_MOST = 3
"""So often it is looked for newer index objects in vain: where much is lost, nobody waits for each chunk."""


class IndexTables:
    """Tells where a destination's chunks lie, the newest word first: tables are searched from the one added last.

    Opening a table looks at its header alone, for a large one takes seconds to read: who finds that it misleads has
    all of them read by `recheck`. Not for several threads at once, but for `set_aside`.
    """

    def __init__(self, directory: str, tables: Iterable[IndexTable] = ()) -> None:
        """directory: holds the table files; made when the first is written."""
        self._directory = directory
        self._tables = list(tables)
        self._fetch: Callable[[str], IndexContents] | None = None
        self._add_new: Callable[[], bool] | None = None
        self._fruitless = 0
        self.absent_blocks: set[bytes] = set()
        """Ids of blocks that damage records and gc lists name: what lies there counts as absent for writing."""
        self.retired_blocks: set[bytes] = set()
        """Ids of blocks that count as absent for writing though they are whole: all that they hold is stored anew."""
        self.absent_places: set[bytes] = set()
        """Block id + chunk id (64 bytes) of single chunks that damage records name."""
        self._answered = threading.Lock()
        self._relied: dict[str, bytearray] | None = None
        """By table a bit for each chunk that a writer was told not to write."""

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

    def made_of(self, fetch: Callable[[str], IndexContents]) -> None:
        """Have tables that are not what was written made anew. fetch: gives an index object's contents."""
        self._fetch = fetch

    def grow_by(self, add_new: Callable[[], bool]) -> None:
        """Have `recheck` take in what came to the index since. add_new: does it, and says whether there was any.

        For readers alone: a writer knows by the lists that it has read what it must not rely on (DESIGN 8.3).
        """
        self._add_new = add_new

    def recheck(self) -> bool:
        """Look whether the tables mislead, or the index has gone on: True where they know more or better now.

        For who found a place that is none, or no place of a chunk: what lay there may have been put elsewhere (DESIGN
        8.4). All tables are read whole, once. Raises DamageError and others where an index object can't be read.
        """
        is_mended = self._remake_unsound()
        if self._add_new is None or self._fruitless >= _FRUITLESS_MOST:
            return is_mended
        is_more = self._add_new()
        self._fruitless += not is_more
        return is_mended or is_more

    def _remake_unsound(self) -> bool:
        fetch, self._fetch = self._fetch, None
        if fetch is None:
            return False
        unsound = [number for number, table in enumerate(self._tables) if not table.is_sound()]
        for number in unsound:
            name = self._tables[number].name
            make_table(self._directory, name, fetch(name))
            table = open_table(self._directory, name)
            if table is not None:
                self._tables[number].close()
                self._tables[number] = table
                if self._relied is not None and name in self._relied:
                    # Which chunks those were the damaged one said, perhaps wrongly.
                    self._relied[name] = bytearray(b"\xff" * ((len(table) + 7) // 8))
        return bool(unsound)

    def add(self, table: IndexTable) -> None:
        """Search this table too, before the others."""
        self._tables.append(table)

    def doubt(self, name: str) -> None:
        """Remember that an index object itself was found bad: a writer must not count on what this host's table says.

        Else what only that object names is in a new snapshot, and no other host finds it. Readers still may.
        """
        if name in self.file_names():
            path = _doubt_path(self._directory, name)
            try:
                os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
            except OSError as error:
                raise translated(error, path) from error

    def is_doubted(self, name: str) -> bool:
        """Whether an index object was found bad by this host."""
        return os.path.exists(_doubt_path(self._directory, name))

    def trust(self, name: str) -> None:
        """The index object was read whole again. Raises StateFullError, AccessError, StateError."""
        path = _doubt_path(self._directory, name)
        try:
            os.unlink(path)
        except FileNotFoundError:
            return
        except OSError as error:
            raise translated(error, path) from error

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
                self.trust(name)

    def file_names(self) -> list[str]:
        """Names of the index objects whose table files are there, searched or not."""
        try:
            names = os.listdir(self._directory)
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise translated(error, self._directory) from error
        return [name.removesuffix(SUFFIX) for name in names if name.endswith(SUFFIX)]

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
        return self._asked(lambda: self._find_many(ids, trying))

    def has_many(self, ids: bytes) -> bytearray:
        """For each chunk 1 if it need not be written, else 0. ids: 32 bytes a chunk."""
        with self._answered:
            return self._asked(lambda: self._has_many(ids))

    def remember_answers(self) -> None:
        """From now on remember what `has_many` told a writer not to write, for `set_aside`."""
        self._relied = {}

    def set_aside(self, blocks: Set[bytes]) -> set[bytes]:
        """Count these blocks as absent for writing from now on; gives those that an answer relied on before.

        Now and then one beside: answers are kept as bits and looked at as bytes. From any thread.
        """
        with self._answered:
            self.absent_blocks |= blocks
            return {block_id for block_id in blocks if self._is_relied_on(block_id)}

    def relied_blocks(self) -> set[bytes]:
        """Blocks that a writer was told to rely on, now and then one beside; none before `remember_answers`."""
        with self._answered:
            return {row.block_id for row in self.blocks() if self._is_relied_on(row.block_id)}

    def _is_relied_on(self, block_id: bytes) -> bool:
        for table in self._tables:
            bits = (self._relied or {}).get(table.name)
            if bits and any(any(bits[ranks.start >> 3 : (ranks.stop + 7) >> 3]) for ranks in table.ranks_of(block_id)):
                return True
        return False

    def _rely_on(self, table: IndexTable, rank: int) -> None:
        if self._relied is not None:
            bits = self._relied.get(table.name)
            if bits is None:
                bits = self._relied[table.name] = bytearray((len(table) + 7) // 8)
            bits[rank >> 3] |= 1 << (rank & 7)

    def places(self, chunk_id: bytes) -> list[Place]:
        """Every place of a chunk, those last that count as absent: what a reader tries one after the other."""
        return self._asked(lambda: self._places(chunk_id))

    def _asked(self, look: Callable[[], T]) -> T:
        """An answer of the tables; of those made anew where one of them is not what was written. Raises StateError."""
        try:
            return look()
        except StateError:
            if not self.recheck():
                raise
            return look()

    def _find_many(self, ids: bytes, trying: bool, is_relied_on: bool = False) -> list[Place | None]:
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
                    if is_relied_on:
                        self._rely_on(table, rank)
            pending = [number for number in pending if places[number] is None]
            if not pending:
                break
        if trying:
            for number in pending:
                places[number] = doubtful.get(number)
        return places

    def _has_many(self, ids: bytes) -> bytearray:
        if self.absent_blocks or self.absent_places or self.retired_blocks:
            return bytearray(place is not None for place in self._find_many(ids, trying=False, is_relied_on=True))
        present = bytearray(len(ids) // ID_BYTES)
        pending = list(range(len(present)))
        prefixes = prefixes_of(ids)
        for table in reversed(self._tables):
            for number, rank in table.hits(ids, prefixes, pending):
                present[number] = 1
                self._rely_on(table, rank)
            pending = [number for number in pending if not present[number]]
            if not pending:
                break
        return present

    def _places(self, chunk_id: bytes) -> list[Place]:
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
        return self._asked(lambda: [frame for table in self._tables for frame in table.frames_of(block_id)])

    def entries(self) -> Iterator[tuple[bytes, Place]]:
        """Every chunk and place of every table; a chunk of several tables comes several times."""
        for table in self._tables:
            yield from table.entries()

    def _is_absent(self, block_id: bytes, ids: bytes, number: int) -> bool:
        if block_id in self.absent_blocks or block_id in self.retired_blocks:
            return True
        if not self.absent_places:
            return False
        return block_id + ids[number * ID_BYTES : (number + 1) * ID_BYTES] in self.absent_places


def _doubt_path(directory: str, name: str) -> str:
    return os.path.join(directory, name + ".doubted")
