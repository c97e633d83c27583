"""Rows of the table: headers, seals, keys, blocks, segments and index objects, as one object's bytes."""

from __future__ import annotations

import itertools
from array import array
from pathlib import Path

import msgspec

from backupd.block import layout
from backupd.block.assembler import BlockAssembler, FinishedBlock
from backupd.block.layout import BlockHeader, BlockSeal, FrameHeader
from backupd.block.parity import repair
from backupd.block.parity_layout import find_description, geometry, read_sums
from backupd.block.segment import Segment, pack
from backupd.chunk.identity import ZERO_SALT, Identity
from backupd.index.layout import ENTRY, HEAD_BYTES, SEGMENT, BlockContents, BlockRow, Frame, Tail, read_footer
from backupd.index.merge import Doubts, merge
from backupd.index.parts import IndexSeal, Parts
from backupd.index.reader import IndexReader, decode_all, tail_range
from backupd.index.writer import encode_index
from backupd.repository import block_facts
from backupd.seal import envelope, keyring, slot
from backupd.seal.cipher import derive, make_nonce, new_aead, unpack_epoch
from backupd.seal.compression import NONE, ZSTD, Compressor, Decompressor
from backupd.seal.header import ObjectKind, make_header, optional_bits
from backupd.seal.segment_seal import SegmentOpener, SegmentSealer
from backupd.seal.slot import Argon2, SlotMaker
from tests.hostile.decoder import CIPHER, EPOCH, KEYRING, KEYRING_KEY, KEYS, REPOSITORY_ID, Decoder, binding

CHUNKS = [b"first chunk", b"second chunk " * 40, b""]
ID_OF = Identity(KEYRING.chunk_id_key).chunk_id
IDS = b"".join(ID_OF(chunk) for chunk in CHUNKS)
PLAIN_SEGMENT = pack(CHUNKS, [ZERO_SALT] * 3)
SALTED_SEGMENT = pack([b"a", b"b", b"c"], [b"1" * 32, b"1" * 32, ZERO_SALT])
_SALT = bytes([7]) * 32
_NAME = "index/" + "ab" * 16
_SEAL = IndexSeal(binding(ObjectKind.INDEX, _NAME), KEYS.index_key, CIPHER)
_FACTS = {bytes(32): block_facts.BlockFacts(5000, 900, [block_facts.Sealing("1-aa", 2, True)])}


def finished_block(plains: list[bytes], content: int = layout.DATA, percent: int = 0) -> FinishedBlock:
    """A block of segments with these plain bytes, whether or not they are a segment's. percent: of parity."""
    sealer = SegmentSealer(REPOSITORY_ID, EPOCH, KEYS.data_key, CIPHER)
    block = BlockAssembler(REPOSITORY_ID, EPOCH, KEYS.data_key, CIPHER, content, percent)
    for plain in plains:
        compression, body = Compressor("fast").compress(plain)
        sealed = sealer.seal(body)
        frame = FrameHeader(sealer.salt, sealer.counter, len(sealed), len(plain), EPOCH, 3, compression)
        block.add(frame, IDS, sealed)
    finished = block.finish()
    finished.complete()
    return finished


def bytes_of(block: FinishedBlock) -> bytes:
    """All of a block."""
    return b"".join(block.buffers)


