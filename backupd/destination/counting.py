"""Counts what a store is asked for (FEATURES 4.10); below what tries again, so that every try counts.

Bytes are those of objects that were taken or that came: names, headers, listings, and what a broken try had sent are
not in them. Not counted: opening and closing, the space left, and the upkeep of temporary names and empty folders.
"""

from __future__ import annotations

from collections.abc import Iterator

from backupd.destination.contract import Buffers, ForwardingStore, ObjectInfo, Store
from backupd.destination.meter import Meter


class Counting(ForwardingStore):
    """The same store, its calls counted."""

    def __init__(self, inner: Store, meter: Meter) -> None:
        super().__init__(inner)
        self._meter = meter

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

    def locked_until(self, name: str) -> int | None:
        """Ask for a lock; asked for as a size is."""
        try:
            return super().locked_until(name)
        finally:
            self._meter.count("size")

    def lock(self, name: str, until_ns: int) -> None:
        """Lock; a write of no bytes."""
        try:
            super().lock(name, until_ns)
        finally:
            self._meter.count("put")
