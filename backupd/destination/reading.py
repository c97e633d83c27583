"""A destination that is read with the process's own rights while all else is done with a caller's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from backupd.destination.contract import Buffers, Copy, Destination, Forwarding, ObjectInfo
from backupd.errors import DestinationRefusedError
from backupd.rights import Rights


class _CopyWithOwnRights:
    """A copy of an object, read as the object is."""

    def __init__(self, inner: Copy, rights: Rights) -> None:
        self._inner, self._rights = inner, rights
        self.where = inner.where

    def get(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        with self._rights.raised():
            return self._inner.get(name, offset, length)


class ReadWithOwnRights(Forwarding):
    """The same type; for one thread, and for reading alone."""

    def __init__(self, inner: Destination, rights: Rights) -> None:
        super().__init__(inner)
        self._rights = rights

    def put(self, name: str, buffers: Buffers) -> None:
        """Nothing is written for a caller. Raises DestinationRefusedError."""
        raise _refused(name)

    def get(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        """Read an object."""
        with self._rights.raised():
            return self._inner.get(name, offset, length)

    def copies(self, name: str) -> Sequence[Copy]:
        """As of the inner one."""
        with self._rights.raised():
            return [_CopyWithOwnRights(copy, self._rights) for copy in super().copies(name)]

    def size(self, name: str) -> int | None:
        """Measure an object."""
        with self._rights.raised():
            return self._inner.size(name)

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """List objects; all at once, so that no rights stay raised between two of them."""
        with self._rights.raised():
            found = [*self._inner.list(prefix)]
        yield from found

    def delete(self, name: str) -> None:
        """Nothing is deleted for a caller. Raises DestinationRefusedError."""
        raise _refused(name)

    def free_bytes(self) -> int | None:
        """As of the inner one."""
        with self._rights.raised():
            return self._inner.free_bytes()


def _refused(name: str) -> DestinationRefusedError:
    return DestinationRefusedError(
        f"{name} is not changed: this job only reads", hint="an administrator runs what changes a destination"
    )
