"""Where the parity of a block lies: sectors, groups of them, the pages of their checksums (docs/format.md, Parity)."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence

import msgspec
from blake3 import blake3

from backupd.sizes import MOST_PARITY

SECTOR_BYTES = 4096
SUM_BYTES = 8
"""Of a sector's checksum."""
_MOST_PARITIES = 4
_TWO_SECTORS = 10
"""From so many on a block has two of parity: a fifth of it at most."""
_PAGE = struct.Struct("<8sHBxIQQ32s")
_PAGE_MAGIC = b"\x89BKDPAR\n"
_SEAL_BYTES = 16
_PAGE_SUMS = (SECTOR_BYTES - _PAGE.size - _SEAL_BYTES) // SUM_BYTES
_MOST_TRIES = 1000
"""A block has two pages for each two mebibytes; more that look like one are another's work."""


class Geometry(msgspec.Struct, frozen=True):
    """Follows from how many bytes are protected, and by how many percent."""

    data_bytes: int
    sector_bytes: int
    sectors: int
    """Of the data; the last one may be cut off, and counts as filled up with zeros."""
    groups: int
    """Sector s belongs to group s mod groups, so that a run of lost ones is spread over all; the parity's are counted
    on after the data's."""
    parities: int
    """Sectors of parity of each group: so many of its sectors may be lost."""

    @property
    def turn_bytes(self) -> int:
        """Parity of the group that comes next after the data stands first: rows of parity are turned by so much."""
        return self.sectors % self.groups * self.sector_bytes

    @property
    def rows(self) -> int:
        """Data sectors of a group; missing ones of the last row count as zeros."""
        return -(-self.sectors // self.groups)

    @property
    def parity_sectors(self) -> int:
        """Of all groups: so long a run of lost sectors comes back."""
        return self.groups * self.parities

    @property
    def all_sectors(self) -> int:
        """Data, then parity: what there are checksums of."""
        return self.sectors + self.parity_sectors

    @property
    def table_bytes(self) -> int:
        """Of one of the two tables of checksums."""
        pages = -(-self.all_sectors // _PAGE_SUMS)
        return pages * (_PAGE.size + _SEAL_BYTES) + self.all_sectors * SUM_BYTES

    @property
    def first_parity(self) -> int:
        """Where in the parity part the parity begins: at a whole sector of the block, after zeros.

        So a sector of the disk holds something of one sector here, and never of two.
        """
        zeros = -(self.data_bytes + self.table_bytes) % SECTOR_BYTES if self.sector_bytes == SECTOR_BYTES else 0
        return self.table_bytes + zeros

    @property
    def second_table(self) -> int:
        """Where in the parity part the table stands once more."""
        return self.first_parity + self.parity_sectors * self.sector_bytes

    @property
    def part_bytes(self) -> int:
        """Of the whole parity part: a table, the parity, the table again."""
        return self.second_table + self.table_bytes


class Description(msgspec.Struct, frozen=True):
    """What each page of checksums says of the block: enough to make its end anew."""

    percent: int
    frame_count: int
    data_bytes: int
    """Header, frames, directory: what stands before the parity part."""
    directory_offset: int
    digest: bytes
    """BLAKE3 of the data."""


def geometry(data_bytes: int, percent: int) -> Geometry:
    """How so many bytes are protected. data_bytes: over 0; percent: 1 to MOST_PARITY."""
    sector_bytes = min(SECTOR_BYTES, data_bytes)
    sectors = -(-data_bytes // sector_bytes)
    # The header and the directory of a small block are two places that a disk may lose.
    wanted = max(-(-sectors * percent // 100), 2 if sectors >= _TWO_SECTORS else 1)
    # A group must not be longer than the code allows, 255 sectors.
    parities = min(_MOST_PARITIES, 2 * percent, wanted)
    return Geometry(data_bytes, sector_bytes, sectors, -(-wanted // parities), parities)


def part_bytes(data_bytes: int, percent: int) -> int:
    """How long the parity part of so many bytes is. percent: 0: there is none."""
    return geometry(data_bytes, percent).part_bytes if percent else 0


def most_data_bytes(block_bytes: int, percent: int, end_bytes: int) -> int:
    """How many bytes a block may have before its parity so that it stays within a size with it, and with its end."""
    # Of fewer bytes it is no longer, but for the zeros before it.
    zeros = SECTOR_BYTES if percent else 0
    return block_bytes - end_bytes - part_bytes(block_bytes, percent) - zeros


def sector_sum(sector: bytes | memoryview) -> bytes:
    """The checksum of a whole sector."""
    return blake3(sector).digest(SUM_BYTES)


def pack_table(about: Description, sums: Sequence[bytes]) -> bytes:
    """The pages of a table. sums: of all sectors in order."""
    pages = []
    for number, start in enumerate(range(0, len(sums), _PAGE_SUMS)):
        head = _PAGE.pack(
            _PAGE_MAGIC,
            number,
            about.percent,
            about.frame_count,
            about.data_bytes,
            about.directory_offset,
            about.digest,
        )
        page = head + b"".join(sums[start : start + _PAGE_SUMS])
        pages += [page, blake3(page).digest(_SEAL_BYTES)]
    return b"".join(pages)


def find_description(data: bytes, most_bytes: int) -> Description | None:
    """What the first whole page that stands where it says it does tells of a block; None where there is none.

    most_bytes: what a whole block may have.
    """
    at = -1
    for _ in range(_MOST_TRIES):
        at = data.find(_PAGE_MAGIC, at + 1)
        if at < 0 or at + _PAGE.size > len(data):
            return None
        _, number, percent, frame_count, data_bytes, directory_offset, digest = _PAGE.unpack_from(data, at)
        if not 1 <= percent <= MOST_PARITY or not 0 < directory_offset < data_bytes <= most_bytes:
            continue
        shape = geometry(data_bytes, percent)
        places = _pages(shape)
        if number >= len(places) or at - data_bytes - places[number][0] not in (0, shape.second_table):
            continue
        if _is_whole(data[at : at + places[number][1]]):
            return Description(percent, frame_count, data_bytes, directory_offset, digest)
    return None


def read_sums(shape: Geometry, part: bytes | memoryview) -> list[bytes | None]:
    """The checksum of each sector, None where nobody knows it. part: the whole parity part, damaged or not."""
    found: list[bytes | None] = []
    for start, length in _pages(shape):
        pages = [bytes(part[at : at + length]) for at in (start, shape.second_table + start)]
        whole = next((page for page in pages if _is_whole(page)), None)
        for at in range(_PAGE.size, length - _SEAL_BYTES, SUM_BYTES):
            one, other = (page[at : at + SUM_BYTES] for page in (pages if whole is None else (whole, whole)))
            found.append(one if one == other else None)
    return found


def _pages(shape: Geometry) -> list[tuple[int, int]]:
    """(offset in the table, length) of each page."""
    return list(_page_places(shape.all_sectors))


def _page_places(sums: int) -> Iterator[tuple[int, int]]:
    at = 0
    while sums > 0:
        length = _PAGE.size + min(sums, _PAGE_SUMS) * SUM_BYTES + _SEAL_BYTES
        yield at, length
        at += length
        sums -= _PAGE_SUMS


def _is_whole(page: bytes) -> bool:
    seal = page[-_SEAL_BYTES:]
    return len(page) > _SEAL_BYTES and blake3(page[:-_SEAL_BYTES]).digest(_SEAL_BYTES) == seal
