"""Rows of the table: caches of this host, frames between processes, bodies of requests and lines of answers."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
from blake3 import blake3

from backupd.cache import counted_areas, file_states, first_seen, journal, known_locks, largest_sizes, seen_snapshots
from backupd.cache.file_cache import CachedDirectory, FileCache, FileCacheWriter, Row, open_cache
from backupd.cache.index_tables import IndexTables
from backupd.cache.table_file import HEADER_BYTES, make_table, table_path
from backupd.daemon.body_reading import read_body
from backupd.daemon.requests import BackupRequest, JobRequest
from backupd.daemon.routes import ROUTES as API
from backupd.errors import BackupError
from backupd.index.reader import decode_all
from backupd.index.writer import encode_index
from backupd.model import (
    api,
    config_orders,
    events,
    filters,
    heard,
    notice_api,
    notices,
    orders,
    purge_orders,
    sets,
    steering,
    work,
)
from backupd.model.any_order import AnyOrder, ToJob
from backupd.model.areas import Area, SetAreas, Statistics, areas_of
from backupd.model.files import FileState
from backupd.model.traffic import Requests, Traffic
from backupd.rules.user_dirs import parse_user_dirs
from backupd.source.signature import shape_of, signature
from backupd.wire.channel import Channel
from backupd.wire.malformed import MALFORMED
from bkctl import daemon_client, daemon_job
from tests.hostile.decoder import Decode, Decoder
from tests.hostile.tree_decoders import ENCODED
from tests.support.indexes import ids_of, make_block, make_seal

_MOST = 3000
_NAME = "index-1"
_BLOCKS = [make_block(1, [40, 3], 0), make_block(2, [7], 43)]
_IDS = ids_of(_BLOCKS)
_FIRST_BLOCK = _BLOCKS[0].block_id


def _made(write: Callable[[Path], object], name: str) -> bytes:
    """The bytes of a file that this program writes."""
    with TemporaryDirectory() as directory:
        write(Path(directory))
        return (Path(directory) / name).read_bytes()


def _write_table(path: Path) -> None:
    seal = make_seal()
    make_table(str(path), _NAME, decode_all(seal, encode_index(seal, _BLOCKS, ["a" * 32], 7)))


def _table(data: bytes, path: Path) -> object:
    """A table that can't be trusted is made anew; one that opens must not lead outside of what it holds."""
    Path(table_path(str(path), _NAME)).write_bytes(data)
    tables = IndexTables(str(path))
    try:
        if not tables.load(_NAME):
            return None
        (table,) = tables.tables()
        found = tables.find_many(_IDS), tables.has_many(_IDS), tables.places(_IDS[:32])
        rows = list(islice(tables.blocks(), _MOST)), list(islice(tables.entries(), _MOST))
        return found, rows, tables.frames_of(_FIRST_BLOCK), table.is_sound(), table.replaces
    finally:
        tables.close()


def _rehashed_table(data: bytes, path: Path) -> object:
    """Its header fits its numbers: nobody but this host writes there, but what it wrote may be half on the disk."""
    head = data[: HEADER_BYTES - 32]
    return _table(head + blake3(head + _NAME.encode()).digest() + data[HEADER_BYTES:], path)


def _write_journal(path: Path) -> None:
    written = journal.Journal(str(path / "journal"), journal.JournalSession(bytes(16), "snapshots/x", "/cache"))
    written.add(journal.JournalBlock(bytes(32), 5000, 1, [(80, 60, 900, bytes(64))]))
    written.add(journal.JournalPublished([bytes(32)]))
    written.add(journal.JournalBlock(b"1" * 32, 5000, 2, []))
    written.add(journal.JournalCheckpoint(1, 4096))
    written.close(is_ended=False)


def _write_states(path: Path) -> None:
    written = file_states.FileStatesWriter(str(path / "states"), "usb")
    for state in ("stored", "unchanged"):
        written.add(b"/source/file", state, "why")
        written.flush()
    written.close()


def _states(data: bytes, path: Path) -> object:
    (path / "states").write_bytes(data)
    return file_states.read_file_states(str(path / "states"), 0, ["stored", "failed"], 100)


