"""What a job says that a place cost is what the place saw: calls, bytes and tries that had to be done again."""

from __future__ import annotations

import json
import os
import tempfile
from collections import Counter
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import pytest

from backupd.destination.meter import Meter
from backupd.destination.pacing import PaceTable
from backupd.destination.stores import open_store
from backupd.model.orders import BackupOrder, CheckOrder, Limits, ReplicateOrder, RestoreOrder, Selection
from backupd.model.places import pool_place
from backupd.model.store_access import NO_ACCESS, PaceGrant, StoreAccess
from backupd.sizes import format_bytes
from tests.support.daemon import Daemon, running_daemon
from tests.support.faulty_store import Fault, FaultyPlace
from tests.support.machine import PLUGINS, PYTHON_PATH, Machine
from tests.support.pools import POOL_ID, member, pool_access
from tests.support.servers import seaweedfs
from tests.support.servers.counting_relay import CountingRelay
from tests.support.servers.faulty_door import FaultyDoor
from tests.support.servers.seaweedfs import SeaweedFs

_BYTES = 6_000_000
_RATE = 400_000
_SMALL = Limits(jobs=2, polite=False)
_LOGIN = StoreAccess(credentials=seaweedfs.credentials(seaweedfs.OWNER), allow_plaintext=True)

Told = dict[str, Any]


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch) -> Generator[list[FaultyPlace], None, None]:
    """Two stores in memory, which are well and note all calls of all processes."""
    # The program finds the store as it finds any package that somebody installed.
    monkeypatch.syspath_prepend(str(PLUGINS))
    monkeypatch.setenv("PYTHONPATH", PYTHON_PATH)
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as name:  # noqa: S108
        folders = [Path(name, number) for number in ("1", "2")]
        for folder in folders:
            folder.mkdir()
        yield [FaultyPlace(folder) for folder in folders]


@pytest.fixture(scope="module")
def weed(tmp_path_factory: pytest.TempPathFactory) -> Generator[SeaweedFs, None, None]:
    """SeaweedFS."""
    with seaweedfs.seaweedfs(tmp_path_factory.mktemp("seaweedfs")) as running:
        yield running


