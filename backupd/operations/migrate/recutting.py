"""A file's content from the repository, cut and named as a run would do it now (docs/format.md, Cutting)."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator
from typing import Protocol

import msgspec
from blake3 import blake3

from backupd.chunk.cutter import Cutter
from backupd.chunk.identity import ZERO_SALT, path_salt, set_salt
from backupd.chunk.size_class import REGION_BYTES, SAMPLE_BYTES, WHOLE_FILE_BYTES, average_bytes, choose_class
from backupd.errors import FormatError
from backupd.operations.backup.lineage import Fitness
from backupd.operations.backup.reading import BATCH_BYTES
from backupd.operations.migrate.known import Known
from backupd.repository.sampling import Sampler
from backupd.sizes import MIB
from backupd.tree.entry import Chunks, ChunkTree, Content, Entry, Extra
from backupd.tree.lists import iterate_chunks, make_content
from backupd.tree.nodes import Load

_STEP_BYTES = 8 * MIB
_KNOWN_BYTES = 128 * MIB
_LIST_BYTES = 70
"""Of one chunk in a list, in memory."""


class ChunkStore(Protocol):
    """Where chunks and nodes go."""

    def add(self, parts: list[memoryview], salt: bytes, *, is_compressible: bool) -> bytes:
        """Ids of chunks, 32 bytes each."""
        ...

    def add_node(self, node: bytes) -> bytes:
        """The id of a node."""
        ...


class Naming(msgspec.Struct, frozen=True):
    """How a set names its chunks now."""

    set_id: bytes
    deduplication: str
    """`path`, `set` or `repository`."""

    def salt(self, entry: Entry, path: bytes, *, is_named_alike: bool) -> bytes:
        """The scope salt of a file. is_named_alike: it was named in the scope that is wanted now."""
        if self.deduplication == "path":
            own = entry.extra.salt if entry.extra is not None and is_named_alike else None
            return own or path_salt(self.set_id, path)
        return set_salt(self.set_id) if self.deduplication == "set" else ZERO_SALT


class Recutter:
    """Of one set. Not for several threads at once."""

    def __init__(
        self, naming: Naming, seed: int, chosen_class: int | None, load: Load, turn: Callable[[int], None]
    ) -> None:
        """load: chunks as they are stored, verified. turn: hears between two of them how many bytes were read."""
        self._naming, self._seed, self._chosen_class = naming, seed, chosen_class
        self._load, self._turn = load, turn
        self._sampler = Sampler()
        self.known: Known[Content] = Known(_KNOWN_BYTES)
        """New content by the old one."""

    def recut(self, entry: Entry, path: bytes, fitness: Fitness, store: ChunkStore) -> Entry:
        """The entry of a file with the same bytes and metadata. Raises DamageError, FormatError among them."""
        salt = self._naming.salt(entry, path, is_named_alike=fitness.is_named_alike)
        key = content_key(entry, salt)
        content = self.known.get(key)
        if content is None:
            content = self._content(entry, salt, store)
            count = len(content.lengths) if isinstance(content, Chunks) else 2
            self.known.add(key, content, _LIST_BYTES * count)
        own = salt if self._naming.deduplication == "path" else None
        extra: Extra | None = msgspec.structs.replace(entry.extra or Extra(), salt=own)
        return msgspec.structs.replace(entry, content=content, extra=None if extra == Extra() else extra)

    def _content(self, entry: Entry, salt: bytes, store: ChunkStore) -> Content:
        old = _OldContent(entry, self._load)
        ids, lengths, size_class = bytearray(), array("I"), 0
        # As workers do it: what a small file holds is cut only where it is more than one chunk.
        is_whole = old.byte_count <= WHOLE_FILE_BYTES and entry.size <= BATCH_BYTES
        is_compressible = True
        if not is_whole:
            is_compressible = self._sampler.is_compressible(old.byte_count, old.sample)
            size_class = choose_class(entry.size, not is_compressible, None, self._chosen_class)
        cutter = None if is_whole else Cutter(average_bytes(size_class), self._seed)
        for parts in _pieces(old.stream(self._turn), cutter):
            ids += store.add(parts, salt, is_compressible=is_compressible)
            lengths.extend(len(part) for part in parts)
        return make_content(size_class, bytes(ids), lengths, store.add_node)


class _OldContent:
    """The chunks of a file as they are stored."""

    def __init__(self, entry: Entry, load: Load) -> None:
        self._load = load
        self._ids, self._lengths = bytearray(), array("I")
        for chunk_id, length in iterate_chunks(entry.content, entry.size, load):
            self._ids += chunk_id
            # Of an only chunk the list says the size of the file, which may have holes.
            self._lengths.append(len(load(chunk_id)) if isinstance(entry.content, bytes) else length)
        self.byte_count = sum(self._lengths)
        is_sparse = entry.extra is not None and entry.extra.extents is not None
        if self.byte_count > entry.size or (self.byte_count < entry.size and not is_sparse):
            raise FormatError(f"{entry.name!r} has {self.byte_count} bytes where {entry.size} are due")

    def sample(self, start: int) -> bytes:
        """So many bytes as tell whether it can be compressed."""
        found, at = bytearray(), 0
        for number, length in enumerate(self._lengths):
            if at + length > start and at < start + SAMPLE_BYTES:
                found += self._chunk(number)[max(0, start - at) : start + SAMPLE_BYTES - at]
            at += length
        return bytes(found)

    def stream(self, turn: Callable[[int], None]) -> Iterator[bytes]:
        """All of it in order."""
        for number in range(len(self._lengths)):
            data = self._chunk(number)
            turn(len(data))
            yield data

    def _chunk(self, number: int) -> bytes:
        data = self._load(bytes(self._ids[32 * number : 32 * number + 32]))
        if len(data) != self._lengths[number]:
            raise FormatError(f"a chunk has {len(data)} bytes where its list says {self._lengths[number]}")
        return data


def _pieces(stream: Iterator[bytes], cutter: Cutter | None) -> Iterator[list[memoryview]]:
    """The new chunks in order, some at a time. cutter: None: all of it is one chunk."""
    buffer, at = bytearray(), 0
    for data in stream:
        buffer += data
        while cutter is not None and len(buffer) >= _STEP_BYTES:
            done, parts = _cut(bytes(buffer[:_STEP_BYTES]), at, cutter, is_last=False)
            yield parts
            del buffer[:done]
            at += done
    while buffer:
        whole = bytes(buffer)
        done, parts = (len(whole), [memoryview(whole)]) if cutter is None else _cut(whole, at, cutter, is_last=True)
        yield parts
        del buffer[:done]
        at += done


def _cut(data: bytes, start: int, cutter: Cutter, *, is_last: bool) -> tuple[int, list[memoryview]]:
    """(bytes that were cut, chunks) of a stretch of content up to the next border, which all who cut share."""
    border = REGION_BYTES - start % REGION_BYTES
    view = memoryview(data)[:border]
    parts: list[memoryview] = []
    done = 0
    for length in cutter.cut(view, is_last or len(view) == border):
        parts.append(view[done : done + length])
        done += length
    return done, parts


def content_key(entry: Entry, salt: bytes) -> bytes:
    """32 bytes: equal for files that are stored alike now and are to be stored alike. Its size decides on its class."""
    digest = blake3(salt + entry.size.to_bytes(8, "little"))
    content = entry.content
    if isinstance(content, bytes):
        digest.update(b"1" + content)
    elif isinstance(content, Chunks):
        digest.update(b"2" + content.ids)
    elif isinstance(content, ChunkTree):
        digest.update(b"3" + content.root)
    return digest.digest()
