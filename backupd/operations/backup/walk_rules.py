"""What a walk goes by: sources, filters, caches, and who reads the files that it finds."""

from __future__ import annotations

import os
from typing import Protocol

import msgspec
from blake3 import blake3

from backupd.cache.file_cache import FileCache, Row
from backupd.operations.backup.building import DirectoryBuild, Slice
from backupd.rules.filtering import Filters
from backupd.rules.left_out import LeftOut
from backupd.source.scanner import Seen
from backupd.tree.entry import Stored


class Reading(Protocol):
    """Who reads the files that the walk finds; `reading.FileReading`, or nobody in a dry run."""

    def link_group(self, stat: os.stat_result, directory: bytes, name: bytes) -> bytes | None:
        """The 16 bytes that all names of a file share."""
        ...

    def note_clean(self, stat: os.stat_result, directory: bytes, name: bytes) -> None:
        """A file in a slice that is taken over."""
        ...

    def note_reused(self, stat: os.stat_result, encoded: bytes) -> None:
        """A file whose cached entry is taken."""
        ...

    def may_reuse(self, encoded: bytes) -> bool:
        """Whether a cached entry may be taken."""
        ...

    def stored(self, value: bytes) -> bytes | Stored:
        """An attribute value as entries hold it."""
        ...

    def read(self, build: DirectoryBuild, piece: Slice, index: int, seen: Seen, row: Row | None) -> None:
        """Have a file read; its entry comes to the slice later."""
        ...


class WalkRules(msgspec.Struct, frozen=True):
    """What is taken in, and how far the cache counts."""

    sources: list[bytes]
    """Absolute, none inside another."""
    named: set[bytes]
    """Sources inside others: filters are not asked about them."""
    filters: Filters
    left_out: LeftOut
    leaves_out_files: bool
    """Whether single files (swap files) may be among what is left out."""
    one_file_system: bool
    network_devices: set[int]


class Caches(msgspec.Struct, frozen=True):
    """What earlier runs saw, the newest first."""

    found: list[FileCache]
    reusable: set[int]
    """Places in `found` whose whole trees may be taken over."""


def options_digest(parts: list[bytes]) -> bytes:
    """16 bytes over all that shapes a tree: filters, options, format version."""
    return blake3(b"\0".join(parts)).digest(16)
