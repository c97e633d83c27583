"""A tree that is equal to an older one but for the chunk lists of its files; what stays is seen to be there."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from backupd.cache.index_tables import IndexTables
from backupd.chunk.identity import Identity, node_key
from backupd.errors import FormatError
from backupd.operations.backup.lineage import Fitness
from backupd.operations.migrate.known import Known
from backupd.operations.migrate.recutting import Recutter
from backupd.operations.new_chunks import NewChunks
from backupd.sizes import MIB
from backupd.tree.depth import TOO_DEEP, is_too_deep
from backupd.tree.entry import Chunks, ChunkTree, Entry, Kind, encode
from backupd.tree.lists import iterate_chunks, list_references
from backupd.tree.nodes import Load, NodeBuilder
from backupd.tree.omitting import entries_as_stored
from backupd.tree.reaching import long_values

_KNOWN_BYTES = 64 * MIB
_ASKED_BYTES = 32 * 8192


class _Directory:
    """One that is under way."""

    def __init__(self, node: bytes, path: bytes, load: Load, builder: NodeBuilder) -> None:
        self.node, self.path, self.builder = node, path, builder
        self.entries: Iterator[tuple[Entry, bytes]] = entries_as_stored(node, load)
        self.waiting: tuple[Entry, bytes] | None = None
        """The entry of the directory in it that is made now."""


class TreeRecutter:
    """Of one set. One thread calls everything here."""

    def __init__(
        self, chunk_id_key: bytes, tables: IndexTables, load: Load, recutter: Recutter, *, is_by_path: bool
    ) -> None:
        """is_by_path: each path is a scope of its own. load: chunks as they are stored, verified."""
        self._node_key, self._identity = node_key(chunk_id_key), Identity(chunk_id_key)
        self._tables, self._load, self._recutter, self._is_by_path = tables, load, recutter, is_by_path
        self._known: Known[bytes] = Known(_KNOWN_BYTES)
        """New top node of a directory by the old one."""
        self._kept = bytearray()
        """Ids of what stays as it is, not asked for yet."""

    def apply(self, root: bytes, fitness: Fitness, store: NewChunks) -> bytes:
        """The top node of the new tree; the same where nothing is to be changed.

        root: of a tree that stands for `/`. Raises DamageError of what can't be read, FormatError among them;
        NewerVersionError where an entry has parts that would be lost.
        """

        def begin(node: bytes, path: bytes) -> _Directory:
            return _Directory(node, path, self._load, NodeBuilder(self._node_key, store.add_node))

        stack, made = [begin(root, b"")], b""
        # A stack of our own: trees may be deeper than Python's.
        while stack:
            directory = stack[-1]
            if directory.waiting is not None:
                entry, encoded = directory.waiting
                kept = encoded if made == entry.content else encode(msgspec.structs.replace(entry, content=made))
                directory.builder.add(entry.name, kept)
                directory.waiting = None
            found = next(directory.entries, None)
            if found is None:
                made = directory.builder.finish()
                self._known.add(self._key(directory.node, directory.path, fitness), made, len(made))
                stack.pop()
                continue
            entry, encoded = found
            if entry.kind == Kind.DIRECTORY and isinstance(entry.content, bytes):
                path = directory.path + b"/" + entry.name
                if is_too_deep(path):
                    raise FormatError(f"{path!r} {TOO_DEEP}")
                self._keep(entry)
                directory.waiting = found
                known = self._known.get(self._key(entry.content, path, fitness))
                if known is None:
                    stack.append(begin(entry.content, path))
                else:
                    made = known
            else:
                directory.builder.add(entry.name, self._entry(entry, encoded, directory.path, fitness, store))
        self._ask()
        return made

    def keep(self) -> None:
        """The snapshot that was made last stands: what was made for it may be relied on."""
        self._known.keep()
        self._recutter.known.keep()

    def undo(self) -> None:
        """It does not stand."""
        self._known.undo()
        self._recutter.known.undo()
        self._kept.clear()

    def clear(self) -> None:
        """Rely on nothing that was made before."""
        self._known.clear()
        self._recutter.known.clear()

    def _key(self, node: bytes, path: bytes, fitness: Fitness) -> bytes:
        """Of a directory: what becomes of it hangs on how its files were stored, too."""
        what = bytes([fitness.is_named_alike, fitness.is_cut_alike]) + node
        return self._identity.chunk_id(what + path if self._is_by_path else what)

    def _entry(self, entry: Entry, encoded: bytes, above: bytes, fitness: Fitness, store: NewChunks) -> bytes:
        self._keep(entry)
        if not fitness.is_well(entry):
            return encode(self._recutter.recut(entry, above + b"/" + entry.name, fitness, store))
        content = entry.content
        if entry.kind == Kind.FILE and isinstance(content, bytes):
            self._kept += content
        elif isinstance(content, Chunks):
            self._kept += content.ids
        elif isinstance(content, ChunkTree):
            self._kept += b"".join(list_references(content, self._load))
            for chunk_id, _ in iterate_chunks(content, entry.size, self._load):
                self._kept += chunk_id
                self._ask_if_many()
        self._ask_if_many()
        return encoded

    def _keep(self, entry: Entry) -> None:
        """Of its long attribute values."""
        for value in long_values(entry):
            self._kept += value.id

    def _ask_if_many(self) -> None:
        if len(self._kept) >= _ASKED_BYTES:
            self._ask()

    def _ask(self) -> None:
        """What stays as it is has to be there: else the old snapshot is not whole, and is not replaced.

        One that is about to be freed, or is known as damaged, is read: the old snapshot, a base, keeps it meanwhile.
        """
        asked = bytes(self._kept)
        self._kept.clear()
        for at, is_there in enumerate(self._tables.has_many(asked) if asked else b""):
            if not is_there:
                self._load(asked[32 * at : 32 * at + 32])
