"""docs/format.md against golden bytes: if the page is wrong, nobody can rescue a backup without this program."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from backupd.block import layout
from backupd.index import layout as index_layout
from backupd.seal import header
from backupd.seal.cipher import EpochName
from tests.golden.by_the_book import (
    BLOCK,
    FRAME,
    FRAME_BYTES,
    HEADER,
    MAGIC,
    SEALED,
    TRAILER_BYTES,
    Block,
    Book,
    Trees,
    hkdf,
    nonce,
)
from tests.golden.make_golden import PASSWORD, SOURCE
from tests.golden.tables import FORMAT, rows, table

GOLDEN = Path(__file__).parent / "format-1"
KIND_NAMES = {
    "file": 1,
    "directory": 2,
    "symlink": 3,
    "fifo": 4,
    "character_device": 5,
    "block_device": 6,
    "socket": 7,
}


@pytest.fixture(scope="module")
def book() -> Book:
    return Book(GOLDEN / "place", (GOLDEN / "repository.key").read_text().strip())


@pytest.fixture(scope="module")
def blocks(book: Book) -> list[Block]:
    return [Block(book, name) for name in book.names("blocks")]


@pytest.fixture(scope="module")
def chunks(blocks: list[Block]) -> dict[bytes, bytes]:
    return {name: data for block in blocks for at, frame in block.frames() for name, data in block.chunks(at, frame)}


def test_the_header_table_is_what_the_program_writes() -> None:
    made = header.make_header(header.ObjectKind.NOTE)
    assert HEADER.size == len(made) == header.HEADER_BYTES
    assert HEADER.field("magic").name == "magic `89 42 4b 44`"
    assert HEADER.cut(made, "magic") == MAGIC
    assert HEADER.number(made, "kind") == 12


def test_the_kinds_of_the_page_are_the_programs() -> None:
    text = " ".join(FORMAT.read_text().split())
    for kind in header.ObjectKind:
        assert f"{int(kind)} {kind.name.lower().replace('_', ' ')}" in text


def test_the_block_tables_are_what_the_program_packs() -> None:
    epoch = EpochName(0x01020304, b"epoch-rn")
    packed = layout.pack_header(layout.BlockHeader(b"r" * 16, b"b" * 32, epoch, layout.TREE))
    assert BLOCK.size == len(packed) == layout.BLOCK_HEADER_BYTES
    assert BLOCK.cut(packed, "repository id") == b"r" * 16
    assert BLOCK.cut(packed, "block id") == b"b" * 32
    assert BLOCK.cut(packed, "epoch") == b"\4\3\2\1epoch-rn"
    assert [BLOCK.number(packed, name) for name in ("key wrap", "content", "zero")] == [0, 2, 0]
    frame = layout.pack_frame(layout.FrameHeader(b"s" * 32, 7, 8, 9, epoch, 10, 1))
    assert FRAME.size == len(frame) == layout.FRAME_PLAIN_BYTES
    assert FRAME.cut(frame, "salt") == b"s" * 32
    assert FRAME.cut(frame, "epoch") == b"\4\3\2\1epoch-rn"
    numbers = {"counter": 7, "stored bytes": 8, "plain bytes": 9, "chunks": 10, "compression": 1}
    assert {name: FRAME.number(frame, name) for name in numbers} == numbers
    assert [FRAME.number(frame, name) for name in ("key wrap", "zero")] == [0, 0]
    assert (FRAME_BYTES, TRAILER_BYTES) == (layout.FRAME_HEADER_BYTES, layout.TRAILER_BYTES)


def test_the_index_table_is_how_the_program_lays_it_out() -> None:
    lengths = [cells[0] for cells in rows("Index objects")]
    assert lengths == ["16", "12", "32", "…", "16"]
    assert sum(map(int, lengths[:3])) == index_layout.HEAD_BYTES == SEALED.field("one sealed part").offset
    assert int(lengths[-1]) == index_layout.FOOTER_BYTES
    text = " ".join(FORMAT.read_text().split())
    assert f"{index_layout.PAGE_ENTRIES:,} entries of {index_layout.ENTRY_BYTES} bytes" in text
    assert f"{index_layout.PAGE_SEGMENTS:,} records of {index_layout.SEGMENT_BYTES} bytes" in text
    assert f"at most {index_layout.MAX_ENTRIES:,} entries" in text


def test_a_table_with_a_gap_or_an_overlap_would_be_noticed() -> None:
    assert table("Sealed objects").fields[-1].length is None
    assert [cells[0] for cells in rows("Blocks", 2)][:4] == ["2", "2", "4 n", "34 r"]


@pytest.mark.parametrize("secret", ["repository.key", "password.txt"])
def test_each_secret_opens_the_newest_epoch_by_the_page_alone(secret: str) -> None:
    opened = Book(GOLDEN / "place", (GOLDEN / secret).read_text().strip())
    assert opened.keyring_name.startswith("2-")
    assert [struct.unpack("<I8s", epoch)[0] for epoch in opened.epochs] == [1, 2]
    assert opened.configuration == ["aes-256-gcm", 32 << 20]
    assert (GOLDEN / "password.txt").read_text().strip() == PASSWORD


def test_a_key_from_before_the_rotation_opens_what_was_written_before() -> None:
    opened = Book(GOLDEN / "place", (GOLDEN / "old.key").read_text().strip())
    assert opened.keyring_name.startswith("1-")
    assert len(opened.snapshots()) == 2


def test_every_block_is_walked_hashed_and_repeated_by_its_directory(blocks: list[Block]) -> None:
    assert {block.content for block in blocks} == {1, 2}
    assert len({block.epoch for block in blocks}) == 2
    for block in blocks:
        expected = struct.pack("<I", block.frame_count)
        for at, frame in block.frames():
            expected += frame + b"".join(name for name, _ in block.chunks(at, frame))
        assert block.directory() == expected


def test_every_index_object_says_what_the_blocks_say(book: Book, blocks: list[Block]) -> None:
    places = {
        (name, block.id, at)
        for block in blocks
        for at, frame in block.frames()
        for name, _ in block.chunks(at, frame)
    }
    assert {place for name in book.names("index") for place in _read_index(book, name)} == places


def _read_index(book: Book, name: str) -> set[tuple[bytes, bytes, int]]:
    """(chunk id, block id, offset of the frame header) of each entry of an index object."""
    data = book.read(name)
    epoch = data[16:28]
    aead = AESGCM(hkdf(book.epochs[epoch][1], data[28:60], "backupd index"))
    tail_offset, tail_bytes, magic = struct.unpack("<QI4s", data[-16:])
    assert magic == b"BKDX"
    assert tail_offset + tail_bytes + 16 == len(data)
    plain = aead.decrypt(nonce(1, 0), data[tail_offset:-16], book.associated(name, epoch, 0, 1))
    entry_count, segment_count, fences, blocks, replaces, generation = msgspec.msgpack.decode(plain)
    assert (replaces, generation) == ([], 0)
    at, part, tables = 60, 0, []
    for count, size, most in ((entry_count, 38, 1700), (segment_count, 16, 4096)):
        found = b""
        for first in range(0, count, most):
            end = at + min(count - first, most) * size + 16
            found += aead.decrypt(nonce(0, part), data[at:end], book.associated(name, epoch, part, 0))
            at, part = end, part + 1
        tables.append(found)
    assert at == tail_offset
    assert fences == b"".join(tables[0][38 * row : 38 * row + 8] for row in range(0, entry_count, 1700))
    entries = list(struct.iter_unpack("<32sIH", tables[0]))
    assert [entry[0] for entry in entries] == sorted({entry[0] for entry in entries})
    segments = list(struct.iter_unpack("<IIII", tables[1]))
    return {(chunk, blocks[segments[number][0]][0], segments[number][1]) for chunk, number, _ in entries}


def test_every_snapshot_comes_back_by_the_page_alone(book: Book, chunks: dict[bytes, bytes]) -> None:
    expected: dict[str, Any] = json.loads((GOLDEN / "expected.json").read_text())["snapshots"]
    trees = Trees(chunks)
    snapshots = {f"s{fields[0].hex()}": fields for fields in book.snapshots().values()}
    assert set(snapshots) == set(expected)
    for name, fields in snapshots.items():
        top = bytes(SOURCE) + (b"" if expected[name]["note"] in ("first", "second", "third") else b"/scopes")
        found = {path[len(top) + 1 :]: entry for path, entry in trees.walk(fields[8]) if path.startswith(top + b"/")}
        many = [path for path in found if path.startswith(b"many/")]
        assert len(many) == (2100 if top == bytes(SOURCE) else 0)
        wanted = {entry["path"].encode("utf-8", "surrogateescape"): entry for entry in expected[name]["entries"]}
        assert set(found) - set(many) == set(wanted)
        for path, entry in wanted.items():
            _compare(trees, found[path], entry)
        linked = {path: found[path][8][0] for path, entry in wanted.items() if "linked_with" in entry}
        for path, group in linked.items():
            first = wanted[path]["linked_with"].encode()
            assert group == linked[first]
            assert len(group) == 16


def _compare(trees: Trees, entry: list[Any], wanted: dict[str, Any]) -> None:
    found = [*entry, *[None] * (9 - len(entry))]
    numbers = [KIND_NAMES[wanted["kind"]], *(wanted[name] for name in ("mode", "uid", "gid", "mtime_ns"))]
    assert found[1:6] == numbers, wanted["path"]
    assert trees.xattrs(found) == wanted.get("xattrs", {}), wanted["path"]
    if wanted["kind"] == "file":
        assert found[6] == wanted["size"]
        assert trees.file_sha256(found) == wanted["sha256"], wanted["path"]
    elif wanted["kind"] == "symlink":
        assert found[7] == wanted["target"].encode("utf-8", "surrogateescape")
    elif wanted["kind"] == "character_device":
        assert found[7] == [2, *wanted["device"]]


def test_snapshots_carry_what_the_page_lists(book: Book) -> None:
    text = FORMAT.read_text().split("Snapshot: msgpack `[")[1].split("]`")[0]
    names = [name.strip() for name in text.replace("\n", " ").split(",")]
    for name, fields in book.snapshots().items():
        known = dict(zip(names, fields, strict=False))
        assert len(fields) <= len(names)
        assert (known["host_name"], known["is_complete"]) == ("golden", True)
        assert known["id"].hex() == name.rsplit("-", maxsplit=1)[1]
        assert f"b{known['set_id'].hex()}" == name.split("/")[1]
        assert known["sources"][0].startswith(bytes(SOURCE))
