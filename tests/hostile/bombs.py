"""Small things that stand for endless ones; each is tried in a process of its own, that dies before the machine does.

`python -m tests.hostile.bombs DIRECTORY` tries all of them and prints a line of JSON for each.
"""

from __future__ import annotations

import json
import os
import resource
import struct
import sys
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import msgspec

from backupd.block import layout
from backupd.block.parity import repair
from backupd.block.parity_layout import Description, pack_table
from backupd.block.segment import MAX_SEGMENT_BYTES, Segment
from backupd.cache.index_tables import IndexTables
from backupd.daemon.body_reading import read_body
from backupd.destination.local import LocalDestination
from backupd.errors import BackupError, DamageError
from backupd.model import api
from backupd.model.sets import ConfigDocument
from backupd.operations import bare_blocks, snapshot_tree
from backupd.operations.restore import wishes
from backupd.operations.restore.planning import FileWish
from backupd.operations.restore.walking import walk
from backupd.operations.snapshot_changes import walk_changes
from backupd.operations.snapshot_tree import Trees
from backupd.repository import identity
from backupd.repository.tree_check import TreeCheck
from backupd.rules.filter_rules import parse_filter_file
from backupd.rules.filtering import Filters
from backupd.seal import envelope, slot
from backupd.seal.compression import ZSTD, Decompressor
from backupd.seal.header import ObjectKind, make_header
from backupd.seal.slot import Argon2
from backupd.settings import config_documents, settings_edit
from backupd.settings.daemon_settings import parse_settings
from backupd.snapshot import records
from backupd.tree import comparing, entry, lists, nodes
from backupd.tree.entry import ChunkTree, Entry, Extra, Kind
from tests.hostile import local_decoders, sealed_decoders
from tests.hostile.decoder import REPOSITORY_ID
from tests.hostile.watched import BeyondLimitsError, watched

Bomb = Callable[[Path], object]

MOST_SECONDS = 1.0
_KILLED_SECONDS = 4
_MOST_ADDRESSES = 1 << 30
_DEEP = 1_000_000
SPARSE, PATTERN = "hole of 2^60 bytes, read a piece at a time", "pattern that could be tried for ever"
TAKEN = frozenset({SPARSE, PATTERN})
_ID = bytes(range(32))
_HEADER = b"\x28\xb5\x2f\xfd"


def _zeros(content: int, said: bytes) -> bytes:
    """A zstd frame whose blocks give so many zero bytes, 128 KiB in 4 bytes each. said: descriptor, window and size."""
    run = (1 << 17 << 3 | 1 << 1).to_bytes(3, "little") + b"\0"
    last = (1 << 17 << 3 | 1 << 1 | 1).to_bytes(3, "little") + b"\0"
    return _HEADER + said + run * ((content >> 17) - 1) + last


def _inflate(said: bytes, announced: int) -> Bomb:
    data = _zeros(4 << 30, said)
    return lambda _: Decompressor().decompress(ZSTD, data, announced, "a bomb")


def _sealed(announced: int) -> Bomb:
    inside = bytes((ZSTD,)) + struct.pack("<I", announced) + _zeros(4 << 30, b"\x80\x68" + struct.pack("<I", announced))
    return lambda path: sealed_decoders._open_inside(inside, path)


_MOST = struct.pack("<I", MAX_SEGMENT_BYTES)
_WINDOW = 0xA8
"""A window of 2^31 bytes."""


def _deep(node: bytes) -> bytes:
    """The only entry of each directory is one more, without end."""
    below = (int.from_bytes(node, "big") + 1).to_bytes(32, "big")
    one = entry.encode(Entry(b"d" * 30, Kind.DIRECTORY, 0o755, 0, 0, 0, 0, below))
    return bytes((0x92, nodes.LEAF, 0x91)) + one


class _Visitor:
    """Raises what it is told of damage."""

    def enter(self, path: bytes, entry: Entry, is_passage: bool) -> bool:
        return True

    def leaf(self, directory: bytes, name: bytes, entry: Entry) -> None:
        """Nothing to do."""

    def withheld(self, directory: bytes, name: bytes, entry: Entry) -> None:
        """Nothing to do."""

    def leave(self, path: bytes) -> None:
        """Nothing to do."""

    def damaged(self, path: bytes, error: DamageError) -> None:
        raise error


