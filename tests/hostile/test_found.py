"""What fuzzing found, each by itself: the inputs are few bytes, and each of them ended in more than a message."""

from __future__ import annotations

import socket
import struct
from array import array
from pathlib import Path

import msgspec
import pytest
from blake3 import blake3

from backupd.cache.index_tables import IndexTables
from backupd.cache.table_file import HEADER_BYTES, read_header, table_path
from backupd.clock import SystemClock
from backupd.daemon.body_reading import read_body
from backupd.errors import (
    BusyError,
    ConfigError,
    DamagedCacheError,
    FormatError,
    SetNotFoundError,
    StateError,
    UsageError,
)
from backupd.model import api
from backupd.model.any_order import ToJob
from backupd.model.places import PlaceUrl
from backupd.operations.restore.sparing import omission_of
from backupd.operations.snapshot_tree import read_file
from backupd.rules.filter_rules import Rule
from backupd.rules.filtering import Filters
from backupd.seal.keyring import Keyring
from backupd.seal.slot import secret_to_text
from backupd.settings.keys import KeptKey, KeyStore
from backupd.settings.lock import SetLock
from backupd.settings.settings_edit import with_value
from backupd.sizes import parse_duration, parse_size
from backupd.snapshot import naming
from backupd.snapshot.records import Snapshot
from backupd.tree import comparing, entry, lists, nodes
from backupd.tree.entry import Chunks, ChunkTree, Device, Entry, Extra, Kind
from backupd.wire.channel import Channel
from bkctl.daemon_client import failure_of
from tests.hostile import local_decoders
from tests.hostile.decoder import KEYRING
from tests.hostile.watched import watched

_ID = bytes(range(32))


def _same_below(height: int, leaf: bytes) -> nodes.Load:
    """Inner nodes of 2,048 equal children, so high, above a leaf: 64 KiB each that stand for 2048^height of them."""
    stored = [leaf]
    for level in range(1, height + 1):
        child = (level - 1).to_bytes(32, "big")
        children = [[b"%04d" % number, child, 1] for number in range(2048)]
        stored.append(msgspec.msgpack.encode([nodes.INNER, level, children]))
    return lambda node: stored[int.from_bytes(node, "big")]


def test_a_diff_ends_where_a_directory_holds_a_node_over_and_over() -> None:
    """`snapshot diff` was killed for its memory by one small tree of a writer with a stolen key."""
    load = _same_below(3, msgspec.msgpack.encode([nodes.LEAF, []]))
    with watched(), pytest.raises(FormatError):
        list(comparing.differing_entries(None, (3).to_bytes(32, "big"), load))


def test_a_restore_ends_where_a_directory_is_made_of_empty_leaves() -> None:
    """A restore would have read leaves without entries for years, and written nothing."""
    load = _same_below(6, msgspec.msgpack.encode([nodes.LEAF, []]))
    with watched(), pytest.raises(FormatError):
        list(nodes.iterate_entries((6).to_bytes(32, "big"), load))


def test_an_empty_directory_is_one() -> None:
    """The limit above must not take empty directories from anybody."""
    assert list(nodes.iterate_entries(_ID, lambda _: msgspec.msgpack.encode([nodes.LEAF, []]))) == []


@pytest.mark.parametrize("lengths", [[], [0, 0], [-1, 2], [1 << 24], [9, 9]])
def test_a_list_of_chunks_fits_its_file(lengths: list[int]) -> None:
    """A restore collected chunks of nothing until its memory was used up, or counted backwards."""
    leaf = msgspec.msgpack.encode([nodes.LIST_LEAF, _ID * len(lengths), lengths])
    with pytest.raises(FormatError):
        list(lists.iterate_chunks(ChunkTree(14, _ID, 1, 3), 10, lambda _: leaf))
    with pytest.raises(FormatError):
        list(lists.iterate_chunks(Chunks(14, _ID * len(lengths), lengths), 10, lambda _: leaf))


