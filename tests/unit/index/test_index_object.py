"""If these fail, stored chunks can't be found again, or a damaged or forged index is believed."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backupd.errors import DamageError, FormatError, NewerVersionError, SealError
from backupd.index import layout
from backupd.index.layout import BlockContents, BlockRow, Frame, IndexContents, Shape, Tail
from backupd.index.parts import Parts
from backupd.index.reader import IndexReader, decode_all, footer_range, tail_range
from backupd.index.writer import encode_index, seal_index, split_blocks, tabulate
from backupd.seal.cipher import EpochName
from tests.support.drawn import drawn
from tests.support.indexes import ids_of, make_block, make_ids, make_seal, split_ids

SALT = bytes(range(32, 64))
SEAL = make_seal()
GOLDEN = Path(__file__).parents[2] / "golden" / "index-1.hex"
SMALL = [make_block(1, [3, 2], 0), make_block(2, [1], 5, content=2)]
LARGE = [make_block(1, [900, 900], 0), make_block(2, [1] * 4200, 1800), make_block(3, [5], 6000, content=2)]
LARGE_OBJECT = encode_index(SEAL, LARGE, ["a" * 32], 7, SALT)
SMALL_OBJECT = encode_index(SEAL, SMALL, [], 0, SALT)


def open_reader(data: bytes) -> IndexReader:
    footer = footer_range(len(data), SEAL.name)
    tail = tail_range(len(data), SEAL.name, data[footer.offset :])
    sealed = data[tail.offset : tail.offset + tail.length]
    return IndexReader(SEAL, data[: layout.HEAD_BYTES], tail.offset, sealed)


def look_up(reader: IndexReader, data: bytes, chunk_id: bytes) -> tuple[bytes, int, int, int, int] | None:
    for page in reader.pages_of(chunk_id):
        offset, length = reader.entry_page_range(page)
        found = reader.find_in_page(page, data[offset : offset + length], chunk_id)
        if found is not None:
            offset, length = reader.segment_page_range(found[0])
            place = reader.locate(*found, data[offset : offset + length])
            return place.block.block_id, place.offset, place.stored_bytes, place.plain_bytes, place.position
    return None


def places_of(blocks: list[BlockContents]) -> dict[bytes, tuple[bytes, int, int, int, int]]:
    return {
        chunk_id: (block.block_id, frame.offset, frame.stored_bytes, frame.plain_bytes, position)
        for block in blocks
        for frame in block.frames
        for position, chunk_id in enumerate(split_ids(frame.ids))
    }


def test_golden_bytes() -> None:
    """An index object written by an older program of this format version stays readable, byte for byte."""
    assert bytes.fromhex(GOLDEN.read_text()) == encode_index(SEAL, SMALL, ["f" * 32], 3, SALT)


@pytest.mark.parametrize("cipher", ["aes-256-gcm", "aes-128-gcm", "chacha20-poly1305"])
def test_what_is_written_is_read(cipher: str) -> None:
    seal = make_seal(cipher=cipher)
    contents = decode_all(seal, encode_index(seal, LARGE, ["a" * 32], 7))
    assert contents == tabulate(LARGE, ["a" * 32], 7)
    assert contents.entry_count == 6005
    assert contents.segment_count == 4203
    assert [row.content for row in contents.blocks] == [1, 1, 2]
    assert (contents.replaces, contents.generation) == (["a" * 32], 7)


def test_every_chunk_is_found_by_ranges() -> None:
    reader = open_reader(LARGE_OBJECT)
    assert (reader.shape.entry_pages, reader.shape.segment_pages) == (4, 2)
    expected = places_of(LARGE)
    for chunk_id in split_ids(ids_of(LARGE)):
        assert look_up(reader, LARGE_OBJECT, chunk_id) == expected[chunk_id]
    for chunk_id in [*split_ids(make_ids(7000, 300)), bytes(32), b"\xff" * 32]:
        assert look_up(reader, LARGE_OBJECT, chunk_id) is None


def test_ids_that_share_a_fence_are_found() -> None:
    """Ids with equal first bytes round a page border must not hide each other."""
    ids = [b"same 8 b" + number.to_bytes(24, "big") for number in range(4000)]
    blocks = [BlockContents(b"b" * 32, 1000, 1, [Frame(80, 500, 900, b"".join(ids))])]
    data = encode_index(SEAL, blocks, [], 0)
    reader = open_reader(data)
    assert all(look_up(reader, data, chunk_id) is not None for chunk_id in ids)


def test_an_empty_index_is_whole() -> None:
    data = encode_index(SEAL, [], ["b" * 32], 1)
    assert decode_all(SEAL, data) == IndexContents(b"", b"", [], ["b" * 32], 1)
    assert open_reader(data).pages_of(bytes(32)) == []


def test_of_two_places_in_one_object_the_first_stays() -> None:
    first, second = make_block(1, [3], 0), make_block(2, [3], 0)
    contents = tabulate([first, second], [], 0)
    assert contents.entry_count == 3
    assert layout.ENTRY.unpack_from(contents.entries)[1] == 0


def test_salts_are_drawn_anew() -> None:
    assert encode_index(SEAL, SMALL, [], 0) != encode_index(SEAL, SMALL, [], 0)


@pytest.mark.parametrize(
    "block",
    [
        BlockContents(b"short", 1000, 1, []),
        BlockContents(b"b" * 32, 0, 1, []),
        BlockContents(b"b" * 32, layout.MAX_BLOCK_BYTES + 1, 1, []),
        BlockContents(b"b" * 32, 1000, 3, []),
        BlockContents(b"b" * 32, 1000, 1, [Frame(900, 200, 1, b"")]),
        BlockContents(b"b" * 32, 1000, 1, [Frame(80, 200, layout.MAX_PLAIN_BYTES + 1, b"")]),
        BlockContents(b"b" * 32, 1000, 1, [Frame(80, 200, 1, b"odd")]),
        BlockContents(b"b" * 32, 1000, 1, [Frame(80, 200, 1, bytes(32 << 16))]),
    ],
)
def test_impossible_blocks_are_not_written(block: BlockContents) -> None:
    with pytest.raises(FormatError):
        encode_index(SEAL, [block], [], 0)


def test_an_object_over_a_limit_is_not_written() -> None:
    rows = [BlockRow(b"b" * 32, 1000, 1)]
    many = bytes(layout.ENTRY_BYTES * (layout.MAX_ENTRIES + 1))
    with pytest.raises(FormatError, match="over the limit"):
        seal_index(SEAL, IndexContents(many, b"", rows, [], 0))
    with pytest.raises(FormatError, match="over the limit"):
        seal_index(SEAL, IndexContents(b"", bytes(layout.MAX_OBJECT_BYTES), rows, [], 0))


def test_many_chunks_are_split_over_objects() -> None:
    """The frames of a block too rich for one object go to several, none twice and none lost."""
    ids = bytes(32 * 60_000)
    rich = BlockContents(b"r" * 32, 90 << 20, 1, [Frame(80 + n * 1000, 500, 900, ids) for n in range(30)])
    poor = BlockContents(b"p" * 32, 1000, 2, [Frame(80, 100, 100, bytes(32))])
    empty = BlockContents(b"e" * 32, 1000, 2, [])
    groups = split_blocks([poor, rich, empty])
    assert [[block.block_id[:1] for block in group] for group in groups] == [[b"p", b"r"], [b"r", b"e"]]
    assert [frame for group in groups for block in group for frame in block.frames] == poor.frames + rich.frames
    for group in groups:
        count = sum(len(frame.ids) // 32 for block in group for frame in block.frames)
        assert count <= layout.MAX_ENTRIES
    assert split_blocks([]) == []
    assert split_blocks([empty]) == [[empty]]


def test_chunks_that_are_segments_of_their_own_count_by_their_bytes() -> None:
    """A million segments of one chunk fill an object before its entries do."""
    assert layout.fits(layout.MAX_ENTRIES, 30_000, 2000)
    assert not layout.fits(layout.MAX_ENTRIES, layout.MAX_ENTRIES, 2000)
    assert not layout.fits(layout.MAX_ENTRIES + 1, 1, 1)


def test_only_the_right_name_key_and_epoch_open_it() -> None:
    for seal in (
        make_seal("index/" + "1" * 32),
        msgspec.structs.replace(SEAL, key=bytes(32)),
        msgspec.structs.replace(SEAL, cipher="chacha20-poly1305"),
    ):
        with pytest.raises(SealError):
            decode_all(seal, SMALL_OBJECT)
    other = msgspec.structs.replace(SEAL.binding, epoch=EpochName(2, b"epoch 02"))
    with pytest.raises(FormatError, match="another epoch"):
        decode_all(msgspec.structs.replace(SEAL, binding=other), SMALL_OBJECT)


def test_a_newer_version_is_said_so() -> None:
    newer = SMALL_OBJECT[:5] + b"\x02" + SMALL_OBJECT[6:]
    with pytest.raises(NewerVersionError):
        decode_all(SEAL, newer)


@settings(max_examples=drawn(150, by_night=500), deadline=None)
@given(data=st.data())
def test_damaged_objects_fail_by_name(data: st.DataObject) -> None:
    """Whatever happened to the bytes, reading ends with an error people understand, or gives what was written."""
    mutated = bytearray(LARGE_OBJECT if data.draw(st.booleans()) else SMALL_OBJECT)
    for _ in range(data.draw(st.integers(1, 3))):
        ends = st.integers(0, 63) | st.integers(max(0, len(mutated) - 80), len(mutated))
        at = data.draw(ends | st.integers(0, len(mutated)))
        mutated[at : at + data.draw(st.integers(0, 8))] = data.draw(st.binary(max_size=8))
    try:
        contents = decode_all(SEAL, bytes(mutated))
    except (DamageError, NewerVersionError):
        return
    assert contents in (tabulate(LARGE, ["a" * 32], 7), tabulate(SMALL, [], 0))


@settings(max_examples=drawn(150, by_night=500), deadline=None)
@given(data=st.data())
def test_malformed_tails_fail_by_name_even_when_sealed_rightly(data: st.DataObject) -> None:
    """A faulty writer's tail is an error too, not a crash."""
    footer = footer_range(len(SMALL_OBJECT), SEAL.name)
    place = tail_range(len(SMALL_OBJECT), SEAL.name, SMALL_OBJECT[footer.offset :])
    parts = Parts(SEAL, SALT)
    plain = bytearray(parts.open_tail(SMALL_OBJECT[place.offset : place.offset + place.length]))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(plain)))
        plain[at : at + data.draw(st.integers(0, 4))] = data.draw(st.binary(max_size=6))
    sealed = parts.seal_tail(bytes(plain))
    forged = SMALL_OBJECT[: place.offset] + sealed + layout.pack_footer(place.offset, len(sealed))
    try:
        decode_all(SEAL, forged)
    except FormatError:
        return
    tail = msgspec.msgpack.decode(plain, type=Tail)
    assert (tail.entries, tail.segments) == (6, 3)


