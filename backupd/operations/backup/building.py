"""Directories on their way to be stored: entries arrive in any order, nodes are built in name order.

A directory is cut into slices of names. A slice whose digest equals the cached one is clean: nothing in it is read and
its rows stay where they are. A directory of clean slices whose subdirectories were all taken over is taken over whole.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from typing import Protocol

import msgspec
from blake3 import blake3

from backupd.cache.file_cache import CachedDirectory, FileCache, FileCacheWriter, PieceRef, Row
from backupd.errors import DamagedCacheError
from backupd.operations.backup.choosing import Within
from backupd.source.metadata import Attributes, kept_mtime_ns
from backupd.source.scanner import Seen
from backupd.tree import entry as entries
from backupd.tree.entry import Entry, Extra, Kind, Stored
from backupd.tree.nodes import NodeBuilder, Store


class Slice:
    """A stretch of a directory's names, in order."""

    __slots__ = ("children", "clean", "encoded", "is_trusted", "names", "pending", "plain", "signatures", "unfinished")

    def __init__(self, names: list[bytes], signatures: list[bytes], clean: PieceRef | None, plain: int = 0) -> None:
        """plain: as of `PieceRef`."""
        self.plain = plain
        self.names, self.signatures = names, signatures
        self.clean = clean
        """The cached piece that equals this slice."""
        self.encoded: list[bytes | None] = [] if clean else [None] * len(names)
        self.pending = 0
        self.children: dict[int, DirectoryBuild] = {}
        self.is_trusted = True
        self.unfinished: dict[int, Callable[[], bytes | None]] = {}
        """By index: what a checkpoint stores of a file in progress."""

    def set(self, index: int, encoded: bytes, signature: bytes) -> None:
        """An entry is there; b"" leaves it out."""
        self.encoded[index] = encoded
        self.signatures[index] = signature
        if not signature:
            self.is_trusted = False


class Target(msgspec.Struct, frozen=True):
    """Where a file's entry belongs."""

    build: DirectoryBuild
    piece: Slice
    index: int
    seen: Seen
    row: Row | None


class TargetReader(Protocol):
    """Who reads what is no file."""

    def read(self, target: Target) -> None:
        """Its entry comes to the target's slice later."""
        ...


class BuildTools(msgspec.Struct, frozen=True):
    """What all directories of a run are built with."""

    hash_key: bytes
    store: Store
    cache: FileCacheWriter
    on_done: Callable[[DirectoryBuild], None]
    bare: Callable[[Row], Row] | None = None
    """Makes of a row what is kept of it; None: all is."""


