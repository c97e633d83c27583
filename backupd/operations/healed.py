"""Damaged blocks that a job read by their parity, each told once."""

from __future__ import annotations

from collections.abc import Callable

from backupd.block.layout import block_name


class HealedBlocks:
    """Those of one place, told as warnings. For one thread at a time."""

    def __init__(self, warn: Callable[[str], object], shown: str) -> None:
        """shown: the place, as people wrote it."""
        self._warn, self._shown = warn, shown
        self._told: set[bytes] = set()

    def note(self, block_id: bytes) -> None:
        """Some of a block was read so."""
        if block_id not in self._told:
            self._told.add(block_id)
            self._warn(
                f"{block_name(block_id)} in {self._shown} is damaged: what was read of it was healed from its parity; "
                "`bkctl check --crc` tells and records how it lies there"
            )