BLOCK = finished_block([PLAIN_SEGMENT, SALTED_SEGMENT])
BLOCK_BYTES = bytes_of(BLOCK)
_BLOCK_SEAL = BlockSeal(BlockHeader(REPOSITORY_ID, BLOCK.block_id, EPOCH, layout.DATA), KEYS.data_key, CIPHER)
_FRAME = layout.pack_frame(FrameHeader(_SALT, 0, 60, 900, EPOCH, 3, ZSTD))
_DIRECTORY = (1).to_bytes(4, "little") + _FRAME + IDS
_TRAILER = BLOCK_BYTES[-layout.TRAILER_BYTES :]
_PARITY_BLOCK = bytes_of(finished_block([PLAIN_SEGMENT, SALTED_SEGMENT], percent=5))
_ABOUT = find_description(_PARITY_BLOCK, layout.MAX_BLOCK_BYTES)
assert _ABOUT is not None
_SHAPE = geometry(_ABOUT.data_bytes, _ABOUT.percent)
_PARITY_PART = _PARITY_BLOCK[_SHAPE.data_bytes : -layout.TRAILER_BYTES]
_INDEX = encode_index(
    _SEAL,
    [BlockContents(BLOCK.block_id, BLOCK.size_bytes, 1, [Frame(s.offset, s.stored_bytes, s.plain_bytes, s.ids)
                                                         for s in BLOCK.segments])],
    ["cd" * 16],
    3,
    _SALT,
)  # fmt: skip


def _heal(data: bytes, _: Path) -> object:
    return repair(data)


def _read_sums(data: bytes, _: Path) -> object:
    return read_sums(_SHAPE, data), find_description(_PARITY_BLOCK[: _SHAPE.data_bytes] + data, layout.MAX_BLOCK_BYTES)


def _facts(data: bytes, path: Path) -> object:
    (path / "facts").write_bytes(data)
    found = block_facts.load(str(path / "facts"))
    return [block_facts.Wanted(EPOCH, "best", 20).lacks(one) for one in found.values()] or None


def sealed_directory(plain: bytes, count: int) -> bytes:
    """A directory of any plain bytes under a valid seal."""
    aead = new_aead(CIPHER, derive(KEYS.data_key, BLOCK.block_id, "backupd block"))
    bound = binding(ObjectKind.BLOCK, layout.block_name(BLOCK.block_id))
    return aead.encrypt(make_nonce(2, 0), plain, bound.associated(count, True))


def sealed_frame(plain: bytes, at: int = layout.BLOCK_HEADER_BYTES) -> bytes:
    """A frame header of any plain bytes under a valid seal."""
    return _BLOCK_SEAL.seal_frame(at, plain)


def sealed_index(tail: bytes, *pages: bytes) -> bytes:
    """An index object of any tail and any pages under valid seals."""
    parts = Parts(_SEAL, _SALT)
    head = make_header(ObjectKind.INDEX) + EPOCH.pack() + _SALT
    body = head + b"".join(parts.seal_page(part, page) for part, page in enumerate(pages))
    end = parts.seal_tail(tail)
    return body + end + len(body).to_bytes(8, "little") + len(end).to_bytes(4, "little") + b"BKDX"


def read_index(data: bytes, _: Path) -> object:
    """By ranges, as for one chunk, then whole, and merged with itself as if all of it were in doubt."""
    place = tail_range(len(data), _NAME, data[-16:])
    tail = data[place.offset : place.offset + place.length]
    reader = IndexReader(_SEAL, data[:HEAD_BYTES], place.offset, tail)
    for page in reader.pages_of(IDS[:32]):
        where = reader.entry_page_range(page)
        hit = reader.find_in_page(page, data[where.offset : where.offset + where.length], IDS[:32])
        if hit is not None:
            where = reader.segment_page_range(hit[0])
            reader.locate(*hit, data[where.offset : where.offset + where.length])
    contents = decode_all(_SEAL, data)
    doubts = Doubts(absent_blocks={row.block_id for row in contents.blocks}, absent_places={bytes(64)})
    return merge([contents, contents], [_NAME], doubts)


def _open_keyring(plain: bytes, _: Path) -> object:
    bound = binding(ObjectKind.KEYRING, f"keyring/{EPOCH.text}")
    sealed = envelope.seal_object(ObjectKind.KEYRING, KEYRING_KEY, CIPHER, bound, plain)
    found = keyring.open_keyring(REPOSITORY_ID, KEYRING_KEY, EPOCH, sealed)
    # What opens may be used: every epoch's name stands in headers.
    for keys in found.epochs:
        BlockSeal(BlockHeader(REPOSITORY_ID, bytes(32), keys.name, 1), keys.data_key, CIPHER).seal_frame(80, _FRAME)
    return new_aead(found.configuration.cipher, KEYRING_KEY), array("I", [found.chunker_seed])


