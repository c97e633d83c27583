"""All that the handlers of the API work with."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass, field

from backupd.catalog.database import Database
from backupd.clock import Clock
from backupd.daemon.bandwidth import Bandwidth
from backupd.daemon.configuration import Configuration
from backupd.daemon.continuous import Continuous
from backupd.daemon.definitions import Definitions
from backupd.daemon.gate import Gate
from backupd.daemon.job_files import JobFiles
from backupd.daemon.jobs import Jobs
from backupd.daemon.log_rotation import LogRotation
from backupd.daemon.metrics_port import MetricsPort
from backupd.daemon.notices.hub import Notices
from backupd.daemon.places import DaemonPlaces
from backupd.daemon.queries import Queries
from backupd.daemon.scheduling import Scheduler


@dataclass(slots=True)
class Services:
    """One daemon's parts."""

    places: DaemonPlaces
    clock: Clock
    database: Database
    definitions: Definitions
    jobs: Jobs
    files: JobFiles
    queries: Queries
    gate: Gate
    configuration: Configuration
    bandwidth: Bandwidth
    log_rotation: LogRotation
    notices: Notices
    scheduler: Scheduler
    continuous: Continuous
    metrics_port: MetricsPort
    environment: Mapping[str, str]
    """Of job processes."""
    started_ns: int
    warnings: list[str] = field(default_factory=list)
    """What is wrong with the settings, for `status` and `doctor`; the last good ones are in force."""
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def start(self, work: Coroutine[None, None, None]) -> None:
        """Have something done on the event loop, without waiting for it."""
        task = asyncio.create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
