"""Parity inside blocks: what makes a damaged one whole without any other copy (docs/format.md, Parity). Pure."""

from __future__ import annotations

import importlib
from collections import defaultdict
from collections.abc import Iterable, Iterator
from types import ModuleType
from typing import TYPE_CHECKING

import msgspec

from backupd.block.layout import MAX_BLOCK_BYTES, TRAILER_BYTES, digest_of, pack_trailer
from backupd.block.parity_layout import (
    Description,
    Geometry,
    find_description,
    geometry,
    pack_table,
    read_sums,
    sector_sum,
)
from backupd.errors import DamageError, FormatError

if TYPE_CHECKING:
    from backupd.block import galois


class Repaired(msgspec.Struct, frozen=True):
    """A block as it was written."""

    data: bytes
    sectors: int
    """How many of its data sectors were made anew."""


def encode(buffers: Iterable[bytes | memoryview], about: Description) -> bytes:
    """The parity part of a block. buffers: in order all of the block before it, `about.data_bytes` in all."""
    shape = geometry(about.data_bytes, about.percent)
    code, sums = _sums_of(_rows(buffers, shape), shape)
    parity = [row[shape.turn_bytes :] + row[: shape.turn_bytes] for row in code.parity()]
    for row in parity:
        sums += _sector_sums(row, shape)
    table = pack_table(about, sums)
    return b"".join((table, bytes(shape.first_parity - len(table)), *parity, table))


def make_end(about: Description, part: bytes) -> bytes:
    """The first 64 bytes of the trailer of a block with a parity part."""
    directory_bytes = about.data_bytes - about.directory_offset
    return pack_trailer(about.directory_offset, directory_bytes, about.frame_count, about.data_bytes, len(part))


def repair(data: bytes) -> Repaired:
    """Make a damaged block whole. data: as it lies there, cut off or too long perhaps.

    Raises FormatError without readable parity; DamageError where more is lost than it can make up for. What it gives
    has the digest that the parity part says; whether that is the block which was written, its seals tell.
    """
    about = find_description(data, MAX_BLOCK_BYTES)
    if about is None:
        raise FormatError("it has no parity that can be read")
    shape = geometry(about.data_bytes, about.percent)
    if about.data_bytes + shape.part_bytes + TRAILER_BYTES > MAX_BLOCK_BYTES:
        raise FormatError("its parity announces more than a block may have")
    healed = bytearray(shape.rows * shape.groups * shape.sector_bytes)
    with memoryview(healed) as rows, rows[: about.data_bytes] as body:
        found = data[: about.data_bytes]
        body[: len(found)] = found
        part = data[about.data_bytes : about.data_bytes + shape.part_bytes].ljust(shape.part_bytes, b"\0")
        count = _heal(rows, part, shape)
        if digest_of([body]) != about.digest:
            raise DamageError("what its parity gives is not what was written")
        again = encode([body], about)
        end = make_end(about, again)
        return Repaired(b"".join((body, again, end, digest_of([body, again, end]))), count)


def _heal(rows: memoryview, part: bytes, shape: Geometry) -> int:
    """Put the lost data sectors back in; returns how many. rows: all of them, filled up with zeros."""
    known = read_sums(shape, part)
    size, groups = shape.sector_bytes, shape.groups
    lost: dict[int, list[int]] = defaultdict(list)
    count = 0
    with memoryview(bytearray(_parity_rows(part, shape))) as parity:
        for number in range(shape.all_sectors):
            is_data, group = number < shape.sectors, number % groups
            row = (number if is_data else number - shape.sectors) // groups
            at = size * (row * groups + group)
            sector = (rows if is_data else parity)[at : at + size]
            if sector_sum(sector) != known[number]:
                sector[:] = bytes(size)
                count += is_data
                lost[group].append(row if is_data else shape.rows + row)
        beyond = sum(len(positions) > shape.parities for positions in lost.values())
        if count and beyond:
            text = f"more of it is lost than its parity makes up for, in {beyond} of {groups} groups of sectors"
            raise DamageError(text)
        if count:
            _galois().fill(rows, parity, shape.parities, size, lost)
    return count


def _parity_rows(part: bytes, shape: Geometry) -> bytes:
    """The parity as the code has it, each row beginning with the first group."""
    width = shape.groups * shape.sector_bytes
    stored = (part[at : at + width] for at in range(shape.first_parity, shape.second_table, width))
    first = width - shape.turn_bytes
    return b"".join(row[first:] + row[:first] for row in stored)


def _sums_of(rows: Iterator[memoryview], shape: Geometry) -> tuple[galois.Sums, list[bytes]]:
    code: galois.Sums = _galois().Sums(shape.parities, shape.groups * shape.sector_bytes)
    sums: list[bytes] = []
    for row in rows:
        code.add(row)
        sums += _sector_sums(row, shape)
    del sums[shape.sectors :]
    return code, sums


def _sector_sums(row: bytes | memoryview, shape: Geometry) -> Iterator[bytes]:
    view = memoryview(row)
    return (sector_sum(view[at : at + shape.sector_bytes]) for at in range(0, len(view), shape.sector_bytes))


def _rows(buffers: Iterable[bytes | memoryview], shape: Geometry) -> Iterator[memoryview]:
    """Row by row what lies in buffers of any length, the last one filled up with zeros; each only until the next."""
    row = memoryview(bytearray(shape.groups * shape.sector_bytes))
    filled = 0
    for buffer in buffers:
        view = memoryview(buffer)
        at = 0
        while at < len(view):
            taken = min(len(view) - at, len(row) - filled)
            row[filled : filled + taken] = view[at : at + taken]
            at += taken
            filled += taken
            if filled == len(row):
                yield row
                filled = 0
    if filled:
        row[filled:] = bytes(len(row) - filled)
        yield row


def _galois() -> ModuleType:
    """Loaded when a block has parity: numpy takes longer to load than all else."""
    return importlib.import_module("backupd.block.galois")
