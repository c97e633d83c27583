"""The head of an archive of mongodump: what it is of, however its bytes come, and what is none."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator

import bson
import pytest

from backupd.operations.streams import mongodb_archive
from backupd.operations.streams.mongodb_archive import read_head
from backupd.store_errors import StreamError
from tests.support.mongodb_archives import archive

_NAMES = (("shop", "item"), ("shop", "é"), ("", "oplog"))


@pytest.mark.parametrize("piece_bytes", [1, 7, 1 << 20])
@pytest.mark.parametrize("is_gzip", [False, True])
def test_it_says_what_it_is_of_and_nothing_is_lost(piece_bytes: int, is_gzip: bool) -> None:
    data = archive(*_NAMES, documents=50, is_gzip=is_gzip)
    pieces = (data[at : at + piece_bytes] for at in range(0, len(data), piece_bytes))
    head, whole = read_head(pieces)
    assert head == (frozenset(_NAMES), is_gzip)
    assert head.has_oplog
    assert b"".join(whole) == data


def test_it_waits_for_no_more_than_the_head() -> None:
    """A dump may be at its first collection for hours."""

    def pieces() -> Iterator[bytes]:
        yield archive(("shop", "item"))
        pytest.fail("more was asked for")

    assert read_head(pieces())[0].namespaces == {("shop", "item")}


def test_of_nothing_it_has_no_collections() -> None:
    head, _ = read_head(iter([archive()]))
    assert (head.namespaces, head.has_oplog) == (frozenset(), False)


def test_values_of_any_common_kind_are_passed_over() -> None:
    odd = {"a": 1.5, "b": True, "c": None, "d": {"x": [1, 2]}, "e": [{"db": "wrong"}], "f": bson.Int64(7)}
    data = archive()[:-4] + bson.encode({**odd, "db": "shop", "collection": "item"}) + b"\xff\xff\xff\xff"
    assert read_head(iter([data]))[0].namespaces == {("shop", "item")}


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "ends in its head"),
        (b"PGDMP and so on", "does not begin as one"),
        (archive(("shop", "item"))[:150], "ends in its head"),
        (archive()[:-4] + b"\x04\0\0\0", "more than a document can hold"),
        (archive()[:-4] + b"\xf0\xff\xff\x7f", "more than a document can hold"),
        (archive()[:-4] + bson.encode({"db": "shop"}), "collection without a name"),
        (archive()[:-4] + bson.encode({"db": bson.ObjectId()}), "in a way that nobody knows"),
        (archive()[:-4] + b"\x0c\0\0\0\x02db\0\xff\0\0\0", "in a way that nobody knows"),
        (gzip.compress(b"no archive"), "does not begin as one"),
        (archive(("shop", "item"), is_gzip=True)[:60], "ends in its head"),
        (b"\x1f\x8b" + bytes(100), "rror"),
    ],
)
def test_what_is_none_is_told(data: bytes, said: str) -> None:
    with pytest.raises(StreamError, match=f"that is no archive of mongodump: .*{said}"):
        read_head(iter([data]))


def test_a_head_without_an_end_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever may write to a destination could else have all memory used up."""
    monkeypatch.setattr(mongodb_archive, "_MOST_HEAD_BYTES", 4 << 20)
    endless = archive()[:-4] + bson.encode({"db": "shop", "collection": "item"}) * 150_000
    for data in (endless, gzip.compress(endless)):
        with pytest.raises(StreamError, match="its head has no end"):
            read_head(iter([data]))
    begun = gzip.compress(archive()[:-4])
    with pytest.raises(StreamError, match="ends in its head"):
        read_head(iter([begun, *[bytes(1 << 20)] * 8]))
    empty = zlib.compressobj(wbits=31)
    nothing = [empty.compress(archive()[:-4]) + empty.flush(zlib.Z_FULL_FLUSH), *[b"\0\0\0\xff\xff" * 100_000] * 12]
    with pytest.raises(StreamError, match="its head has no end"):
        read_head(iter(nothing))
    monkeypatch.setattr(mongodb_archive, "_MOST_COLLECTIONS", 2)
    with pytest.raises(StreamError, match="its head has no end"):
        read_head(iter([archive(*((str(number), "item") for number in range(3)))]))
