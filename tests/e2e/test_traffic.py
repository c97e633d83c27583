"""What a job says that a place cost is what the place saw: calls, bytes and tries that had to be done again."""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from collections.abc import Generator
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Any

import pytest

from backupd.destination.meter import Meter
from backupd.destination.pacing import PaceTable
from backupd.destination.stores import open_store
from backupd.model.store_access import PaceGrant, StoreAccess
from backupd.sizes import format_bytes
from tests.support.daemon import Daemon, running_daemon
from tests.support.faulty_store import Fault, FaultyPlace
from tests.support.machine import Machine
from tests.support.servers import seaweedfs
from tests.support.servers.counting_relay import CountingRelay
from tests.support.servers.faulty_door import FaultyDoor
from tests.support.servers.seaweedfs import SeaweedFs

_BYTES = 6_000_000
_RATE = 400_000


@pytest.fixture
def memory() -> Generator[FaultyPlace, None, None]:
    """A store in memory, which is well and notes all calls of all processes."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as name:  # noqa: S108
        yield FaultyPlace(Path(name))


@pytest.fixture(scope="module")
def weed(tmp_path_factory: pytest.TempPathFactory) -> Generator[SeaweedFs, None, None]:
    """SeaweedFS."""
    with seaweedfs.seaweedfs(tmp_path_factory.mktemp("seaweedfs")) as running:
        yield running


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Files that can't be made smaller."""
    found = tmp_path / "source"
    found.mkdir()
    for number in range(4):
        (found / str(number)).write_bytes(os.urandom(_BYTES // 4))
    return found


@pytest.fixture
def login(tmp_path: Path) -> tuple[str | Path, ...]:
    """The words that open a place at the server."""
    file = tmp_path / "login"
    file.write_bytes(seaweedfs.credentials(seaweedfs.OWNER))
    return ("--credentials-file", file, "--allow-plaintext")


def _good(document: dict[str, Any]) -> dict[str, Any]:
    assert document["exit"] == 0, document
    result: dict[str, Any] = document["result"]
    return result


def _at_one(document: dict[str, Any]) -> dict[str, Any]:
    """Of a backup at one place."""
    (run,) = _good(document)["runs"]
    (entry,) = run["destinations"]
    traffic: dict[str, Any] = entry["traffic"]
    return traffic


def _seen(memory: FaultyPlace) -> dict[str, int]:
    """Calls by kind, as the store saw them."""
    found = Counter("list" if method == "top_names" else method for method, _ in memory.calls())
    return {kind: found[kind] for kind in ("put", "get", "list", "size", "delete")}


def test_every_call_of_every_process_is_told_and_no_other(memory: FaultyPlace, source: Path, tmp_path: Path) -> None:
    """Workers ask the store themselves: what a report lacks of that, nobody foresees on the bill."""
    machine = Machine(tmp_path / "home")
    place = memory.address
    memory.set_faults()
    told = _at_one(machine.json("once", source, "--to", place, "--name", "docs"))
    assert told["requests"] == _seen(memory)
    assert told["stored_objects"] == told["requests"]["put"]
    for words in (("check", "--crc", "--from", place), ("restore", "docs", "--from", place, "--to", tmp_path / "out")):
        memory.set_faults()
        result = _good(machine.json(*words))
        assert result["traffic"]["requests"] == _seen(memory), words[0]
        assert result["traffic"]["received_bytes"] >= _BYTES, words[0]
        assert result["traffic"]["sent_bytes"] == 0, words[0]
    memory.set_faults()
    copied = _good(machine.json("destination", "replicate", "--from", place, "--to", tmp_path / "copy"))
    assert copied["traffic"]["from"]["requests"] == _seen(memory)
    assert copied["traffic"]["to"]["sent_bytes"] >= _BYTES


def test_tries_that_are_done_again_are_told_by_their_error(memory: FaultyPlace, source: Path, tmp_path: Path) -> None:
    """A store that fails each third call and has always recovered so far is told before the night when it does not."""
    machine = Machine(tmp_path / "home")
    place = memory.address
    memory.set_faults(
        Fault("error", "put", "/blocks/", times=2),
        Fault("lost_ack", "put", "/snapshots/"),
        Fault("tear", "list", "/index/"),
    )
    told = _at_one(machine.json("once", source, "--to", place, "--name", "docs"))
    assert memory.struck() == 4
    assert told["repeated"] == {"destination.failed": 2, "destination.unreachable": 2}
    assert told["requests"] == _seen(memory)
    assert told["waited_seconds"] >= 4 * 0.25
    memory.set_faults(Fault("error", "get", "/blocks/", first=1, times=2))
    result = _good(machine.json("restore", "docs", "--from", place, "--to", tmp_path / "out"))
    assert memory.struck() == 2
    assert result["traffic"]["repeated"] == {"destination.failed": 2}, "a worker's own"


def test_bytes_are_those_that_the_line_carried(
    weed: SeaweedFs, source: Path, login: tuple[str | Path, ...], tmp_path: Path
) -> None:
    """Within 5 %: who pays for traffic compares the two."""
    machine = Machine(tmp_path / "home")
    with CountingRelay(weed.port) as relay:
        place = f"s3://{seaweedfs.BUCKET}/bytes?endpoint=http://127.0.0.1:{relay.port}"
        relay.begin()
        told = _at_one(machine.json("once", source, "--to", place, "--name", "docs", *login))
        sent = relay.total("up")
        assert told["sent_bytes"] <= sent <= 1.05 * told["sent_bytes"]
        relay.begin()
        result = _good(machine.json("restore", "docs", "--from", place, "--to", tmp_path / "out", *login))
        received = result["traffic"]["received_bytes"]
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


def test_repeats_are_as_many_as_the_server_refused(
    weed: SeaweedFs, source: Path, login: tuple[str | Path, ...], tmp_path: Path
) -> None:
    machine, door = Machine(tmp_path / "home"), _Planned(weed.port, Random(0))
    with closing(door):
        place = f"s3://{seaweedfs.BUCKET}/refused?endpoint=http://127.0.0.1:{door.port}"
        # Of a new place the first run finds out what its store can do, by many requests in one call.
        _at_one(machine.json("once", source, "--to", place, "--name", "docs", *login))
        (source / "0").write_bytes(os.urandom(_BYTES))
        door.is_kind = False
        told = _at_one(machine.json("once", source, "--to", place, "--name", "docs", *login))
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
        member = table.allocate()
        table.set_member(member, (0, 0), (_RATE, 0))
        grant = PaceGrant(descriptor=table.descriptor, member=member)
        access = StoreAccess(credentials=seaweedfs.credentials(seaweedfs.OWNER), allow_plaintext=True, pace=grant)
        with closing(open_store(place, "t", access, create=True, meter=meter)) as store:
            store.put("r1/a", [bytes(_RATE)])
    assert 0.5 < meter.read().held_back_seconds < 5


def test_of_a_pool_every_call_of_every_member_is_told(source: Path, tmp_path: Path) -> None:
    """Also those of the look at all members that comes first where a run goes to one of them."""
    shm = "/dev/shm" if os.path.isdir("/dev/shm") else None  # noqa: S108
    with (
        tempfile.TemporaryDirectory(dir=shm) as one,
        tempfile.TemporaryDirectory(dir=shm) as two,
        running_daemon(tmp_path / "home") as daemon,
    ):
        members = {"one": FaultyPlace(Path(one)), "two": FaultyPlace(Path(two))}
        for name, place in members.items():
            daemon.good("destination", "add", name, place.address)
        words = [word for name in members for word in ("--member", name)]
        daemon.good("destination", "add", "pool", "--pool", "failover", *words)
        daemon.good("set", "create", "docs", "--source", source, "--to", "pool")
        daemon.good("destination", "test", "pool")
        for place in members.values():
            place.set_faults()
        told = _at_one(daemon.json("backup", "docs"))
        seen = Counter(_seen(members["one"])) + Counter(_seen(members["two"]))
        assert told["requests"] == {kind: seen[kind] for kind in told["requests"]}
        assert members["two"].calls()
        assert not any("/blocks/" in name for _, name in members["two"].calls())


@pytest.fixture
def daemon(tmp_path: Path) -> Generator[Daemon, None, None]:
    """With a mirror of two directories, and one directory."""
    with running_daemon(tmp_path / "home") as started:
        for name in ("a", "b", "disk"):
            started.good("destination", "add", name, tmp_path / name)
        members = ("--member", "a", "--member", "b")
        started.good("destination", "add", "pair", "--pool", "mirror", *members, "--copies", "2")
        yield started


def test_each_destination_has_its_own_figures_wherever_they_are_told(
    daemon: Daemon, source: Path, tmp_path: Path
) -> None:
    """One cheap and one dear destination of a set would look alike."""
    daemon.good("set", "create", "docs", "--source", source, "--to", "pair", "--to", "disk")
    result = daemon.good("backup", "docs")
    (run,) = result["runs"]
    pair, disk = (entry["traffic"] for entry in run["destinations"])
    assert disk["sent_bytes"] >= _BYTES
    assert pair["sent_bytes"] >= 2 * _BYTES, "both members are sent to"
    assert pair["requests"]["put"] > disk["requests"]["put"]

    shown = daemon.bkctl("job", "show", run["job"]).stdout.decode()
    log = " ".join(line["message"] for line in daemon.good("job", "log", run["job"])["lines"])
    for name, told in (("pair", pair), ("disk", disk)):
        sentence = f"equests: {sum(told['requests'].values()):,}, sent {format_bytes(told['sent_bytes'])}, "
        assert f"{name}: r{sentence}" in shown
        assert sentence in log

    (docs,) = daemon.good("status")["sets"]
    assert [copy["traffic"] for copy in docs["destinations"]] == [pair, disk]
    metrics = daemon.bkctl("status", "--format", "prometheus").stdout.decode().splitlines()
    puts = f'{{set="docs",destination="disk",kind="put"}} {disk["requests"]["put"]}'
    assert f"backupd_last_run_requests{puts}" in metrics
    assert f'backupd_last_run_sent_bytes{{set="docs",destination="pair"}} {pair["sent_bytes"]}' in metrics

    checked = daemon.good("check", "docs", "--crc", "--from", "disk")["traffic"]
    restored = daemon.good("restore", "docs", "--from", "pair", "--to", tmp_path / "out")["traffic"]
    for told in (checked, restored):
        assert told["received_bytes"] >= _BYTES


def test_what_a_run_cost_is_told_though_it_failed(daemon: Daemon, memory: FaultyPlace, source: Path) -> None:
    """A run that was given up is the one of which somebody asks how often it was tried."""
    daemon.good("destination", "add", "memory", memory.address, "--retry-for", "2s")
    daemon.good("set", "create", "docs", "--source", source, "--to", "memory")
    daemon.good("backup", "docs")
    (source / "new").write_bytes(b"new")
    memory.set_faults(Fault("error", "put", "/sessions/", times=1000))
    document = daemon.json("backup", "docs")
    assert document["error"]["code"] == "destination.failed", document
    struck = memory.struck()
    (docs,) = daemon.good("status")["sets"]
    told = docs["destinations"][0]["traffic"]
    assert told["repeated"] == {"destination.failed": struck - 1}, "but for the last one"
    assert told["requests"]["put"] == struck
    metrics = daemon.bkctl("status", "--format", "prometheus").stdout.decode()
    of = 'set="docs",destination="memory",error="destination.failed"'
    assert f"backupd_last_run_repeated_requests{{{of}}} {struck - 1}\n" in metrics
    (job,) = (one for one in daemon.good("job", "list")["jobs"] if one["exit"])
    log = [line["message"] for line in daemon.good("job", "log", job["id"])["lines"]]
    assert any(f"({struck - 1} repeated)" in line for line in log)
