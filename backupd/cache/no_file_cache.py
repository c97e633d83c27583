"""The file cache of a run that keeps nothing: no file is made."""

from __future__ import annotations

from collections.abc import Iterator

from backupd.cache.file_cache import CachedDirectory, FileCache, FileCacheWriter, PieceRef, Row


class _NoCache(FileCache):
    def __init__(self) -> None:
        """Of no file."""

    def directory(self, path: bytes) -> CachedDirectory | None:
        """Nothing is known."""
        return None

    def below(self, path: bytes) -> list[bytes]:
        """Nothing is known."""
        return []


NO_CACHE: FileCache = _NoCache()
"""Stands for a cache where what is known comes from elsewhere."""


class NoFileCache(FileCacheWriter):
    """Takes what a run saw, and forgets it."""

    def __init__(self, path: str, options: bytes, damage: set[str]) -> None:
        """path: where the cache would lie."""
        self.path, self.temporary = path, path + ".part"

    def add_piece(self, first_name: bytes, digest: bytes, rows: list[Row], plain: int = 0) -> PieceRef:
        """Nothing is written."""
        return PieceRef(first_name, b"", 0, 0, b"")

    def add_directory(self, path: bytes, directory: CachedDirectory) -> None:
        """Nothing is written."""

    def carry(self, source: FileCache, path: bytes, directory: CachedDirectory) -> None:
        """Nothing is written."""

    def checkpoint(self, unfinished: Iterator[tuple[bytes, CachedDirectory]], root: bytes) -> int:
        """Nothing is written; of directories under way nothing is asked."""
        return 0

    def finish(self, root: bytes, token: bytes = b"") -> None:
        """Nothing was written."""

    def finish_as_is(self) -> None:
        """Nothing was written."""

    def discard(self) -> None:
        """Nothing was written."""

    def keep_part(self) -> None:
        """Nothing was written."""