_TOP = Entry(b"/", Kind.DIRECTORY, 0o755, 0, 0, 0, 0, bytes(32))


def _restore_deep(_: Path) -> None:
    trees = Trees(_deep)
    walk(trees.entries(_TOP), trees, _Visitor())


def _diff_deep(_: Path) -> None:
    def damaged(_: bytes, error: DamageError) -> None:
        raise error

    for _change in walk_changes(b"/", None, _TOP, Trees(_deep), damaged):
        pass


def _check_deep(_: Path) -> None:
    tables = IndexTables("")
    for hit in TreeCheck(_deep, tables.has_many, tables).walk(bytes(32)):
        if hit is not None:
            raise DamageError(hit.message)


def _cycle(node: bytes) -> bytes:
    """An inner node that is its own child, 2,048 times."""
    return msgspec.msgpack.encode([nodes.INNER, 15, [[b"%04d" % number, node, 1] for number in range(2048)]])


def _list_cycle(node: bytes) -> bytes:
    return msgspec.msgpack.encode([nodes.LIST_INNER, 15, [[node, 64, 64]] * 2048])


def _tiny_chunks(_: bytes) -> bytes:
    """A list node of chunks of a byte; the one above it has 2,048 of it, and so on."""
    return msgspec.msgpack.encode([nodes.LIST_LEAF, _ID * 2048, [1] * 2048])


def _many_chunks(node: bytes) -> bytes:
    level = int.from_bytes(node, "big")
    if not level:
        return _tiny_chunks(node)
    below = (level - 1).to_bytes(32, "big")
    return msgspec.msgpack.encode([nodes.LIST_INNER, level, [[below, 2048**level, 2048**level]] * 2048])


def _tree_of(size: int, count: int) -> Entry:
    return Entry(b"f", Kind.FILE, 0o600, 0, 0, 0, size, ChunkTree(14, (2).to_bytes(32, "big"), 3, count))


def _restore_many(size: int, count: int) -> Bomb:
    """Planned as a restore plans it: a stretch after the other."""

    def run(_: Path) -> None:
        wish = FileWish(b"", b"f", _tree_of(size, count), 0)
        wishes.complete(wish, _many_chunks)
        for stretch in wishes.stretches(wish, _many_chunks):
            assert len(stretch.ids) <= 1 << 20

    return run


def _sparse(_: Path) -> object:
    """A hole of an exbibyte is given as it is asked for, a piece at a time."""
    one = Entry(b"f", Kind.FILE, 0o600, 0, 0, 0, 1 << 60, _ID, Extra(extents=struct.pack("<QQ", 0, 4)))
    found: Iterator[bytes] = snapshot_tree.read_file(one, lambda _: b"data")
    return sum(map(len, islice(found, 50)))


def _contradictory(_: Path) -> object:
    one = Entry(b"f", Kind.FILE, 0o600, 0, 0, 0, 1 << 60, _ID, Extra(extents=struct.pack("<QQ", 0, 1 << 60)))
    return list(snapshot_tree.read_file(one, lambda _: b"data"))


def _slot(kdf: Argon2) -> Bomb:
    """Somebody else's slot, tried with our password."""
    made = slot.make_slot(REPOSITORY_ID, "k1", bytes(32), bytes(32), slot.SlotMaker("key", "x", 1, "1-" + "0" * 16))
    wanted = msgspec.structs.replace(slot.read_slot("k1", made), kind="password", kdf=kdf)
    data = make_header(ObjectKind.KEY_SLOT) + msgspec.msgpack.encode(wanted)
    return lambda _: slot.open_slot(REPOSITORY_ID, "k1", slot.read_slot("k1", data), b"password")


def _identity(text: bytes) -> Bomb:
    def run(path: Path) -> object:
        repository = "r" + "0" * 32
        (path / repository).mkdir()
        for twin in identity.TWINS:
            (path / repository / twin).write_bytes(text)
        return identity.read_identity(LocalDestination(str(path), "bomb"), repository)

    return run


def _once(path: Path) -> object:
    (path / "once.json").write_bytes(_NESTED_JSON)
    return identity.read_once(LocalDestination(str(path), "bomb"))


