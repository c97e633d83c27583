"""What a set keeps on this machine to be quick: all, the lists of large files alone, or nothing (FEATURES 5.2)."""

from __future__ import annotations

from typing import Literal

from backupd.model.structs import Number, Strict

CacheMode = Literal["full", "auto", "none"]
DEFAULT_MIN_SIZE = "500KB"
"""With `auto`: of files below that no list of chunks is kept."""


class CacheUse(Strict, frozen=True, kw_only=True):
    """How a job uses the cache of a place."""

    mode: CacheMode = "full"
    min_bytes: Number = 0
    """With `auto`: the chunks of smaller files are not kept."""


FULL = CacheUse()
