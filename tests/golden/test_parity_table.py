"""The parity part by docs/format.md alone, in plain Python, held against what the program writes and golden bytes.

What this version can't heal by them, the blocks that its users stored can't be healed with either.
"""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from blake3 import blake3

from backupd.block.layout import HAS_PARITY, BlockHeader, pack_header
from backupd.block.parity import encode, repair
from backupd.block.parity_layout import Description
from backupd.seal import keyring
from backupd.seal.cipher import EpochName
from backupd.seal.keyring import Configuration
from tests.golden.by_the_book import HEADER
from tests.golden.tables import table

GOLDEN = Path(__file__).parent / "parity-1.hex"
PAGE = table("Parity")
_GOLDEN_DIGESTS = {
    (30_000, 5): "6c3492e5d9d0dcd6816620e4b5ace48837c82f4a8d410f6c7238aa9de6d50478",
    (300_000, 1): "5334536647e745f72420d97d4d9f990fea6dfe3f478b8d5af6db8239d34f74f5",
    (500_001, 20): "5160c21bec8735e43c89b3087fea6835f2c306710cd4eb8abb01a1c48ea9b550",
}
"""(bytes, percent) -> BLAKE3 of the parity part, of the bytes below."""


def data_of(length: int) -> bytes:
    """Bytes that every reader of this page can make: the extended output of BLAKE3 of nothing."""
    return blake3(b"").digest(length)


def part_of(length: int, percent: int) -> bytes:
    """What the program writes for them."""
    data = data_of(length)
    return encode([data], Description(percent, 7, length, length - 5, blake3(data).digest()))


def power(exponent: int) -> int:
    """2 to that in GF(256), by doubling."""
    value = 1
    for _ in range(exponent % 255):
        value = value << 1 if value < 128 else (value << 1) ^ 0x11D
    return value


def times(first: int, second: int) -> int:
    """A product in GF(256), bit by bit."""
    found = 0
    for bit in range(8):
        if second >> bit & 1:
            found ^= first
        first = first << 1 if first < 128 else (first << 1) ^ 0x11D
    return found


@pytest.mark.parametrize(("length", "percent"), [(50, 5), (5000, 5), (50_000, 5), (300_000, 1), (500_001, 20)])
def test_the_parity_part_is_what_the_page_says(length: int, percent: int) -> None:
    data, part = data_of(length), part_of(length, percent)
    size = min(4096, length)
    count = -(-length // size)
    wanted = max(-(-count * percent // 100), 2 if count >= 10 else 1)
    parities = min(4, 2 * percent, wanted)
    groups = -(-wanted // parities)
    rows = -(-count // groups)
    sums, at = _table(part, length, percent, count + parities * groups)
    if size == 4096:
        zeros = -(length + at) % 4096
        assert part[at : at + zeros] == bytes(zeros)
        at += zeros
    sectors = [data[size * i : size * (i + 1)].ljust(size, b"\0") for i in range(count)]
    sectors += [part[at + size * j : at + size * (j + 1)] for j in range(parities * groups)]
    assert part[at + size * parities * groups :] == part[: len(part) - at - size * parities * groups]
    assert sums == [blake3(sector).digest(8) for sector in sectors]
    zero = bytes(size)
    for group in range(groups):
        column = [sectors[i] for i in range(group, count, groups)]
        column += [zero] * (rows - len(column))
        column += [sectors[count + j] for j in range(parities * groups) if (count + j) % groups == group]
        assert len(column) == rows + parities
        first = -((parities - 1) // 2)
        for exponent in range(first, first + parities):
            for place in (0, size // 2, size - 1):
                rest = 0
                for i, sector in enumerate(column):
                    rest ^= times(sector[place], power(exponent * (rows + parities - 1 - i)))
                assert rest == 0, (group, exponent, place)


def _table(part: bytes, length: int, percent: int, count: int) -> tuple[list[bytes], int]:
    """All checksums, and where the table ends."""
    found: list[bytes] = []
    at = number = 0
    while len(found) < count:
        taken = min(502, count - len(found))
        page = part[at : at + PAGE.size + 8 * taken]
        assert PAGE.cut(page, "magic") == b"\x89BKDPAR\n"
        assert PAGE.field("magic").name == "magic `89 42 4b 44 50 41 52 0a`"
        numbers = {"number": number, "q": percent, "zero": 0, "frames": 7, "D": length, "directory offset": length - 5}
        assert {name: PAGE.number(page, name) for name in numbers} == numbers
        assert PAGE.cut(page, "BLAKE3") == blake3(data_of(length)).digest()
        assert part[at + len(page) : at + len(page) + 16] == blake3(page).digest(16)
        found += [page[start : start + 8] for start in range(PAGE.size, len(page), 8)]
        at, number = at + len(page) + 16, number + 1
    return found, at


def test_golden_bytes() -> None:
    """Stored blocks are healed by what stood in the parity part when they were written."""
    assert part_of(40, 5).hex() == GOLDEN.read_text().strip()
    digests = {case: blake3(part_of(*case)).hexdigest() for case in _GOLDEN_DIGESTS}
    assert digests == _GOLDEN_DIGESTS


def test_a_golden_block_is_healed() -> None:
    data, part = data_of(40), bytes.fromhex(GOLDEN.read_text())
    found = repair(bytes(40) + part)
    assert found.data.startswith(data + part)
    assert struct.unpack_from("<8sQQQQI", found.data, 40 + len(part)) == (b"BKDTRAIL", 35, 5, 40, len(part), 7)


def test_the_header_tells_of_parity_and_keyrings_name_it_only_where_there_is_some() -> None:
    """A reader of before parity reads blocks and keyrings alike: what it does not know it passes over."""
    about = BlockHeader(b"r" * 16, b"b" * 32, EpochName(1, b"epoch-rn"), 1)
    assert [HEADER.number(pack_header(about, has), "optional") for has in (False, True)] == [0, HAS_PARITY]
    for parity, length in ((0, 2), (5, 3)):
        made = keyring.new_keyring(b"r" * 16, b"k" * 32, Configuration("aes-256-gcm", 32 << 20, parity))
        sealed = keyring.seal_keyring(b"r" * 16, b"k" * 32, made)
        assert keyring.open_keyring(b"r" * 16, b"k" * 32, made.current.name, sealed) == made
        assert len(keyring.fields_of(made)[5]) == length
