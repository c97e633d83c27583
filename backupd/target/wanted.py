"""What something restored is to have, and how calls name it."""

from __future__ import annotations

from typing import Any

import msgspec

from backupd.tree.entry import Entry


class Wanted(msgspec.Struct, frozen=True, array_like=True):
    """What something restored is to have."""

    entry: Entry
    xattrs: list[tuple[bytes, bytes]] = []
    """In full, long values fetched."""
    owner: tuple[int, int] | None = None
    """From `owners.OwnerMap`; None: left as it is."""


class Handle(msgspec.Struct, frozen=True):
    """How a call names the thing it changes: a descriptor, or a name that is not followed."""

    where: int | bytes
    options: dict[str, Any] = {}
    """dir_fd and follow_symlinks, for calls that take them."""

    @property
    def has_xattrs(self) -> bool:
        """Whether its extended attributes can be reached."""
        return not self.options
