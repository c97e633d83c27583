"""How a storing run works, and what that means for each of its workers."""

from __future__ import annotations

import msgspec

from backupd.model.orders import Caller
from backupd.model.work import RepositorySetup, StoreSetup


class EngineOptions(msgspec.Struct, frozen=True):
    """How a storing run works."""

    workers: int
    compression: str
    is_checked: bool
    average_bytes: int
    grafts: dict[bytes, tuple[bytes, int]] = {}
    """Directory -> the one that is read in its place, and its st_dev or 0."""
    reads_as: Caller | None = None
    """With whose rights workers read files; None: the job's own."""


def worker_setups(setup: RepositorySetup, chunker_seed: int, options: EngineOptions, part: int) -> list[StoreSetup]:
    """The first message to each worker. part: bytes of the shared memory that are its own."""
    return [
        StoreSetup(
            setup,
            chunker_seed,
            options.compression,
            options.is_checked,
            options.average_bytes,
            number * part,
            part,
            options.grafts,
            options.reads_as,
        )
        for number in range(options.workers)
    ]
