"""The megabyte at each destination of a set's own repository (DESIGN 8.6): there when a store is quite full."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from backupd.clock import SystemClock
from backupd.destination.contract import Buffers
from backupd.destination.local import LocalDestination
from backupd.errors import DestinationFullError, DestinationRefusedError
from backupd.repository import reserve
from backupd.repository.records import Records
from backupd.snapshot.records import Drop
from tests.support.daemon import running_daemon
from tests.support.full_disk import Filled, Tmpfs
from tests.support.mounting import tmpfs
from tests.support.small_repository import START_NS, SmallRepository, directory

MIB = 1 << 20


class _AppendOnly(LocalDestination):
    """Lets nothing be created under gc/, as the login of a host that must not harm what is there."""

    puts = 0

    def put(self, name: str, buffers: Buffers) -> None:
        self.puts += 1
        if name.startswith("gc/"):
            raise DestinationRefusedError(f"{name}: not allowed", hint="ask the owner")
        super().put(name, buffers)


def test_each_run_of_a_set_finds_or_writes_it(tmp_path: Path) -> None:
    """Else there is none on the day when it is needed; and two would be two megabytes of nothing."""
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "file").write_bytes(b"text")
    with running_daemon(tmp_path / "home") as daemon:
        daemon.good("destination", "add", "disk", tmp_path / "place")
        daemon.good("set", "create", "docs", "--source", tmp_path / "source", "--to", "disk", "--jobs", "1")
        daemon.good("backup", "docs")
        found = list((tmp_path / "place").glob("r*/gc/reserve-*"))
        assert [path.stat().st_size for path in found] == [MIB]
        daemon.good("backup", "docs")
        assert list((tmp_path / "place").glob("r*/gc/reserve-*")) == found
        assert daemon.json("check", "docs")["warnings"] == []


def test_a_store_that_refuses_it_is_asked_once(tmp_path: Path) -> None:
    """Else each run to an append-only store sends a megabyte in vain, or complains of what is as it should be."""
    (tmp_path / "place").mkdir()
    store, now_ns = _AppendOnly(str(tmp_path / "place"), "t"), SystemClock().now_ns()
    for _ in range(2):
        reserve.keep(store, str(tmp_path), now_ns)
    assert store.puts == 1
    reserve.keep(store, str(tmp_path), now_ns + 31 * 86_400 * 10**9)
    assert store.puts == 2


@pytest.mark.platform("linux")
@pytest.mark.root
@pytest.mark.needs("mount", "umount")
def test_a_snapshot_is_dropped_where_no_byte_is_free(tmp_path: Path) -> None:
    """Else a full disk can't be emptied by the program that filled it."""
    with tmpfs(tmp_path / "mount", "16m") as mount:
        small = SmallRepository(mount / "place")
        small.add(directory())
        place, records = small.repository.place, Records(small.repository)
        reserve.keep(place, str(tmp_path), SystemClock().now_ns())
        disk = Filled(mount, Tmpfs(mount))
        disk.fill(0)
        while True:
            try:
                place.put(f"notes/{os.urandom(4).hex()}", [bytes(100)])
            except DestinationFullError:
                break
        name = records.snapshot_names()[0].name
        with pytest.raises(DestinationFullError):
            records.drop(Drop([name], START_NS, bytes(16)))
        reserve.with_room(place, lambda: records.drop(Drop([name], START_NS, bytes(16))))
        assert records.snapshot_names() == []
        disk.make_room()
        reserve.keep(place, str(tmp_path), SystemClock().now_ns())
        assert len(list((mount / "place").glob("r*/gc/reserve-*"))) == 1