def test_a_list_holds_no_more_chunks_than_its_entry_says() -> None:
    """Equal list nodes, 2,048 side by side and levels above, stand for chunks without end."""
    leaf = msgspec.msgpack.encode([nodes.LIST_LEAF, _ID * 64, [1] * 64])
    inner = msgspec.msgpack.encode([nodes.LIST_INNER, 1, [[bytes(32), 64, 64]] * 2048])
    tree = ChunkTree(14, _ID, 2, 1000)
    with watched(), pytest.raises(FormatError):
        list(lists.iterate_chunks(tree, 1 << 40, lambda node: leaf if node == bytes(32) else inner))
    few = ChunkTree(14, _ID, 2, 10)
    with watched(), pytest.raises(FormatError):
        list(lists.list_references(few, lambda node: leaf if node == bytes(32) else inner))


def test_a_real_list_is_taken() -> None:
    """What the limits above refuse must not be anybody's file."""
    stored: dict[bytes, bytes] = {}

    def store(data: bytes) -> bytes:
        return stored.setdefault(blake3(data).digest(), data) and blake3(data).digest()

    for count in (257, 5000, 70_000):
        ids = b"".join(number.to_bytes(32, "little") for number in range(count))
        content = lists.make_content(12, ids, array("I", [1024] * count), store)
        found = list(lists.iterate_chunks(content, 1024 * count, lambda node: stored[node]))
        assert len(found) == count
        assert len(list(lists.list_references(content, lambda node: stored[node]))) == len(
            set(lists.list_references(content, lambda node: stored[node]))
        )


@pytest.mark.parametrize(
    "one",
    [
        Entry(b"x", Kind.FILE, 0o644, 1 << 32, 0, 0, 0, None),
        Entry(b"x", Kind.FILE, 0o644, 0, 1 << 40, 0, 0, None),
        Entry(b"x", Kind.FILE, 0o644, 0, 0, 0, 1 << 63, None),
        Entry(b"x", Kind.CHARACTER_DEVICE, 0o644, 0, 0, 0, 0, Device(1 << 32, 0)),
        Entry(b"x", Kind.FILE, 0o644, 0, 0, 0, 0, None, Extra(flags=-1)),
        Entry(b"x", Kind.FILE, 0o644, 0, 0, 0, 9, Chunks(14, _ID * 257, [1] * 257)),
        Entry(b"x", Kind.FILE, 0o644, 0, 0, 0, 9, ChunkTree(14, _ID[:5], 1, 9)),
    ],
)
def test_numbers_of_an_entry_fit_system_calls(one: Entry) -> None:
    """An owner of 2^32 killed the worker that was to restore it, and all files of its batch with it."""
    with pytest.raises(FormatError):
        entry.decode(entry.encode(one))


def test_a_node_has_no_more_entries_than_any() -> None:
    """A node of 8 MiB of the shortest entries took 200 MiB to look at."""
    one = entry.encode(Entry(b"x", Kind.FIFO, 0, 0, 0, 0, 0, None))
    with watched(), pytest.raises(FormatError):
        nodes.decode_node(bytes((0x92, nodes.LEAF)) + nodes.array_head(500_000) + one * 500_000)


def test_a_snapshots_root_is_an_id() -> None:
    """`check` ended in a traceback at one snapshot whose root had five bytes."""
    snapshot = Snapshot(b"", b"", "", b"", "", 0, 0, True, b"short", [])
    with pytest.raises(msgspec.ValidationError):
        msgspec.msgpack.decode(msgspec.msgpack.encode(snapshot), type=Snapshot)


def test_a_keyrings_numbers_fit_what_is_made_of_them() -> None:
    """A backup ended in a traceback at a chunker seed of 40 bits."""
    spoilt = msgspec.structs.replace(KEYRING, chunker_seed=1 << 40)
    with pytest.raises(msgspec.ValidationError):
        msgspec.msgpack.decode(msgspec.msgpack.encode(spoilt), type=Keyring)


@pytest.mark.parametrize(
    "extents", [b"\0", struct.pack("<QQQQ", 8, 4, 0, 4), struct.pack("<QQ", 100, 4), bytes(16) * 200_000]
)
def test_extents_that_are_none_are_damage(extents: bytes) -> None:
    """`snapshot cat` ended in a traceback at a sparse file with half an extent."""
    one = Entry(b"x", Kind.FILE, 0o644, 0, 0, 0, 50, _ID, Extra(extents=extents))
    with pytest.raises(FormatError):
        list(read_file(one, lambda _: b"1234"))


