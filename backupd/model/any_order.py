"""All orders there are, and all that is said to a job."""

from __future__ import annotations

from backupd.model.command_orders import CommandOrder
from backupd.model.config_orders import ConfigCheckOrder
from backupd.model.destination_orders import (
    DestinationAdoptOrder,
    DestinationHealOrder,
    DestinationProbeOrder,
    DestinationSessionsOrder,
    DestinationTestOrder,
    DestinationUncoverOrder,
    ProxyTestOrder,
)
from backupd.model.explain_order import ExplainOrder
from backupd.model.fs_snapshots import FsSnapshotOrder
from backupd.model.notice_orders import AppriseOrder, CertificateOrder, NoticeOrder
from backupd.model.orders import (
    BackupOrder,
    CheckOrder,
    DecryptOrder,
    FreeOrder,
    InfoOrder,
    KeyOrder,
    MigrateOrder,
    ReplicateOrder,
    RestoreOrder,
    RetentionOrder,
    SnapshotCatOrder,
    SnapshotDiffOrder,
    SnapshotListOrder,
    SnapshotLsOrder,
    SnapshotNoteOrder,
    SnapshotShowOrder,
    SnapshotVersionsOrder,
)
from backupd.model.purge_orders import PurgeOrder
from backupd.model.search_orders import CoverageOrder, SuggestOrder
from backupd.model.steering import Answer, CancelRequest, PauseRequest, StateRequest
from backupd.model.watch_orders import WatchOrder

AnyOrder = (
    BackupOrder
    | RestoreOrder
    | CheckOrder
    | FreeOrder
    | MigrateOrder
    | PurgeOrder
    | ReplicateOrder
    | SnapshotListOrder
    | SnapshotShowOrder
    | SnapshotLsOrder
    | SnapshotDiffOrder
    | SnapshotCatOrder
    | SnapshotVersionsOrder
    | SnapshotNoteOrder
    | RetentionOrder
    | KeyOrder
    | DecryptOrder
    | InfoOrder
    | ConfigCheckOrder
    | DestinationProbeOrder
    | DestinationTestOrder
    | DestinationHealOrder
    | ProxyTestOrder
    | DestinationSessionsOrder
    | DestinationUncoverOrder
    | DestinationAdoptOrder
    | NoticeOrder
    | AppriseOrder
    | CertificateOrder
    | ExplainOrder
    | WatchOrder
    | CommandOrder
    | SuggestOrder
    | CoverageOrder
    | FsSnapshotOrder
)


ToJob = AnyOrder | Answer | CancelRequest | StateRequest | PauseRequest
