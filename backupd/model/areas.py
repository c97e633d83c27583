"""Statistics of what is stored: what the newest snapshot of a set holds, and what only older ones still do."""

from __future__ import annotations

from backupd.model.structs import Struct


class Area(Struct, frozen=True, kw_only=True):
    """How much one of the two areas of a set holds."""

    files: int = 0
    """Of the data area: the newest snapshot's. Of the retention area: versions of files, each that a snapshot has and
    the next newer one has otherwise or not at all."""
    source_bytes: int = 0
    """Sizes of these."""
    plain_bytes: int = 0
    """Of chunks of files, each counted once: what deduplication leaves."""
    compressed_bytes: int = 0
    """What these take, compressed and sealed."""
    stored_bytes: int = 0
    """The same with trees, directories of blocks and parity: what the area takes of the destination."""

    def __add__(self, other: Area) -> Area:
        """Both together."""
        return Area(**{name: getattr(self, name) + getattr(other, name) for name in self.__struct_fields__})


class SetAreas(Struct, frozen=True, kw_only=True):
    """A set at one destination."""

    set: str
    set_id: str
    """As its snapshots name it."""
    snapshot: str | None
    """The newest complete one."""
    data: Area
    retention: Area


class Statistics(Struct, frozen=True, kw_only=True):
    """A repository at one destination, as a job that read all of it found it. What sets share the first of them has."""

    repository: str
    as_of_ns: int
    stored_bytes: int
    """All blocks, also what nobody needs any more."""
    sets: list[SetAreas] = []