def _bare(path: Path) -> object:
    """A directory of blocks whose text object is the bomb; nothing in it is a block."""
    (path / "folder" / "blocks" / "ab").mkdir(parents=True)
    (path / "folder" / identity.TWINS[0]).write_bytes(_NESTED_JSON)
    return bare_blocks._repository_id(str(path / "folder"), str(path / "folder" / "blocks"))


def _settings(text: str) -> Bomb:
    return lambda _: parse_settings(text, "backupd.yaml")


def _documents(text: str) -> Bomb:
    def run(_: Path) -> None:
        config_documents.raise_all(config_documents.read([ConfigDocument(name="x", text=text)]).errors)

    return run


def _pattern(_: Path) -> object:
    filters = Filters(parse_filter_file(b"- " + b"*a" * 200 + b"b\n- " + b"**/a" * 200 + b"/b\n", b"x"))
    return filters.decide(b"/a" * 2000, b"a" * 255, False)


def _frame(data: bytes) -> Bomb:
    return lambda path: local_decoders._framed(api.Question)(data, path)


_NESTED_JSON = b'{"magic": "backupd repository", "version": 1, "id": ' + b"[" * 60_000
_SHORTEST = entry.encode(Entry(b"x", Kind.FIFO, 0, 0, 0, 0, 0, None))
_NESTED_EVENT = b'{"type":"item","item":{"a":' + b"[" * 50_000
_NESTED_FAILURE = b'{"exit":1,"error":{"a":' + b"[" * _DEEP
_NESTED_PACK = b"\x91" * _DEEP
_SEGMENT = struct.pack("<HH", 65_535, 65_535)
_TRAILER = layout.pack_trailer(80, 1 << 40, (1 << 32) - 1) + bytes(32)
_PAGE = pack_table(Description(20, (1 << 32) - 1, 96 << 20, 80, bytes(32)), [bytes(8)] * 502)
_ALIASES = "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9) if n else 'x'}]\n" for n in range(30))
BOMBS: dict[str, Bomb] = {
    "zstd, of the size that was announced": _inflate(b"\xa0" + _MOST, MAX_SEGMENT_BYTES),
    "zstd, 4 GiB as its frame says": _inflate(b"\xe0" + struct.pack("<Q", 4 << 30), MAX_SEGMENT_BYTES),
    "zstd, no size in its frame": _inflate(b"\x00\x68", MAX_SEGMENT_BYTES),
    "zstd, a window of 2^31": _inflate(bytes((0x80, _WINDOW)) + _MOST, MAX_SEGMENT_BYTES),
    "zstd under a seal": _sealed(envelope.MAX_PLAIN_BYTES),
    "zstd under a seal, 4 GiB announced": _sealed((4 << 30) - 1),
    "segment of lengths that do not add up": lambda _: Segment(_SEGMENT + b"\xff" * (4 * 65_535 + 34 * 65_535)),
    "parity of a block of 96 MiB in a page": lambda _: repair(_PAGE),
    "a million pages of parity": lambda _: repair(_PAGE[:8] * 1_000_000),
    "trailer of 2^32 frames": lambda _: layout.unpack_trailer(_TRAILER, 96 << 20, "x"),
    "directory of 2^32 frames": lambda _: sealed_decoders._BLOCK_SEAL.open_directory(
        (1 << 32) - 1, sealed_decoders.sealed_directory(b"\xff" * 4, (1 << 32) - 1)
    ),
    "index of 2^32 entries": lambda path: sealed_decoders.read_index(
        sealed_decoders.sealed_index(msgspec.msgpack.encode([(1 << 32) - 1, 0, b"", [], [], 0])), path
    ),
    "frame of 2^32 bytes": _frame(b"\xff" * 4096),
    "restore of a tree without a bottom": _restore_deep,
    "diff of a tree without a bottom": _diff_deep,
    "check of a tree without a bottom": _check_deep,
    "directory that holds itself": lambda _: list(nodes.iterate_entries(bytes(32), _cycle)),
    "directory that holds itself, looked into": lambda _: nodes.find_entry(bytes(32), b"9999", _cycle),
    "directory that holds itself, compared": lambda _: list(comparing.differing_entries(None, bytes(32), _cycle)),
    "list that holds itself": lambda _: list(
        lists.iterate_chunks(_tree_of(1 << 40, 1 << 30).content, 1 << 40, _list_cycle)
    ),
    "10^9 chunks of a byte": _restore_many(1 << 33, 1 << 33),
    "10^9 chunks in a short file": _restore_many(1 << 20, 1 << 16),
    "a million chunks of a byte in a long file": _restore_many(1 << 27, 1 << 20),
    SPARSE: _sparse,
    "contradictory extents of 2^60 bytes": _contradictory,
    "node of 800,000 entries": lambda _: nodes.decode_node(
        bytes((0x92, nodes.LEAF)) + nodes.array_head(800_000) + _SHORTEST * 800_000
    ),
    "Argon2 of 4 TiB": _slot(Argon2((1 << 32) - 1, 1, 1)),
    "Argon2 of 2^32 passes": _slot(Argon2(64 << 10, (1 << 32) - 1, 1)),
    "Argon2 of 2^32 lanes": _slot(Argon2(64 << 10, 1, (1 << 32) - 1)),
    "repository.json, nested": _identity(_NESTED_JSON),
    "once.json, nested": _once,
    "repository.json of bare blocks, nested": _bare,
    "body, nested": lambda _: read_body(b'{"sets": ' + b"[" * _DEEP, api.StartBackup, "backup"),
    "body with an unknown name, nested": lambda _: read_body(b'{"x": ' + b"[" * _DEEP, api.StartBackup, "backup"),
    "event of a daemon, nested": lambda path: local_decoders._line(_NESTED_EVENT, path),
    "failure of a daemon, nested": lambda path: local_decoders._failure(_NESTED_FAILURE, path),
    "entry, nested": lambda _: entry.decode(_NESTED_PACK),
    "snapshot, nested": lambda _: records.decode(_NESTED_PACK, records.Snapshot, "x"),
    "frame, nested": _frame(struct.pack("<I", 50_000) + b"\x81\xa5order" + b"\x91" * 49_993),
    "YAML, nested": _settings("[" * _DEEP),
    "YAML, nested maps": _settings("{a: " * 100_000),
    "YAML of aliases": _documents(_ALIASES),
    "YAML of 2 million nodes": _settings("[" + "a," * 2_000_000 + "]"),
    "YAML, a number of a million parts": _settings("time_zone: " + "1:" * _DEEP + "1"),
    "YAML, a number of 40,000 parts by its tag": _settings('time_zone: !!int "' + "\u0663:" * 40_000 + '1"'),
    "YAML, a long text of numbers": _settings("time_zone: " + "1:" * _DEEP + "x"),
    "setting of a million parts": lambda _: settings_edit.with_value("", "a", "1:" * _DEEP + "1", "x"),
    "setting in a huge file": lambda _: settings_edit.with_value("a: 1\n" + "#" * (4 << 20), "a", "2", "x"),
    PATTERN: _pattern,
}
"""Each is refused with a typed error, but for those of `TAKEN`."""


