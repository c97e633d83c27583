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
    of: str = ""
    """The same for the same snapshots, which sets share what follows from; empty: of an earlier version."""


class Savings(Struct, frozen=True, kw_only=True):
    """What the sources have and the destination has not."""

    deduplication_bytes: int
    compression_bytes: int
    """Less than nothing where sealing takes more than compression spares."""


class Areas(Struct, frozen=True, kw_only=True):
    """The areas of one set, for who is shown them."""

    as_of_ns: int
    is_current: bool
    """Whether the newest snapshot is still the one that was counted."""
    data: Area
    retention: Area
    savings: Savings


def areas_of(found: Statistics, set_id: str, newest: str | None) -> Areas | None:
    """Those of one set; None where it was not counted. newest: its newest snapshot by now."""
    one = next((one for one in found.sets if one.set_id == set_id), None)
    if one is None:
        return None
    both = one.data + one.retention
    savings = Savings(
        deduplication_bytes=both.source_bytes - both.plain_bytes,
        compression_bytes=both.plain_bytes - both.compressed_bytes,
    )
    return Areas(
        as_of_ns=found.as_of_ns,
        is_current=newest == one.snapshot,
        data=one.data,
        retention=one.retention,
        savings=savings,
    )