def _open_envelope(data: bytes, _: Path) -> object:
    bound = binding(ObjectKind.SNAPSHOT, "snapshots/x")
    return envelope.open_object(ObjectKind.SNAPSHOT, KEYS.snapshot_key, CIPHER, bound, data)


def _open_inside(plain: bytes, _: Path) -> object:
    """A valid seal over a hostile inside: compression, length and body are all as somebody with a key wrote them."""
    bound = binding(ObjectKind.SNAPSHOT, "snapshots/x")
    aead = new_aead(CIPHER, derive(KEYS.snapshot_key, _SALT, "backupd snapshot"))
    sealed = aead.encrypt(make_nonce(0, 0), plain, bound.associated(0, True))
    return _open_envelope(make_header(ObjectKind.SNAPSHOT) + EPOCH.pack() + _SALT + sealed, Path())


def _open_slot(data: bytes, _: Path) -> object:
    found = slot.read_slot("k1", data)
    # A password's slot would cost a second each.
    return slot.open_slot(REPOSITORY_ID, "k1", found, _SALT) if found.kdf is None else found


def _open_segment(data: bytes, _: Path) -> object:
    opener = SegmentOpener(REPOSITORY_ID, CIPHER, lambda _: KEYS.data_key)
    return opener.open(EPOCH, _SEALER.salt, 0, data)


def _decompress(data: bytes, _: Path) -> object:
    """The first bytes are what was authenticated: compression and length."""
    length = int.from_bytes(data[1:5], "little") % (1 << 24)
    return Decompressor().decompress(data[0] if data else 0, data[5:], length, "a segment")


def _read_segment(plain: bytes, _: Path) -> object:
    segment = Segment(plain)
    return [bytes(segment.chunk(at)) for at in itertools.chain(range(min(len(segment), 300)), [len(segment) - 1])
            if at >= 0]  # fmt: skip


def _slots() -> tuple[bytes, ...]:
    made: list[bytes] = []
    for kind in ("key", "clear"):
        maker = SlotMaker(kind, "first", 1, EPOCH.text)
        made.append(slot.make_slot(REPOSITORY_ID, "k1", _SALT, KEYRING_KEY, maker))
    read = msgspec.structs.replace(slot.read_slot("k1", made[0]), kind="password", kdf=Argon2())
    return (*made, make_header(ObjectKind.KEY_SLOT) + msgspec.msgpack.encode(read))


_SEALER = SegmentSealer(REPOSITORY_ID, EPOCH, KEYS.data_key, CIPHER)
_SEALED = _SEALER.seal(PLAIN_SEGMENT)
_SLOTS = _slots()
_BOUND = binding(ObjectKind.SNAPSHOT, "snapshots/x")
_OBJECT = envelope.seal_object(ObjectKind.SNAPSHOT, KEYS.snapshot_key, CIPHER, _BOUND, b"plain" * 40)
_KEYRING_OBJECT = keyring.seal_keyring(REPOSITORY_ID, KEYRING_KEY, KEYRING)
_SMALL = Compressor("fast").compress(PLAIN_SEGMENT)[1]
_PACKED = bytes((ZSTD,)) + len(PLAIN_SEGMENT).to_bytes(4, "little") + _SMALL
_ENTRY_PAGE = b"".join(ENTRY.pack(one, 0, at) for at, one in enumerate(sorted(ID_OF(chunk) for chunk in CHUNKS)))
_SEGMENT_PAGE = SEGMENT.pack(0, 80, 60, 900)
_TAIL_BYTES = msgspec.msgpack.encode(Tail(3, 1, _ENTRY_PAGE[:8], [BlockRow(bytes(32), 5000, 1)], ["cd" * 16], 3))
_TEXT = slot.secret_to_text(_SALT).encode()