def forge(entries: list[tuple[bytes, int, int]], segments: list[tuple[int, int, int, int]]) -> bytes:
    contents = IndexContents(
        b"".join([layout.ENTRY.pack(*entry) for entry in entries]),
        b"".join([layout.SEGMENT.pack(*segment) for segment in segments]),
        [BlockRow(b"b" * 32, 1000, 1)],
        [],
        0,
    )
    return seal_index(SEAL, contents)


GOOD = (0, 80, 500, 900)


@pytest.mark.parametrize(
    ("entries", "segments"),
    [
        ([(b"b" * 32, 0, 0), (b"a" * 32, 0, 1)], [GOOD]),
        ([(b"a" * 32, 0, 0), (b"a" * 32, 0, 1)], [GOOD]),
        ([(b"a" * 32, 1, 0)], [GOOD]),
        ([(b"a" * 32, 0, 0)], [(1, 80, 500, 900)]),
        ([(b"a" * 32, 0, 0)], [(0, 80, 921, 900)]),
        ([(b"a" * 32, 0, 0)], [(0, 80, 500, layout.MAX_PLAIN_BYTES + 1)]),
    ],
)
def test_tables_that_contradict_themselves_are_refused(
    entries: list[tuple[bytes, int, int]], segments: list[tuple[int, int, int, int]]
) -> None:
    with pytest.raises(FormatError):
        decode_all(SEAL, forge(entries, segments))
    assert decode_all(SEAL, forge([(b"a" * 32, 0, 0)], [GOOD])).entry_count == 1


def test_ranges_of_the_wrong_length_are_refused() -> None:
    reader = open_reader(SMALL_OBJECT)
    with pytest.raises(FormatError):
        reader.find_in_page(0, b"", bytes(32))
    with pytest.raises(FormatError):
        footer_range(layout.MAX_OBJECT_BYTES + 1, SEAL.name)
    with pytest.raises(FormatError):
        footer_range(10, SEAL.name)


def test_parts_fill_the_object_without_gaps() -> None:
    shape = Shape(3401, 4097)
    ranges = [shape.entry_page(n) for n in range(3)] + [shape.segment_page(n) for n in range(2)]
    ends = [layout.HEAD_BYTES] + [offset + length for offset, length in ranges]
    assert [offset for offset, _ in ranges] + [shape.tail_offset] == ends