def _try(bomb: Bomb, path: Path) -> str:
    """What came of it: the code of the error, or what went wrong."""
    resource.setrlimit(resource.RLIMIT_AS, (_MOST_ADDRESSES, _MOST_ADDRESSES))
    # What runs in C hears no alarm: the kernel ends it.
    resource.setrlimit(resource.RLIMIT_CPU, (_KILLED_SECONDS, _KILLED_SECONDS))
    try:
        with watched(MOST_SECONDS):
            bomb(path)
    except BackupError as error:
        return error.code
    except (BeyondLimitsError, MemoryError, Exception) as error:  # noqa: BLE001 - whatever it is, it is told
        return f"{type(error).__name__}: {error}"[:500]
    return "went well"


def main() -> None:
    """Each bomb in a child, so that it finds fresh memory and takes nobody with it."""
    for number, (name, bomb) in enumerate(BOMBS.items()):
        path = Path(sys.argv[1]) / str(number)
        path.mkdir()
        reading, writing = os.pipe()
        child = os.fork()
        if not child:
            os.write(writing, _try(bomb, path).encode())
            os._exit(0)
        os.close(writing)
        said = os.read(reading, 4096).decode()
        os.close(reading)
        _, status = os.waitpid(child, 0)
        print(json.dumps([name, said or f"ended with status {status}"]), flush=True)  # noqa: T201 - the result


if __name__ == "__main__":
    main()
