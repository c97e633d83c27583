"""Every way that a job's bytes can take has its part of the limits; what ends a grant leaves nobody in the table."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import pytest

from backupd.catalog.database import Database
from backupd.catalog.definitions import StoredDestination
from backupd.clock import SystemClock
from backupd.daemon.bandwidth import Bandwidth
from backupd.daemon.definitions import Definitions
from backupd.model.bandwidth import BandwidthText, RuleText
from backupd.model.orders import BackupOrder, FurtherPlace, OwnRepository, ReplicateOrder
from backupd.model.sets import DestinationText
from backupd.model.store_access import Pool, PoolMember, StoreAccess
from backupd.settings.daemon_settings import DaemonSettings

FAR, NEAR, DISK = "s3://far/a", "sftp://near/b", "/srv/disk"


@pytest.fixture
def bandwidth(tmp_path: Path) -> Generator[Bandwidth, None, None]:
    """One rule, for uploads to `far` alone."""
    clock = SystemClock()
    database = Database(str(tmp_path))
    known = Definitions(database, clock)
    known.destinations = [
        StoredDestination(id=f"d{number}", text=DestinationText(name=name, place=place), file=None, created_ns=0)
        for number, (name, place) in enumerate((("far", FAR), ("near", NEAR), ("disk", DISK)))
    ]
    made = Bandwidth(known, clock, {"TZ": "UTC"})
    rule = RuleText(name="house", rate="2 MiB/s", direction="upload", destinations=["far"])
    made.adopt(DaemonSettings(bandwidth=BandwidthText(rules=[rule])))
    yield made
    database.close()


def _told(access: StoreAccess) -> list[str]:
    return [line for pace in access.paces() for line in pace.told]


def test_what_is_copied_to_a_destination_is_limited_as_what_is_backed_up(bandwidth: Bandwidth) -> None:
    """A laggard is filled inside of a backup; it would fill the line in office hours."""
    order = bandwidth.paced(ReplicateOrder(place=DISK, to=FAR))
    assert isinstance(order, ReplicateOrder)
    assert order.access.paces() == []
    assert any("by the rule house" in line for line in _told(order.to_access))
    bandwidth.release(order)
    assert bandwidth.count == 0


def test_members_of_a_pool_have_the_limits_of_the_destinations_that_they_are(bandwidth: Bandwidth) -> None:
    """Bytes go to them; the pool's own name is in no rule."""
    members = [
        PoolMember(id="d1", name="far", place=FAR, access=StoreAccess()),
        PoolMember(id="d2", name="near", place=NEAR, access=StoreAccess()),
        PoolMember(id="d3", name="disk", place=DISK, access=StoreAccess()),
    ]
    pooled = StoreAccess(pool=Pool(name="all", kind="mirror", copies=2, members=members))
    order = bandwidth.paced(BackupOrder(place="pool://d4", access=pooled, sources=[b"/home"]))
    assert isinstance(order, BackupOrder)
    assert order.access.pace is None
    assert order.access.pool is not None
    told = [_told(one.access) for one in order.access.pool.members]
    assert ["by the rule house" in "".join(lines) for lines in told] == [True, False, False]
    assert [len(one.access.paces()) for one in order.access.pool.members] == [1, 1, 0]
    bandwidth.release(order)
    assert bandwidth.count == 0


def test_a_zone_that_there_is_not_keeps_nobody_from_running(bandwidth: Bandwidth) -> None:
    """An update of the system may take its name away; and what one client sends must not stop everybody's clock."""
    also = [FurtherPlace(place=NEAR, own=OwnRepository(repository="r1"))]
    order = bandwidth.paced(BackupOrder(place=FAR, sources=[b"/home"], also=also, time_zone="Nowhere/Here"))
    bandwidth.adopt(DaemonSettings())
    bandwidth.release(order)
    assert bandwidth.count == 0
    bandwidth.adopt(DaemonSettings())