def _states_frame(data: bytes, path: Path) -> object:
    """A frame of any bytes, not compressed, its lengths right."""
    return _states(struct.pack("<IIB", len(data), len(data), 0) + data, path)


def _journal(data: bytes, path: Path) -> object:
    (path / "journal").write_bytes(data)
    return journal.read_journal(str(path / "journal"))


def _journal_record(data: bytes, path: Path) -> object:
    """A record of any bytes behind a whole one, its checksum right."""
    packed = struct.pack("<I8s", len(data), blake3(data).digest(8)) + data
    return _journal(_JOURNAL + packed, path)


def _write_cache(path: Path) -> None:
    writer = FileCacheWriter(str(path / "cache"), bytes(16), {"damage/1"})
    piece = writer.add_piece(b"a", bytes(16), [Row(b"a", b"s", ENCODED[1]), Row(b"b", b"", ENCODED[2])])
    writer.add_directory(b"/home", CachedDirectory(bytes(32), [piece], 2, 30, False))
    writer.checkpoint(iter([(b"/", CachedDirectory(b"", [], 2, 30, True))]), bytes(32))
    writer.add_directory(b"/", CachedDirectory(bytes(32), [piece], 2, 30, False))
    writer.finish(bytes(32))


def _write_sizes(path: Path) -> None:
    written = largest_sizes.LargestSizes()
    written.add(bytes(8), 5)
    written.add(b"\xff" * 8, 7)
    written.counted, written.passed = {"snapshots/a"}, {"snapshots/b"}
    written.save(str(path / "sizes"))


def _sizes(data: bytes, path: Path) -> object:
    """What can't be trusted is made anew; what opens can be added to."""
    (path / "sizes").write_bytes(data)
    found = largest_sizes.load(str(path / "sizes"))
    if found is None:
        return None
    found.add(b"\x80" * 8, 9)
    return found.total_bytes, len(found), sorted(found.held), sorted(found.passed)


def _sizes_notes(data: bytes, path: Path) -> object:
    """Notes of any bytes, the checksum right; one path."""
    rest = struct.pack("=QQ", 9, 5)
    lengths = struct.pack("=QQ", len(data), 1)
    check = blake3(lengths + data + rest).digest()
    return _sizes(_SIZES[:8] + lengths + check + data + rest, path)


def _cache(data: bytes, path: Path) -> object:
    (path / "cache").write_bytes(data)
    found = open_cache(str(path / "cache"))
    return _all_of(found) if found is not None else None


def _all_of(cache: FileCache) -> object:
    try:
        directories = [found for name in (b"/", b"/home") if (found := cache.directory(name)) is not None]
        return [cache.rows(piece) for directory in directories for piece in directory.pieces]
    finally:
        cache.close()


def _cache_table(data: bytes, path: Path) -> object:
    """A table of any bytes, its checksum right."""
    table = struct.pack("<QI16s4s", len(_CACHE), len(data), blake3(data).digest(16), b"BKDT")
    return _cache(_CACHE + data + table, path)


def _cache_rows(data: bytes, path: Path) -> object:
    """Rows of any bytes, their checksum right."""
    piece = [b"a", bytes(16), 64, len(data), blake3(data).digest(16)]
    table = msgspec.msgpack.encode([{b"/": [bytes(32), [piece], 1, 1, False]}, {}, 0, [], bytes(32)])
    end = struct.pack("<QI16s4s", 64 + len(data), len(table), blake3(table).digest(16), b"BKDT")
    return _cache(_CACHE[:64] + data + table + end, path)


def _seen(data: bytes, path: Path) -> object:
    (path / "seen").write_bytes(data)
    found = seen_snapshots.load(str(path / "seen"))
    seen_snapshots.add(str(path / "seen"), ["snapshots/x"])
    return found


def _first_seen(data: bytes, path: Path) -> object:
    (path / "first").write_bytes(data)
    found = first_seen.load(str(path / "first"))
    return [one.seconds_until("boot", 5.0) for one in found.values()] or None


def _counted_areas(data: bytes, path: Path) -> object:
    (path / "areas.json").write_bytes(data)
    found = counted_areas.load(str(path))
    return [areas_of(found, one.set_id, None) for one in found.sets] if found is not None else None


