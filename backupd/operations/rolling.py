"""Remembers when each block of a place was read by a check, and tells what is covered."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from backupd.cache import verified_blocks
from backupd.errors import AccessError, StateError, StateFullError
from backupd.operations.context import JobContext
from backupd.operations.places import OpenPlace
from backupd.rules import moments
from backupd.rules.rolling import WINDOW_DAYS, coverage, next_share


class VerifiedBlocks:
    """Of one place, for one check."""

    def __init__(self, context: JobContext, place: OpenPlace) -> None:
        self._context = context
        name = f"{place.repository.text_id}-{os.path.basename(place.cache)}"
        self._path = os.path.join(context.directories.state, "verified", name)
        self._times = verified_blocks.load(self._path)
        self._has_grown = False

    def next_share(self, sizes: Mapping[bytes, int], permille: int) -> list[bytes]:
        """The blocks to read now, those first that were read longest ago."""
        now = self._context.clock.now_ns() // 1_000_000_000
        # What a wrong clock dated ahead would never come.
        times = {one: at for one, at in self._times.items() if at <= now}
        return next_share(sizes, times, permille)

    def note(self, block_id: bytes) -> None:
        """It was read now, whatever was found in it."""
        self._times[block_id] = self._context.clock.now_ns() // 1_000_000_000
        self._has_grown = True

    def keep(self, sizes: Mapping[bytes, int]) -> None:
        """Write down what is known of the blocks that are there; where that fails it is told."""
        if not self._has_grown or self._context.directories.is_temporary:
            return
        try:
            verified_blocks.save(self._path, {one: at for one, at in self._times.items() if one in sizes})
        except (AccessError, StateError, StateFullError) as error:
            self._context.warn(f"it could not be noted which blocks were verified: {error.message}")

    def result(self, sizes: Mapping[bytes, int]) -> dict[str, Any]:
        """How much of what is there was read lately."""
        found = coverage(sizes, self._times, self._context.clock.now_ns() // 1_000_000_000)
        oldest = found.oldest_seconds
        return {
            "days": WINDOW_DAYS,
            "total_bytes": found.total_bytes,
            "verified_bytes": found.verified_bytes,
            "never_bytes": found.never_bytes,
            "oldest": moments.rfc3339(oldest * 1_000_000_000, self._context.zone) if oldest is not None else None,
        }