@dataclass
class Home:
    """A machine and its source: files that can't be made smaller."""

    above: Path

    def __post_init__(self) -> None:
        """Make the source."""
        self.machine, self.source = Machine(self.above / "home"), self.above / "source"
        self.source.mkdir()
        for number in range(4):
            (self.source / str(number)).write_bytes(os.urandom(_BYTES // 4))

    def back_up(self, place: str, access: StoreAccess = NO_ACCESS) -> Told:
        """What a run cost."""
        sources = [bytes(self.source)]
        order = BackupOrder(place=place, access=access, sources=sources, set_name="docs", limits=_SMALL)
        (run,) = self.machine.run(order).result["runs"]
        assert run["exit"] == 0
        (entry,) = run["destinations"]
        told: Told = entry["traffic"]
        return told

    def restore(self, place: str, access: StoreAccess = NO_ACCESS) -> Told:
        """What a restore cost."""
        target, selection = bytes(self.above / "out"), Selection()
        order = RestoreOrder(place=place, access=access, selection=selection, to=target, limits=_SMALL)
        told: Told = self.machine.run(order).result["traffic"]
        return told


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A machine of its own."""
    return Home(tmp_path)


def _seen(place: FaultyPlace) -> dict[str, int]:
    """Calls by kind, as the store saw them."""
    found = Counter("list" if method == "top_names" else method for method, _ in place.calls())
    return {kind: found[kind] for kind in ("put", "get", "list", "size", "delete")}


def test_every_call_of_every_process_is_told_and_no_other(memory: list[FaultyPlace], home: Home) -> None:
    """Workers ask the store themselves: what a report lacks of that, nobody foresees on the bill."""
    store = memory[0]
    place = store.address
    told = home.back_up(place)
    assert told["requests"] == _seen(store)
    assert told["stored_objects"] == told["requests"]["put"]
    store.set_faults()
    restored = home.restore(place)
    assert restored["requests"] == _seen(store)
    store.set_faults()
    checked = home.machine.run(CheckOrder(place=place, crc=True, limits=_SMALL)).result["traffic"]
    assert checked["requests"] == _seen(store)
    for one in (restored, checked):
        assert one["received_bytes"] >= _BYTES
        assert one["sent_bytes"] == 0
    store.set_faults()
    copied = home.machine.run(ReplicateOrder(place=place, to=memory[1].address, limits=_SMALL)).result["traffic"]
    assert copied["from"]["requests"] == _seen(store)
    assert copied["to"]["requests"] == _seen(memory[1])
    assert copied["to"]["sent_bytes"] >= _BYTES


def test_tries_that_are_done_again_are_told_by_their_error(memory: list[FaultyPlace], home: Home) -> None:
    """A store that often fails and has always recovered so far is told before the night when it does not."""
    store = memory[0]
    store.set_faults(
        Fault("error", "put", "/blocks/", times=2),
        Fault("lost_ack", "put", "/snapshots/"),
        Fault("tear", "list", "/index/"),
    )
    told = home.back_up(store.address)
    assert store.struck() == 4
    assert told["repeated"] == {"destination.failed": 2, "destination.unreachable": 2}
    assert told["requests"] == _seen(store)
    assert told["waited_seconds"] >= 4 * 0.25
    store.set_faults(Fault("error", "get", "/blocks/", first=1, times=2))
    told = home.restore(store.address)
    assert store.struck() == 2
    assert told["repeated"] == {"destination.failed": 2}, "a worker's own"


def test_of_a_pool_every_call_of_every_member_is_told(memory: list[FaultyPlace], home: Home) -> None:
    """Also those of the look at all members that comes first where a run goes to one of them."""
    access = pool_access("failover", [member(number, store.address) for number, store in enumerate(memory)])
    for _ in range(2):
        for store in memory:
            store.set_faults()
        told = home.back_up(pool_place(POOL_ID), access)
        seen = Counter(_seen(memory[0])) + Counter(_seen(memory[1]))
        assert told["requests"] == {kind: seen[kind] for kind in told["requests"]}
        assert memory[1].calls()
        assert not any("/blocks/" in name for _, name in memory[1].calls())


def test_bytes_are_those_that_the_line_carried(weed: SeaweedFs, home: Home) -> None:
    """Within 5 %: who pays for traffic compares the two."""
    with CountingRelay(weed.port) as relay:
        place = f"s3://{seaweedfs.BUCKET}/bytes?endpoint=http://127.0.0.1:{relay.port}"
        relay.begin()
        sent = home.back_up(place, _LOGIN)["sent_bytes"]
        assert sent <= relay.total("up") <= 1.05 * sent
        relay.begin()
        received = home.restore(place, _LOGIN)["received_bytes"]
        assert received <= relay.total("down") <= 1.05 * received


_UNKIND = {"503": "destination.busy", "reset": "destination.unreachable", "500": "destination.failed"}
"""What the door does -> the error that it is told as."""


class _Planned(FaultyDoor):
    """Each fifth request goes wrong, once it is unkind, in each way in turn."""

    def draw(self) -> str:
        """What happens to the next one."""
        with self._lock:
            self.done["requests"] += 1
            number, is_last = divmod(self.done["requests"], 5)
            found = [*_UNKIND][number % len(_UNKIND)] if is_last == 0 and not self.is_kind else "well"
            self.done[found] += 1
            return found


def test_repeats_are_as_many_as_the_server_refused(weed: SeaweedFs, home: Home) -> None:
    """Each failure of a real server counts once, as what it was."""
    # What a trial of the store is refused it tries again by itself, within one call.
    with closing(_Planned(weed.port, Random(0), spared="/tmp/")) as door:
        place = f"s3://{seaweedfs.BUCKET}/refused?endpoint=http://127.0.0.1:{door.port}"
        # Of a new place the first run finds out what its store can do, by many requests in one call.
        home.back_up(place, _LOGIN)
        (home.source / "0").write_bytes(os.urandom(_BYTES))
        door.is_kind = False
        told = home.back_up(place, _LOGIN)
    met: Counter[str] = Counter()
    for kind, code in _UNKIND.items():
        assert door.done[kind], kind
        met[code] += door.done[kind]
    assert told["repeated"] == met


def test_what_a_limit_held_back_is_told(weed: SeaweedFs) -> None:
    """Else a slow run looks like a slow store when it was its own limit."""
    place = f"s3://{seaweedfs.BUCKET}/limit?endpoint={weed.endpoint}"
    table, meter = PaceTable(), Meter()
    with closing(table):
        number = table.allocate()
        table.set_member(number, (0, 0), (_RATE, 0))
        grant = PaceGrant(descriptor=table.descriptor, member=number)
        access = StoreAccess(credentials=_LOGIN.credentials, allow_plaintext=True, pace=grant)
        with closing(open_store(place, "t", access, create=True, meter=meter)) as store:
            store.put("r1/a", [bytes(_RATE)])
    # A machine with too much to do is slower, and is held back less: never more than the limit asks for.
    assert 0 < meter.read().held_back_seconds < 2


@pytest.fixture
def daemon(tmp_path: Path, home: Home, memory: list[FaultyPlace]) -> Generator[Daemon, None, None]:
    """With a mirror of two directories, one directory, and a store that may fail; and a set for the last one alone."""
    places = {name: str(tmp_path / name) for name in ("a", "b", "disk")}
    document = {
        "destinations": [
            *({"name": name, "place": place} for name, place in places.items()),
            {"name": "pair", "pool": {"kind": "mirror", "members": ["a", "b"], "copies": 2}},
            {"name": "memory", "place": memory[0].address, "retry_for": "2s"},
        ],
        "sets": [
            {"name": "docs", "sources": [str(home.source)], "to": ["pair", "disk"]},
            {"name": "tried", "sources": [str(home.source)], "to": ["memory"]},
        ],
    }
    with running_daemon(tmp_path / "daemon") as started:
        started.good("config", "apply", "-f", "-", stdin=json.dumps(document).encode())
        yield started


def _log(daemon: Daemon, job: str) -> str:
    return " ".join(line["message"] for line in daemon.good("job", "log", job)["lines"])


def test_figures_are_told_of_each_destination_and_of_a_run_that_failed(
    daemon: Daemon, memory: list[FaultyPlace]
) -> None:
    """One cheap and one dear destination would look alike; and of a run that was given up somebody asks how often it
    was tried."""
    (run,) = daemon.good("backup", "docs")["runs"]
    pair, disk = (entry["traffic"] for entry in run["destinations"])
    assert disk["sent_bytes"] >= _BYTES
    assert pair["sent_bytes"] >= 2 * _BYTES, "both members are sent to"
    shown, log = daemon.bkctl("job", "show", run["job"]).stdout.decode(), _log(daemon, run["job"])
    for name, told in (("pair", pair), ("disk", disk)):
        sentence = f"equests: {sum(told['requests'].values()):,}, sent {format_bytes(told['sent_bytes'])}, "
        assert f"{name}: r{sentence}" in shown
        assert sentence in log

    store = memory[0]
    store.set_faults(Fault("error", "put", "/sessions/", times=1000))
    document = daemon.json("backup", "tried")
    assert document["error"]["code"] == "destination.failed", document
    struck = store.struck()
    (job,) = (one for one in daemon.good("job", "list")["jobs"] if one["set"] == "tried")
    assert f"({struck - 1} repeated)" in _log(daemon, job["id"])

    docs, tried = daemon.good("status")["sets"]
    assert [copy["traffic"] for copy in docs["destinations"]] == [pair, disk]
    assert tried["destinations"][0]["traffic"]["repeated"] == {"destination.failed": struck - 1}, "but for the last one"
    metrics = daemon.bkctl("status", "--format", "prometheus").stdout.decode().splitlines()
    puts = f'{{set="docs",destination="disk",kind="put"}} {disk["requests"]["put"]}'
    assert f"backupd_last_run_requests{puts}" in metrics
    assert f'backupd_last_run_sent_bytes{{set="docs",destination="pair"}} {pair["sent_bytes"]}' in metrics
    failed = '{set="tried",destination="memory",error="destination.failed"}'
    assert f"backupd_last_run_repeated_requests{failed} {struck - 1}" in metrics
