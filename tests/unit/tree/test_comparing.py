"""Comparing directories: a change that a comparison misses is a change that nobody hears of."""

from __future__ import annotations

import hashlib
import random

from backupd.tree.comparing import differing_entries, has_same_content, has_same_metadata
from backupd.tree.entry import Chunks, Device, Entry, Extra, Kind, encode
from backupd.tree.nodes import NodeBuilder


class Shelf:
    """Keeps nodes by hash and counts what is loaded."""

    def __init__(self) -> None:
        self.nodes: dict[bytes, bytes] = {}
        self.loaded = 0

    def store(self, data: bytes) -> bytes:
        name = hashlib.blake2b(data, digest_size=32).digest()
        self.nodes[name] = data
        return name

    def load(self, name: bytes) -> bytes:
        self.loaded += 1
        return self.nodes[name]

    def directory(self, entries: dict[bytes, int]) -> bytes:
        builder = NodeBuilder(bytes(32), self.store)
        for name in sorted(entries):
            builder.add(name, encode(file(name, mtime_ns=entries[name])))
        return builder.finish()


def file(name: bytes = b"a", **fields: object) -> Entry:
    values: dict[str, object] = {"mode": 0o644, "uid": 1, "gid": 1, "mtime_ns": 5, "size": 0, "content": None}
    return Entry(name, **{"kind": Kind.FILE, **values, **fields})  # type: ignore[arg-type]


def test_every_difference_of_random_directories_is_found_and_nothing_else() -> None:
    chance = random.Random(11)
    for size in (0, 1, 3, 70, 900, 6000):
        shelf = Shelf()
        older = {b"%06d" % chance.randrange(10 * size): chance.randrange(3) for _ in range(size)}
        newer = dict(older)
        for name in chance.sample(sorted(older), min(len(older), 5)):
            newer[name] = 9
        for name in chance.sample(sorted(older), min(len(older), 4)):
            newer.pop(name, None)
        newer |= {b"new%d" % number: 1 for number in range(3)}
        pairs = list(differing_entries(shelf.directory(older), shelf.directory(newer), shelf.load))
        found = {(old or new).name: (old, new) for old, new in pairs}  # type: ignore[union-attr]
        assert list(found) == sorted(found)
        assert set(found) == {name for name in older | newer if older.get(name) != newer.get(name)}
        for name, (old, new) in found.items():
            assert (old is not None, new is not None) == (name in older, name in newer)


def test_one_new_name_among_many_costs_a_few_nodes() -> None:
    shelf = Shelf()
    older = {b"%06d" % number: 1 for number in range(40_000)}
    before, after = shelf.directory(older), shelf.directory(older | {b"020000x": 1})
    assert [new.name for _, new in differing_entries(before, after, shelf.load) if new] == [b"020000x"]
    assert shelf.loaded < 12
    shelf.loaded = 0
    assert not list(differing_entries(before, before, shelf.load))
    assert not shelf.loaded


def test_a_directory_beside_nothing_is_all_new_or_all_gone() -> None:
    shelf = Shelf()
    root = shelf.directory({b"a": 1, b"b": 1})
    assert [old for old, _ in differing_entries(None, root, shelf.load)] == [None, None]
    assert [new for _, new in differing_entries(root, None, shelf.load)] == [None, None]


def test_content_is_what_is_stored_not_how_it_was_cut_or_scoped() -> None:
    one, two = bytes(32), bytes(31) + b"\1"
    assert has_same_content(file(size=1, content=one), file(size=1, content=one, mode=0o600))
    assert not has_same_content(file(size=1, content=one), file(size=1, content=two))
    assert not has_same_content(file(size=1, content=one), file(size=2, content=one))
    cut = Chunks(14, one + two, [1, 1])
    assert has_same_content(file(size=2, content=cut), file(size=2, content=Chunks(15, one + two, [1, 1])))
    holes = file(size=9, content=one, extra=Extra(extents=b"\0" * 16))
    assert not has_same_content(file(size=9, content=one), holes)
    salted = file(size=1, content=two, extra=Extra(salt=b"s" * 32))
    assert has_same_content(file(size=1, content=one), salted)
    assert not has_same_content(file(size=1, content=one, mtime_ns=6), salted)
    null, zero = (file(kind=Kind.CHARACTER_DEVICE, content=Device(1, minor)) for minor in (3, 5))
    assert not has_same_content(null, zero)
    assert not has_same_content(file(), file(kind=Kind.FIFO))


def test_metadata_is_what_a_user_set_not_what_the_format_carries() -> None:
    assert not has_same_metadata(file(), file(mode=0o600))
    assert not has_same_metadata(file(), file(mtime_ns=6))
    assert not has_same_metadata(file(), file(extra=Extra(xattrs=[(b"user.a", b"1")])))
    assert not has_same_metadata(file(), file(extra=Extra(hard_link=b"g" * 16)))
    linked = file(extra=Extra(hard_link=b"h" * 16))
    assert has_same_metadata(file(extra=Extra(hard_link=b"g" * 16)), linked)
    assert has_same_metadata(file(), file(extra=Extra(salt=b"s" * 32)))
    directory = file(kind=Kind.DIRECTORY, content=bytes(32))
    assert has_same_metadata(directory, file(kind=Kind.DIRECTORY, content=bytes(32), mtime_ns=6))
    assert not has_same_metadata(directory, file(kind=Kind.DIRECTORY, content=bytes(32), mode=0o700))