class DirectoryBuild:
    """One directory of the run."""

    def __init__(self, tools: BuildTools, path: bytes, parent: DirectoryBuild | None, index: int) -> None:
        self.path = path
        self.parent, self.index = parent, index
        self.parent_slice: Slice | None = parent.open_slice if parent is not None else None
        self.stat: os.stat_result | None = None
        self.attributes: Attributes | None = None
        self.cached_entry: bytes = b""
        self.signature = b""
        self.state = 0
        self.cache: FileCache | None = None
        """Where clean slices have their rows."""
        self.cached_node = b""
        """Top node of the directory that this cache knows."""
        self.is_whole = False
        """Whether its slices may be clean: the cache vouches for all that they reach."""
        self.candidate: tuple[FileCache, CachedDirectory] | None = None
        """What it may be taken over from."""
        self.within: Within | None = None
        """What holds in it of what is left out; None: it is not looked into yet."""
        self.node = b""
        self.is_reused = False
        self.files = self.byte_count = 0
        self.has_problems = False
        self._tools = tools
        self._slices: deque[Slice] = deque()
        self._builder: NodeBuilder | None = None
        self._pieces: list[PieceRef] = []
        self._is_listed = False

    def know(self, known: tuple[FileCache, CachedDirectory, bool] | None) -> None:
        """Take in what a cache knows of it."""
        if known is not None:
            self.cache, self.cached_node = known[0], known[1].node

    @property
    def open_slice(self) -> Slice:
        """The slice that is being looked at."""
        return self._slices[-1]

    def add_slice(self, piece: Slice) -> None:
        """Begin the next slice."""
        self._slices.append(piece)
        if piece.clean is None:
            self.candidate = None

    def settled(self, piece: Slice) -> None:
        """One thing that a slice waited for is there."""
        piece.pending -= 1
        self.advance()

    def end_listing(self) -> None:
        """All slices are begun."""
        self._is_listed = True
        self.advance()

    def advance(self) -> None:
        """Flush what is whole; finish when everything is."""
        if self.node:
            return
        if self.candidate is None:
            while self._slices and not self._slices[0].pending and (self._is_listed or len(self._slices) > 1):
                self._flush(self._slices.popleft())
        if self._is_listed and not any(piece.pending for piece in self._slices):
            self._finish()

    def loose_pieces(self) -> tuple[bytes, CachedDirectory]:
        """For a checkpoint: the rows that are there so far, for the cache."""
        pieces = list(self._pieces)
        for piece in self._slices:
            rows = [row for row in self._rows_so_far(piece) if row.entry]
            if rows:
                pieces.append(self._tools.cache.add_piece(rows[0].name, b"", rows))
        return self.path, CachedDirectory(b"", pieces, self.files, self.byte_count, True)

    def partial_node(self, children: dict[bytes, bytes]) -> bytes:
        """For a checkpoint: the top node of what is there so far. children: encoded entries of open subdirectories."""
        builder = self._builder.copy() if self._builder is not None else self._new_builder()
        for piece in self._slices:
            for row in self._rows_so_far(piece):
                encoded = children.get(row.name) or row.entry
                if encoded:
                    builder.add(row.name, encoded)
        return builder.finish()

    def _rows_so_far(self, piece: Slice) -> Iterator[Row]:
        for index, row in enumerate(self._rows(piece)):
            if not row.entry and index in piece.unfinished:
                yield Row(row.name, b"", piece.unfinished[index]() or b"")
            else:
                yield row

    def encode_self(self, node: bytes, name: bytes, state: int = 0) -> bytes:
        """This directory's entry in its parent. state: bits beside its own."""
        if self.cached_entry and not state:
            known = entries.decode(self.cached_entry)
            return self.cached_entry if known.content == node else entries.encode(_with_node(known, node))
        stat = self.stat
        if stat is None:
            raise AssertionError("a directory is encoded before it was looked at")
        extra = self._extra(self.state | state)
        mode = stat.st_mode & 0o7777
        return entries.encode(
            Entry(name, Kind.DIRECTORY, mode, stat.st_uid, stat.st_gid, kept_mtime_ns(stat), 0, node, extra)
        )

    def _extra(self, state: int) -> Extra | None:
        found = self.attributes
        if found is None:
            return Extra(state=state) if state else None
        if not (found.xattrs or found.flags or found.birth_ns or state):
            return None
        xattrs = [(name, self._stored(value)) for name, value in found.xattrs]
        return Extra(None, xattrs or None, found.birth_ns, found.flags, None, None, state)

    def _stored(self, value: bytes) -> bytes | Stored:
        if len(value) <= entries.INLINE_VALUE_LIMIT:
            return value
        return Stored(self._tools.store(value), len(value))

    def _finish(self) -> None:
        if self.candidate is not None and all(c.is_reused for s in self._slices for c in s.children.values()):
            cache, known = self.candidate
            self.node, self.is_reused = known.node, True
            self._tools.cache.carry(cache, self.path, self._with_plain(known))
        else:
            while self._slices:
                self._flush(self._slices.popleft())
            builder = self._builder or self._new_builder()
            self.node = builder.finish()
            done = CachedDirectory(self.node, self._pieces, self.files, self.byte_count, self.has_problems)
            self._tools.cache.add_directory(self.path, done)
        self._slices.clear()
        self._builder = None
        self._tools.on_done(self)

    def _with_plain(self, known: CachedDirectory) -> CachedDirectory:
        """With what this run found out about the names."""
        plain, refs = [piece.plain for piece in self._slices], known.pieces
        if len(plain) != len(refs) or plain == [ref.plain for ref in refs]:
            return known
        pieces = [msgspec.structs.replace(ref, plain=one) for ref, one in zip(refs, plain, strict=True)]
        return msgspec.structs.replace(known, pieces=pieces)

    def _new_builder(self) -> NodeBuilder:
        return NodeBuilder(self._tools.hash_key, self._tools.store)

    def _flush(self, piece: Slice) -> None:
        if self._builder is None:
            self._builder = self._new_builder()
        rows = [row for row in self._rows(piece) if row.entry]
        for row in rows:
            self._builder.add(row.name, row.entry)
        if not rows and (piece.names or self._pieces):
            return
        digest = _digest(rows) if piece.is_trusted and len(rows) == len(piece.names) else b""
        first = piece.names[0] if piece.names else b""
        kept = rows if self._tools.bare is None else list(map(self._tools.bare, rows))
        self._pieces.append(self._tools.cache.add_piece(first, digest, kept, piece.plain))

    def _rows(self, piece: Slice) -> Iterator[Row]:
        if piece.clean is None:
            for name, signature, encoded in zip(piece.names, piece.signatures, piece.encoded, strict=True):
                yield Row(name, signature, encoded or b"")
            return
        # What is clean has the metadata of its cached entry; only the nodes of subdirectories may be others.
        changed = {
            piece.names[index]: child.node
            for index, child in piece.children.items()
            if child.node and not child.is_reused
        }
        for row in self._cached_rows(piece.clean):
            node = changed.get(row.name)
            if node is None:
                yield row
            else:
                yield Row(row.name, row.signature, entries.encode(_with_node(entries.decode(row.entry), node)))

    def _cached_rows(self, piece: PieceRef) -> list[Row]:
        if self.cache is None:
            raise AssertionError("a clean slice has no cache")
        rows = self.cache.rows(piece)
        found = self.cache.filled(rows, self.cached_node)
        if len(found) != len(rows):
            raise DamagedCacheError(f"the file cache {self.cache.path} does not fit its snapshot")
        return found


def _with_node(entry: Entry, node: bytes) -> Entry:
    return msgspec.structs.replace(entry, content=node)


def _digest(rows: list[Row]) -> bytes:
    # The same bytes as source.scanner.digest hashes.
    hasher = blake3(b"\0".join([row.name for row in rows]))
    hasher.update(b"\0\0")
    hasher.update(b"".join([row.signature for row in rows]))
    return hasher.digest(16)