def test_a_damaged_index_table_is_told_and_made_anew(tmp_path: Path) -> None:
    """One bad sector below the cache directory: each backup ended in an IndexError until somebody removed the file."""
    path = Path(table_path(str(tmp_path), local_decoders._NAME))
    whole = local_decoders._TABLE
    shape = read_header(whole[:HEADER_BYTES], local_decoders._NAME)
    assert shape is not None
    _, _, ranks, firsts, segments, *_ = shape.sections()
    for section in (ranks, firsts, segments):
        path.write_bytes(whole[: section.start] + b"\xee" * (section.end - section.start) + whole[section.end :])
        tables = IndexTables(str(tmp_path))
        assert tables.load(local_decoders._NAME)
        with pytest.raises(StateError):
            _ = tables.find_many(local_decoders._IDS), list(tables.entries())
        tables.close()
        assert not path.exists(), "the next run would read it again"


@pytest.mark.parametrize("rows", [b"\x01", b"\x91\x93\x01\x02\x03", b"\x91" * 5000, b"\xa1\x80"])
def test_a_file_cache_without_rows_is_damaged(rows: bytes, tmp_path: Path) -> None:
    """A backup ended in a traceback where it should have read all files again."""
    with pytest.raises(DamagedCacheError):
        local_decoders._cache_rows(rows, tmp_path)


@pytest.mark.parametrize("record", [b"\x91" * 5000, b"\x94\x00\xc4\x01a\xa1\xff\xa1a", b""])
def test_a_journal_ends_at_its_first_bad_record(record: bytes, tmp_path: Path) -> None:
    """A backup could not begin any more, where it should have lost one record of a killed one."""
    assert local_decoders._journal_record(record, tmp_path) is not None


@pytest.mark.parametrize("body", [b"", b"\x91" * 5000, b"\x82\xa4type\xa3log\xa1\x80\x01", b"\xc1"])
def test_a_message_that_is_none_is_a_typed_error(body: bytes) -> None:
    """A job that heard it could not be cancelled any more: the thread that listens had died."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(struct.pack("<I", len(body)) + body)
        channel: Channel[ToJob] = Channel(ours, ToJob)
        with pytest.raises(FormatError):
            channel.receive()


@pytest.mark.parametrize("body", [b'{"unknown": 1, "x"', b'{"unknown": 1}}', b'{"unknown": 1, "\xff": 1}'])
def test_a_body_that_breaks_off_after_an_unknown_name_is_a_typed_error(body: bytes) -> None:
    """Anyone at the socket could fill the daemon's log with tracebacks and was told of a defect."""
    with pytest.raises(UsageError):
        read_body(body, api.StartBackup, "backup")


@pytest.mark.parametrize("context", [b"1", b"true", b'"text"', b'["a"]'])
def test_a_failure_with_a_context_that_is_none_is_told(context: bytes) -> None:
    """`bkctl` ended in a traceback in place of the daemon's message."""
    error = failure_of(b'{"exit": 10, "error": {"code": "set.not_found", "message": "x", "context": %s}}' % context)
    assert isinstance(error, SetNotFoundError)


@pytest.mark.parametrize("said", [b'{"pid": 1, "since_ns": 9%s}' % (b"0" * 40), b"[" * 4096, b'{"pid": {}}', b"1"])
def test_a_lock_is_busy_whatever_its_holder_wrote(said: bytes, tmp_path: Path) -> None:
    """A backup that should have waited for another ended in a traceback."""
    holder, other = SetLock(str(tmp_path), "b1"), SetLock(str(tmp_path), "b1")
    holder.acquire(SystemClock())
    Path(holder.path).write_bytes(said)
    with pytest.raises(BusyError):
        other.acquire(SystemClock())
    holder.close()


@pytest.mark.parametrize("name", ["gc/%s.candidates" % ("9" * 5000), "gc/%s.deleted" % ("9" * 40), "gc/٣.deleted"])
def test_a_list_of_no_generation_is_none(name: str) -> None:
    """One object of that name, which needs no key, and no backup to that place began any more."""
    assert naming.parse_gc_name(name) is None
    assert naming.parse_gc_name("gc/12.deleted") == (12, "deleted")


