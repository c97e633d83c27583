"""Looking chunks up at the destination itself, page by page: for who wants few files of a large repository.

Reads the tail of each index object, then about 64 KiB a chunk; the object that had the last hit is asked first, for
chunks of one file were mostly stored together.
"""

from __future__ import annotations

from collections import OrderedDict
from contextlib import suppress

from backupd.cache.index_table import Place
from backupd.destination.contract import Destination
from backupd.errors import DamageError, KeyMissingError, NewerVersionError, ObjectMissingError
from backupd.index.layout import FOOTER_BYTES, HEAD_BYTES, ID_BYTES, Range
from backupd.index.reader import IndexReader, footer_range, tail_range
from backupd.repository.index_loading import seal_of
from backupd.repository.opening import OpenRepository
from backupd.seal.envelope import read_epoch
from backupd.seal.header import ObjectKind

_KEPT_PAGES = 128
_GUESSED_TAIL_BYTES = 64 << 10


class RangedIndex:
    """Answers where chunks lie, as `cache.index_tables.IndexTables` does. Not for several threads at once."""

    def __init__(self, repository: OpenRepository, sizes: dict[str, int]) -> None:
        """sizes: bytes of all index objects by name below `index/`. Raises DestinationError."""
        self._place: Destination = repository.place
        self._repository, self._known = repository, set(sizes)
        self._readers: list[tuple[str, IndexReader]] = []
        self._pages: OrderedDict[tuple[str, int], bytes] = OrderedDict()
        self.read_bytes = 0
        self.damaged: dict[str, str] = {}
        for name, size in sizes.items():
            try:
                self._readers.append((name, self._open(repository, name, size)))
            except (DamageError, ObjectMissingError, NewerVersionError, KeyMissingError) as error:
                self.damaged[name] = error.message
        replaced = {old for _, reader in self._readers for old in reader.tail.replaces}
        self._readers = [(name, reader) for name, reader in self._readers if name not in replaced]

    def find_many(self, ids: bytes, trying: bool = False) -> list[Place | None]:
        """Where each chunk lies, or None. ids: 32 bytes a chunk. trying: as for tables; here it makes no difference."""
        return [self._find(ids[at : at + ID_BYTES]) for at in range(0, len(ids), ID_BYTES)]

    def places(self, chunk_id: bytes) -> list[Place]:
        """Every place of a chunk."""
        found = [self._find_in(name, reader, chunk_id) for name, reader in self._readers]
        return [place for place in found if place is not None]

    def recheck(self) -> bool:
        """Take in index objects that came since; what is answered comes from the place itself, each page sealed."""
        is_more = False
        for info in self._place.list("index/"):
            name = info.name.removeprefix("index/")
            if name in self._known:
                continue
            self._known.add(name)
            with suppress(DamageError, ObjectMissingError, NewerVersionError, KeyMissingError):
                self._readers.insert(0, (name, self._open(self._repository, name, info.size_bytes)))
                is_more = True
        return is_more

    def close(self) -> None:
        """Let go of the pages."""
        self._pages.clear()

    def _find(self, chunk_id: bytes) -> Place | None:
        for at, (name, reader) in enumerate(self._readers):
            place = self._find_in(name, reader, chunk_id)
            if place is not None:
                self._readers.insert(0, self._readers.pop(at))
                return place
        return None

    def _find_in(self, name: str, reader: IndexReader, chunk_id: bytes) -> Place | None:
        try:
            for page in reader.pages_of(chunk_id):
                hit = reader.find_in_page(page, self._read(name, reader.entry_page_range(page)), chunk_id)
                if hit is not None:
                    where = reader.locate(*hit, self._read(name, reader.segment_page_range(hit[0])))
                    block_id = where.block.block_id
                    return Place(block_id, where.offset, where.stored_bytes, where.plain_bytes, where.position)
        except (DamageError, ObjectMissingError) as error:
            self.damaged[name] = error.message
        return None

    def _open(self, repository: OpenRepository, name: str, size: int) -> IndexReader:
        head = self._get(name, Range(0, HEAD_BYTES))
        seal = seal_of(repository, name, read_epoch(head, ObjectKind.INDEX, f"index/{name}"))
        # Footer and tail in one read where the tail is as short as it mostly is.
        footer_at = footer_range(size, seal.name)
        start = max(0, footer_at.offset - _GUESSED_TAIL_BYTES)
        end = self._get(name, Range(start, size - start))
        tail_at = tail_range(size, seal.name, end[-FOOTER_BYTES:])
        if tail_at.offset >= start:
            tail = end[tail_at.offset - start : tail_at.offset - start + tail_at.length]
        else:
            tail = self._get(name, tail_at)
        return IndexReader(seal, head, tail_at.offset, tail)

    def _read(self, name: str, where: Range) -> bytes:
        key = (name, where.offset)
        page = self._pages.get(key)
        if page is None:
            page = self._get(name, where)
            self._pages[key] = page
            if len(self._pages) > _KEPT_PAGES:
                self._pages.popitem(last=False)
        else:
            self._pages.move_to_end(key)
        return page

    def _get(self, name: str, where: Range) -> bytes:
        data = self._place.get(f"index/{name}", where.offset, where.length)
        self.read_bytes += len(data)
        return data
