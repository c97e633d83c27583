"""Counts what a store is asked for (FEATURES 4.10); below what tries again, so that every try counts.

Bytes are those of objects that were taken or that came: names, headers, listings, and what a broken try had sent are
not in them. Not counted: opening and closing, the space left, and the upkeep of temporary names and empty folders.
"""

from __future__ import annotations

from collections.abc import Iterator

from backupd.destination.contract import Buffers, Keeping, ObjectInfo, Store, Traits, keeping
from backupd.destination.meter import Meter


class Counting:
    """The same store, its calls counted."""

    def __init__(self, inner: Store, meter: Meter) -> None:
        self._inner, self._meter = inner, meter

    @property
    def traits(self) -> Traits:
        """As of the inner one."""
        return self._inner.traits

    @property
    def shown(self) -> str:
        """As of the inner one."""
        return self._inner.shown

    @property
    def may_leave_temporaries(self) -> bool:
        """As of the inner one."""
        return self._inner.may_leave_temporaries

    def put(self, name: str, buffers: Buffers) -> None:
        """Create."""
        sent = stored = 0
        try:
            self._inner.put(name, buffers)
            sent, stored = sum(map(len, buffers)), 1
        finally:
            self._meter.count("put", sent, 0, stored)

    def get(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        """Read."""
        received = 0
        try:
            data = self._inner.get(name, offset, length)
            received = len(data)
        finally:
            self._meter.count("get", 0, received)
        return data

    def size(self, name: str) -> int | None:
        """Measure."""
        try:
            return self._inner.size(name)
        finally:
            self._meter.count("size")

    def top_names(self) -> list[str]:
        """Names at the top; a listing, too."""
        try:
            return self._inner.top_names()
        finally:
            self._meter.count("list")

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """List; counted as one, however many answers it takes."""
        self._meter.count("list")
        yield from self._inner.list(prefix)

    def delete(self, name: str) -> None:
        """Remove."""
        try:
            self._inner.delete(name)
        finally:
            self._meter.count("delete")

    def keeping(self) -> Keeping:
        """As of the inner one."""
        return keeping(self._inner)

    def free_bytes(self) -> int | None:
        """Space left."""
        return self._inner.free_bytes()

    def remove_temporaries(self, folder: str, tag: str) -> int:
        """Remove a dead writer's."""
        return self._inner.remove_temporaries(folder, tag)

    def remove_empty_folders(self, name: str) -> None:
        """Remove empty folders."""
        self._inner.remove_empty_folders(name)

    def close(self) -> None:
        """Close the inner one."""
        self._inner.close()