def _epoch(data: bytes, _: Path) -> object:
    return unpack_epoch(data[:12].ljust(12, b"\0")).text


ROWS = (
    Decoder("header", lambda data, _: optional_bits(data, ObjectKind.BLOCK, "x"), (_PARITY_BLOCK[:16],)),
    Decoder("epoch's name", _epoch, (EPOCH.pack(),)),
    Decoder("key slot", _open_slot, _SLOTS),
    Decoder(
        "key slot's inside",
        lambda data, path: _open_slot(make_header(ObjectKind.KEY_SLOT) + data, path),
        tuple(one[16:] for one in _SLOTS),
        "msgpack",
    ),
    Decoder("typed key", lambda data, _: slot.secret_from_text(data.decode(errors="replace")), (_TEXT,), "text"),
    Decoder(
        "keyring", lambda data, _: keyring.open_keyring(REPOSITORY_ID, KEYRING_KEY, EPOCH, data), (_KEYRING_OBJECT,)
    ),
    Decoder("keyring under its seal", _open_keyring, (msgspec.msgpack.encode(KEYRING),), "msgpack"),
    Decoder("sealed object", _open_envelope, (_OBJECT,)),
    Decoder(
        "sealed object's inside",
        _open_inside,
        (bytes((NONE,)) + (5).to_bytes(4, "little") + b"plain", _PACKED),
    ),
    Decoder("compressed bytes", _decompress, (_PACKED, b"\0" + (3).to_bytes(4, "little") + b"abc")),
    Decoder("sealed segment", _open_segment, (_SEALED,)),
    Decoder("segment", _read_segment, (PLAIN_SEGMENT, SALTED_SEGMENT)),
    Decoder("block header", lambda data, _: layout.unpack_header(data, BLOCK.block_id), (BLOCK_BYTES[:80],)),
    Decoder("frame header", lambda data, _: layout.unpack_frame(data), (_FRAME,)),
    Decoder(
        "frame header under its seal", lambda data, _: _BLOCK_SEAL.open_frame(80, sealed_frame(data)), (_FRAME,)
    ),
    Decoder("block directory", lambda data, _: _BLOCK_SEAL.open_directory(1, data), (sealed_directory(_DIRECTORY, 1),)),
    Decoder(
        "block directory under its seal",
        lambda data, _: _BLOCK_SEAL.open_directory(1, sealed_directory(data, 1)),
        (_DIRECTORY,),
    ),
    Decoder("what blocks are like", _facts, (msgspec.msgpack.encode(_FACTS),), "msgpack"),
    Decoder("block trailer", lambda data, _: layout.unpack_trailer(data, 5000, "x"), (_TRAILER,)),
    Decoder("block with parity", _heal, (_PARITY_BLOCK, _PARITY_BLOCK[200:], bytes(300) + _PARITY_BLOCK[300:])),
    Decoder("checksums of parity", _read_sums, (_PARITY_PART,)),
    Decoder("index footer", lambda data, _: read_footer(data, "x"), (_INDEX[-16:],)),
    Decoder("index object", read_index, (_INDEX,)),
    Decoder(
        "index tail under its seal",
        lambda data, path: read_index(sealed_index(data, _ENTRY_PAGE, _SEGMENT_PAGE), path),
        (_TAIL_BYTES, msgspec.msgpack.encode(Tail(0, 0, b"", [], [], 0))),
        "msgpack",
    ),
    Decoder(
        "index page of entries under its seal",
        lambda data, path: read_index(sealed_index(_TAIL_BYTES, data, _SEGMENT_PAGE), path),
        (_ENTRY_PAGE,),
    ),
    Decoder(
        "index page of segments under its seal",
        lambda data, path: read_index(sealed_index(_TAIL_BYTES, _ENTRY_PAGE, data), path),
        (_SEGMENT_PAGE,),
    ),
)