@pytest.mark.parametrize(
    "text", ['{"filters": null}', '{"filters": [{}]}', '{"filters": [{"exclude": "\\ud800"}]}', "[" * 99_999]
)
def test_a_snapshot_with_settings_of_another_form_is_restored(text: str) -> None:
    """`restore --delete-unmatched` ended in a traceback after it had asked."""
    omission = omission_of(Snapshot(b"", b"", "", b"", "", 0, 0, True, _ID, [], settings=text))
    assert not omission.has(b"/a", b"/t/a", b"/t", False)




@pytest.mark.parametrize("text", ["9" * 5000, "9" * 400 + "P", "\u0663G", "1." + "1" * 5000])
def test_a_size_of_thousands_of_digits_is_none(text: str) -> None:
    """`--block-size` with a key held down ended in a traceback, and so did a set in a document."""
    with pytest.raises(UsageError):
        parse_size(text)


@pytest.mark.parametrize("text", ["9" * 5000 + "s", "1h" + "9" * 5000 + "m", "\u0663h"])
def test_a_duration_of_thousands_of_digits_is_none(text: str) -> None:
    """The same for times."""
    with pytest.raises(UsageError):
        parse_duration(text)


def test_a_setting_that_makes_the_text_something_else_is_edited_by_hand() -> None:
    """`config set` ended in a traceback in the daemon."""
    with pytest.raises(ConfigError):
        with_value("b: 1\n", "!!timestamp x", "1", "x")


@pytest.mark.parametrize("glob", [b"**a" * 60, b"**/a" * 60, b"**/*a" * 40, b"/**/a?" * 40])
def test_no_pattern_takes_for_ever(glob: bytes) -> None:
    """A backup stood still at one long path, and so did a restore of somebody else's snapshot with that filter."""
    filters = Filters([Rule(is_include=False, patterns=(glob + b"/b",), origin="x")])
    with watched():
        assert filters.decide(b"/a" * 2000, b"a", False).included


@pytest.mark.parametrize(
    ("glob", "path", "is_out"),
    [
        (b"/**a*b**c", b"/x/aXbcYb", False),
        (b"/**a*b**c", b"/x/aXbYbc", True),
        (b"/**/a/**/b", b"/a/b", True),
        (b"/**/a/**/b", b"/x/y/a/z/b", True),
        (b"/**/a/**/b", b"/b/a/c", False),
        (b"/x/**/y*/**/z", b"/x/1/y/2/y3/4/z", True),
    ],
)
def test_patterns_mean_what_they_meant(glob: bytes, path: bytes, is_out: bool) -> None:
    """A file that is left out for a faster pattern is in no backup."""
    filters = Filters([Rule(is_include=False, patterns=(glob,), origin="x")])
    assert filters.decide(path, path.rpartition(b"/")[2], False).included is not is_out


@pytest.mark.parametrize("place", [b"sftp://box/a\xff", b"s3://bucket/\xed\xb2\x80?endpoint=http%3A%2F%2Fx"])
def test_an_address_that_is_no_text_is_no_address(place: bytes) -> None:
    """`bkctl once --to` with a name in another encoding ended in a traceback."""
    with pytest.raises(UsageError):
        PlaceUrl.parse(place.decode("utf-8", "surrogateescape"))


@pytest.mark.parametrize("escaped", ["\\ffffff", "\\00d800", "\\110000"])
def test_a_key_file_with_odd_escapes_still_has_its_key(escaped: str, tmp_path: Path) -> None:
    """A restore ended in a traceback for one wrong digit in a comment of the key file."""
    store, repository = KeyStore(str(tmp_path)), "r" + "0" * 32
    store.save(KeptKey(repository_id=repository, secret=secret_to_text(bytes(32)), place="/media/usb"))
    path = Path(store.path_of(repository))
    path.write_text(path.read_text().replace("/media/usb", escaped))
    kept = store.load(repository)
    assert kept is not None
    assert kept.place == escaped