def _known_locks(data: bytes, path: Path) -> object:
    file = known_locks.path_of(str(path), "set")
    Path(file).write_bytes(data)
    found = known_locks.load_all(str(path))
    assert found == (known_locks.load(file) or {})
    return found or None


def _framed(kind: Any) -> Decode:
    """One frame, then the end; read by waiting, and as it comes."""

    def decode(data: bytes, _: Path) -> object:
        found: list[object] = []
        for is_waiting in (True, False):
            ours, theirs = socket.socketpair()
            with ours, theirs:
                theirs.sendall(data)
                theirs.close()
                channel: Channel[Any] = Channel(ours, kind)
                while is_waiting and (message := channel.receive()) is not None:
                    found.append(message)
                while not is_waiting:
                    try:
                        found += channel.receive_ready()
                    except EOFError:
                        break
        return found

    return decode


def _whole_frame(kind: Any) -> Decode:
    read = _framed(kind)
    return lambda data, path: read(struct.pack("<I", len(data)) + data, path)


def _answer(data: bytes, _: Path) -> object:
    """All that a daemon says, its head too; lines as `bkctl` follows a job."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(data)
        theirs.close()
        link = daemon_job._Link(daemon_client.DaemonClient("", ""), daemon_client.LineStream(ours, 1.0), "")
        found: list[object] = []
        while True:
            try:
                found += link.events()
            except EOFError:
                return found


def _line(data: bytes, path: Path) -> object:
    return _answer(b"HTTP/1.0 200 OK\r\n\r\n" + data + b"\n", path)


def _failure(data: bytes, _: Path) -> object:
    raise daemon_client.failure_of(data)


_SELECTION = orders.Selection(set_name="documents", paths=[b"/home"], as_of="yesterday")
_SET = sets.SetText(
    name="documents", sources=["/home"], to=["disk"], filters=[filters.FilterText(exclude="*.tmp")], tags={"a": "b"}
)
_ORDERS: tuple[AnyOrder, ...] = (
    orders.BackupOrder(place="/p", sources=[b"/a"], filters=[orders.FilterWord(kind="exclude", value=b"*")]),
    orders.RestoreOrder(place="/p", selection=_SELECTION, to=b"/t", caller=orders.Caller(uid=1, gid=1, groups=[1])),
    orders.CheckOrder(place="/p", set_names=["documents"]),
    orders.ReplicateOrder(place="/p", to="/q", set_names=["documents"], latest=True),
    orders.SnapshotDiffOrder(place="/p", selection=_SELECTION),
    orders.KeyOrder(place="/p", verb="add", new_secret=b"secret"),
    config_orders.ConfigCheckOrder(place="", documents=[sets.ConfigDocument(name="x", text="sets: []")]),
)
_BODIES: dict[Any, tuple[object, ...]] = {
    api.EditSet: (api.EditSet(text=_SET),),
    api.EditDestination: (api.EditDestination(text=sets.DestinationText(name="disk", place="/mnt")),),
    api.ApplyConfig: (api.ApplyConfig(documents=[sets.ConfigDocument(name="x", text="sets: []")]),),
    api.EditSetting: (api.EditSetting(key="queue.jobs_at_once", value="3"),),
    api.StartBackup: (api.StartBackup(sets=["documents"], tags={"a": "b"}, stop_after_seconds=5),),
    api.StartRestore: (api.StartRestore(order=_ORDERS[1]),),  # type: ignore[arg-type]
    api.StartCheck: (api.StartCheck(order=_ORDERS[2]),),  # type: ignore[arg-type]
    api.StartFree: (api.StartFree(order=orders.FreeOrder(place="/p", set_names=["documents"])),),
    api.StartPurge: (
        api.StartPurge(order=purge_orders.PurgeOrder(place="/p", set_names=["documents"], paths=[b"/a"], plan="p1")),
    ),
    api.StartReplicate: (api.StartReplicate(order=_ORDERS[3]),),  # type: ignore[arg-type]
    api.StartSeeding: (api.StartSeeding(on="/media/usb", sets=["docs"], all=True),),
    api.Question: tuple(api.Question(order=order, name="0" * 32) for order in _ORDERS),
    api.Reply: (api.Reply(ask=1, text="yes"),),
    api.Ending: (api.Ending(signal="term"),),
    api.Nothing: (api.Nothing(),),
    notice_api.EditNotice: (
        notice_api.EditNotice(text=notices.NoticeText(name="admins", url="mailto:anna@example.org", on=["failure"])),
    ),
    notice_api.EditContact: (
        notice_api.EditContact(text=notices.ContactText(name="anna", email="anna@example.org", certificate="/a.pem")),
    ),
}
_COST = Traffic(requests=Requests(put=1), sent_bytes=5, repeated={"x": 2}, waited_seconds=0.5)
_EVENTS: tuple[events.FromJob, ...] = (
    events.Log(severity="warning", message="x", path=b"/a\xff"),
    events.Progress(step="x", files_done=3, eta_seconds=1.5, current=b"/a"),
    events.Ask(ask=1, question="?", kind="typed", details=["a"]),
    events.Item(item={"a": [1, {"b": None}]}),
    events.Done(exit_code=0, result={"a": 1}),
    events.Failed(exit_code=1, error={"code": "x"}, traffic=[_COST]),
)
_REPLIES = (
    steering.Answer(ask=1, text="yes"),
    steering.CancelRequest(signal="int"),
    steering.PauseRequest(paused=True),
)
_SETUP = work.RepositorySetup(bytes(16), "aes-256-gcm", bytes(32), [(1, bytes(8), bytes(32))], "/p")
_WORK: tuple[object, ...] = (
    work.CheckSetup(_SETUP),
    work.FilesTask(1, [b"/a"], [work.FileOrder(1, 0, b"f", 1, 2, 3, 14, bytes(32), False)]),
    work.Wanted(1, 2, b"\1\0"),
    work.FetchTask(1, 1, [b"/a"], [work.SegmentOrder(bytes(32), 80, 60, [0], bytes(32), [0])], [], []),
)
_RESULTS: tuple[object, ...] = (
    work.Question(1, 1, bytes(64), [1, 2]),
    work.FilesDone(1, [work.FileResult(1, b"e", 3, b"s")]),
    work.FetchDone(1, 5, 0, [work.FetchResult(1, "damage", "x", bytes(32))], _COST),
    work.CheckDone(1, [], _COST),
)
_FAILURE = b'{"exit": 10, "error": {"code": "set.not_found", "message": "x", "hint": "y", "context": {"a": 1}}}'
_STORED = JobRequest(kind="backup", backup=BackupRequest(to=["d1"], tags={"a": "b"})).stored()


def _packed(values: tuple[Any, ...]) -> tuple[bytes, ...]:
    return tuple(map(msgspec.msgpack.encode, values))


def _bodies() -> tuple[Decoder, ...]:
    """A row for each kind of body that a route takes."""
    routes = {route.body: route.name for route in API if route.body is not None}
    return tuple(
        Decoder(
            f"body of {body.__name__}",
            lambda data, _, body=body, name=name: read_body(data, body, name),  # type: ignore[misc]
            (*map(msgspec.json.encode, _BODIES[body]), b'{"unknown": [{}]}'),
            "json",
        )
        for body, name in routes.items()
    )


def _frames(name: str, kind: Any, values: tuple[Any, ...]) -> tuple[Decoder, ...]:
    whole = _packed(values)
    framed = tuple(struct.pack("<I", len(one)) + one for one in whole)
    return Decoder(f"frames {name}", _framed(kind), framed), Decoder(
        f"messages {name}", _whole_frame(kind), whole, "msgpack"
    )


_JOURNAL, _CACHE = _made(_write_journal, "journal"), _made(_write_cache, "cache")
_SIZES = _made(_write_sizes, "sizes")
_TABLE = _made(_write_table, f"{_NAME}.table")
_LINES = tuple(map(msgspec.json.encode, _EVENTS))
_HEAD = b"HTTP/1.1 404 Not Found\r\nContent-Length: 5\r\n\r\n"
_DIRECTORY = [bytes(32), [[b"a", bytes(16), 64, 5, bytes(16)]], 2, 30, False]
_CACHE_TABLE = msgspec.msgpack.encode([{b"/": _DIRECTORY}, {b"/home": _DIRECTORY}, 0, ["damage/1"], bytes(32)])

ROWS = (
    Decoder("index table of this host", _table, (_TABLE,)),
    Decoder("index table under its checksum", _rehashed_table, (_TABLE,)),
    Decoder("journal", _journal, (_JOURNAL,)),
    Decoder(
        "journal's record under its checksum",
        _journal_record,
        _packed((journal.JournalBlock(bytes(32), 5000, 1, [(80, 60, 900, bytes(64))]),
                 journal.JournalPublished([bytes(32)]), journal.JournalCheckpoint(1, 4096))),
        "msgpack",
    ),
    Decoder(
        "user-dirs.dirs",
        lambda data, _: parse_user_dirs(data, b"/home/anna"),
        (b'# mine\nXDG_MUSIC_DIR="$HOME/My \\"Music\\""\nXDG_VIDEOS_DIR="/srv/films"\n',),
    ),
    Decoder("states of files", _states, (_made(_write_states, "states"),)),
    Decoder(
        "frame of states of files",
        _states_frame,
        _packed((file_states.Frame([FileState(path=b"/source/file", state="failed", reason="why")], 7),)),
        "msgpack",
    ),
    Decoder("file cache", _cache, (_CACHE,)),
    Decoder("file cache's table under its checksum", _cache_table, (_CACHE_TABLE,), "msgpack", gives_error=True),
    Decoder(
        "file cache's rows under their checksum",
        _cache_rows,
        (msgspec.msgpack.encode([Row(b"a", b"s", ENCODED[1])]),),
        "msgpack",
    ),
    Decoder("stamps in a file cache", lambda data, _: shape_of(data), (signature(os.lstat("/")),)),
    Decoder("largest sizes", _sizes, (_SIZES,)),
    Decoder(
        "largest sizes' notes under their checksum",
        _sizes_notes,
        (msgspec.msgpack.encode([["snapshots/a"], [], ["snapshots/b"]]),),
        "msgpack",
    ),
    Decoder(
        "snapshots seen",
        _seen,
        (b"snapshots/b" + b"0" * 32 + b"/20261121t210710z-" + b"1" * 32 + b"\n",),
        "text",
    ),
    Decoder(
        "when something was first seen",
        _first_seen,
        _packed(({"index/a": first_seen.Seen("b", "boot", 1.5, 7)},)),
        "msgpack",
    ),
    Decoder(
        "counted areas",
        _counted_areas,
        (
            msgspec.json.encode(
                Statistics(
                    repository="r",
                    as_of_ns=1,
                    stored_bytes=2,
                    sets=[SetAreas(set="a", set_id="b", snapshot=None, data=Area(files=1), retention=Area())],
                )
            ),
        ),
        "json",
    ),
    Decoder(
        "until when objects are locked",
        _known_locks,
        _packed(({"blocks/aa/x": 1_800_000_000_000_000_000, "index/a": 7},)),
        "msgpack",
    ),
    *_frames("to a job", ToJob, (*_ORDERS, *_REPLIES)),
    *_frames("from a job", events.FromJob, _EVENTS),
    *_frames("to a worker", work.ToWorker, _WORK),
    *_frames("from a worker", work.FromWorker, _RESULTS),
    *_frames("to who hears of changes", heard.Listen, (heard.Listen(trees=[b"/a"], directories=[b"/b"]),)),
    *_frames("from who hears of changes", heard.Heard, (heard.Heard(come=[b"/a/b"], changed=[b"/a/c"], error="e"),)),
    *_bodies(),
    Decoder(
        "answer of a daemon",
        _answer,
        (b"HTTP/1.0 200 OK\r\n\r\n" + b"\n".join(_LINES) + b"\n", _HEAD + _FAILURE),
        "text",
        (BackupError, ConnectionError),
    ),
    Decoder("line of a daemon", _line, _LINES, "json"),
    Decoder("failure told by a daemon", _failure, (_FAILURE,), "json", gives_error=True),
    Decoder("stored request", lambda data, _: JobRequest.restored(data), (_STORED,), "msgpack", MALFORMED),
)  # fmt: skip
