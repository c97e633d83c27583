"""A piece of work of a storing worker whose chunks are read and named."""

from __future__ import annotations

import msgspec

from backupd.model import work


class NewChunk(msgspec.Struct, frozen=True):
    """A chunk read and named, waiting for the word whether it is lacking."""

    data: bytes | memoryview
    id: bytes
    salt: bytes
    is_compressible: bool


class Asked(msgspec.Struct, frozen=True):
    """A piece of work whose question is out."""

    task: int
    step: int
    chunks: list[NewChunk]
    done: work.FilesDone | work.RegionStep
    last: work.RegionDone | None = None
    is_alone: bool = False
