"""What a job of the daemon is asked to do, as it is queued and kept in the catalog: without secrets."""

from __future__ import annotations

import msgspec

from backupd.model.jobs import JobKind
from backupd.model.orders import CheckOrder, FreeOrder, ReplicateOrder, RestoreOrder, Unlock
from backupd.model.purge_orders import PurgeOrder
from backupd.model.store_access import NO_ACCESS
from backupd.model.structs import Struct
from backupd.model.watching import WatchedSince


class BackupRequest(Struct, frozen=True, kw_only=True):
    """A run of a set; its orders are made when it begins, of the set as it is then."""

    to: list[str] = []
    """Ids of destinations; empty: all of the set's."""
    tags: dict[str, str] = {}
    stop_after_seconds: int | None = None
    dry_run: bool = False
    upload_rate: int | None = None
    download_rate: int | None = None
    estimate: bool = False
    retention: bool = False
    """Whether each destination's policy is applied there when the run was good."""
    migrate: bool = False
    """Whether what is not stored as the set wants it now is stored anew; a set may say so of all its runs."""
    schedule: str | None = None
    """Name of the schedule that asked for it."""
    window: str | None = None
    """Times between which it may work, in the set's zone; else it waits or pauses."""
    not_before_ns: int = 0
    """When it is tried again."""
    attempt: int = 0
    """How often it was tried before."""
    waits_because: str = ""
    """What went wrong then."""
    watched: WatchedSince | None = None
    """Something changed in the sources, which are watched."""
    seed_place: str | None = None
    """Directory on a disk to store in, in place of the destination that it is for."""


class JobRequest(Struct, frozen=True, kw_only=True):
    """One job: a backup, or the order of something else."""

    kind: JobKind
    backup: BackupRequest | None = None
    restore: RestoreOrder | None = None
    check: CheckOrder | None = None
    replicate: ReplicateOrder | None = None
    free: FreeOrder | None = None
    purge: PurgeOrder | None = None
    is_paused: bool = False
    """The job was paused when the daemon was stopped: it begins so."""
    destination_id: str | None = None
    """Of a restore or check."""

    @property
    def goes_on(self) -> bool:
        """Whether a restarted daemon begins it again: not what gives so much space back, which would be done twice."""
        return self.free is None or not self.free.has_target

    @property
    def destinations(self) -> list[str]:
        """Ids of those of a backup; empty: all of the set's."""
        return self.backup.to if self.backup is not None else []

    @property
    def owners_verb(self) -> str:
        """What only the machine can do that the set belongs to; empty: any machine can do it."""
        if self.backup is not None and not self.backup.dry_run:
            return "run"
        if self.free is not None and not self.free.dry_run:
            return "free"
        return "purge" if self.purge is not None and self.purge.set_names else ""

    def stored(self) -> bytes:
        """For the catalog; a secret that came with the order stays in memory alone."""
        kept = self
        for name in ("restore", "check", "replicate", "free", "purge"):
            order = getattr(self, name)
            if order is not None:
                bare = msgspec.structs.replace(order, unlock=Unlock(), access=NO_ACCESS, interactive=False)
                if isinstance(bare, CheckOrder):
                    siblings = [msgspec.structs.replace(one, access=NO_ACCESS) for one in bare.siblings]
                    bare = msgspec.structs.replace(bare, siblings=siblings)
                if isinstance(bare, ReplicateOrder):
                    bare = msgspec.structs.replace(bare, to_access=NO_ACCESS)
                kept = msgspec.structs.replace(kept, **{name: bare})
        return msgspec.msgpack.encode(kept)

    @classmethod
    def restored(cls, data: bytes) -> JobRequest:
        """From the catalog. Raises MsgspecError for what another version wrote."""
        return msgspec.msgpack.decode(data, type=cls)
