"""Whether two snapshots hold the same: told by a name for what a tree holds of its sources."""

from __future__ import annotations

from collections.abc import Sequence

from blake3 import blake3

from backupd.tree.entry import Entry, Kind, encode
from backupd.tree.nodes import Load, find_entry


def content_name(root: bytes, sources: Sequence[bytes], load: Load) -> bytes:
    """The same for trees that hold the same of these paths, whatever the directories above them are like.

    root: of the tree. sources: absolute paths, no trailing slash. Raises DamageError of a node that can't be had.
    """
    digest = blake3()
    for source in sorted(set(sources)):
        parts = [part for part in source.split(b"/") if part]
        held = root if not parts else _entry_at(root, parts, load)
        digest.update(len(source).to_bytes(4, "big") + source + len(held).to_bytes(4, "big") + held)
    return digest.digest()


def _entry_at(root: bytes, parts: Sequence[bytes], load: Load) -> bytes:
    """The encoding of an entry, which names all below it; nothing where there is none."""
    node: bytes | None = root
    entry: Entry | None = None
    for part in parts:
        entry = find_entry(node, part, load) if node is not None else None
        is_directory = entry is not None and entry.kind == Kind.DIRECTORY
        node = entry.content if is_directory and entry is not None and isinstance(entry.content, bytes) else None
    return encode(entry) if entry is not None else b""
