"""A meter for each place of a job (destination.meter)."""

from __future__ import annotations

from backupd.destination.meter import Meter
from backupd.destination.stores import canonical
from backupd.errors import UsageError
from backupd.model.places import is_pool, split_inside
from backupd.repository.identity import is_id_text


class Meters:
    """One for each place; a member that a pool uses alone counts as the pool. Safe from several threads."""

    def __init__(self) -> None:
        self._of_addresses: dict[str, Meter] = {}
        self._of_places: dict[str, Meter] = {}

    def of(self, address: str) -> Meter:
        """That of a place, whether or not a repository there is named.

        One address has one meter for good: with a caller's rights a path may look otherwise than with our own.
        """
        above, last = split_inside(address)
        whole = above if is_id_text(last) else address
        found = self._of_addresses.get(whole)
        if found is None:
            found = self._of_addresses[whole] = self._of_places.setdefault(_key(whole), Meter())
        return found


def _key(address: str) -> str:
    try:
        key = canonical(address)
    except UsageError:
        # Who opens it says so.
        return address
    return key.partition("?")[0] if is_pool(key) else key
