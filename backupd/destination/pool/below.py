"""A folder of a pool as a whole place: what opens PLACE/ID for reading has no store of its own there."""

from __future__ import annotations

from backupd.destination.contract import Below, Store


class BelowPool(Below):
    """The same type; every name with a prefix."""

    def __init__(self, inner: Store, folder: str) -> None:
        super().__init__(inner, folder)
        self._whole, self._name = inner, folder

    @property
    def may_leave_temporaries(self) -> bool:
        """As of the whole pool."""
        return self._whole.may_leave_temporaries

    def top_names(self) -> list[str]:
        """By a listing of all below it."""
        return sorted({info.name.partition("/")[0] for info in self.list("")})

    def remove_temporaries(self, folder: str, tag: str) -> int:
        """Temporary names lie beside the folders at the top of the pool, this one among them."""
        return self._whole.remove_temporaries(self._name, tag)

    def remove_empty_folders(self, name: str) -> None:
        """Remove empty folders below one."""
        self._whole.remove_empty_folders(f"{self._name}/{name}")
