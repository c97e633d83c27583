"""Commands whose output is stored: what works, what fails in every way, and that nothing of that is stored as good."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest

from backupd.operations.programs.accounts import SEARCH_PATH
from tests.support.commanded import is_dead, until
from tests.support.daemon import Daemon, running_daemon
from tests.support.mounting import drive

_MIB = 1 << 20


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Generator[Daemon, None, None]:
    with running_daemon(tmp_path_factory.mktemp("d") / "home") as started:
        yield started


def _apply(daemon: Daemon, name: str, streams: list[dict[str, Any]], sources: list[str] | None = None) -> Path:
    """Make or change a set of streams; the directory that it is stored in."""
    place = daemon.home.parent / f"{name}-place"
    text = {
        "destinations": [{"name": f"{name}-place", "place": str(place)}],
        "sets": [{"name": name, "sources": sources or [], "to": [f"{name}-place"], "jobs": 1, "streams": streams}],
    }
    daemon.good("set", "apply", "-f", "-", stdin=msgspec.json.encode(text))
    return place


def _shell(name: str, text: str, **more: object) -> dict[str, Any]:
    return {"name": name, "run": ["sh", "-c", text], **more}


def _names(daemon: Daemon, name: str) -> dict[str, int]:
    """Streams of the newest snapshot, with their sizes."""
    items = daemon.good("snapshot", "ls", name, "/.streams")["entries"]
    return {item["path"].rpartition("/")[2]: item["size"] for item in items}


def test_a_stream_is_a_version_of_the_last_and_comes_back_as_a_file(daemon: Daemon, tmp_path: Path) -> None:
    content = bytearray(Random(1).randbytes(12 * _MIB))
    data = tmp_path / "data"
    data.write_bytes(content)
    _apply(daemon, "cat", [{"name": "data", "run": ["cat", str(data)]}])
    first = daemon.good("backup", "cat")["runs"][0]
    assert first["bytes"]["read"] == len(content)
    # What moves all that follows: only the chunks around it are new.
    content[5 * _MIB : 5 * _MIB] = b"a few bytes more"
    data.write_bytes(content)
    second = daemon.good("backup", "cat")["runs"][0]
    assert second["bytes"]["new"] < 2 * _MIB
    daemon.good("restore", "cat", "/.streams/data", "--strip", "--to", tmp_path / "out2")
    assert (tmp_path / "out2" / "data").read_bytes() == content
    versions = daemon.good("snapshot", "versions", "cat", "/.streams/data")["versions"]
    assert [one["size"] for one in versions] == [12 * _MIB, len(content)]
    daemon.good("check", "cat", "--crc")


def test_what_fails_is_left_out_and_all_else_stored(daemon: Daemon, tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "file").write_bytes(b"x")
    half = f"head -c {9 * _MIB} /dev/urandom; kill -9 $$"
    streams = [
        _shell("good", "echo good; printf '\\033[31mred\\n' >&2; seq 20000 >&2"),
        _shell("half", half),
        _shell("exits", "echo part; echo why >&2; exit 7"),
        _shell("nothing", "exit 0"),
        _shell("hangs", "echo part; sleep 1000 & echo $! > hung; sleep 1000", timeout="1s"),
        _shell("loud", "echo part; while :; do echo loud >&2; done", timeout="1s"),
        {"name": "absent", "run": ["no-such-program-here"]},
        {"name": "nobody", "run": ["true"], "user": "no-such-user"},
    ]
    streams[4]["run"][2] = streams[4]["run"][2].replace("hung", str(tmp_path / "hung"))
    _apply(daemon, "mixed", streams, [str(tmp_path / "source")])
    document = daemon.json("backup", "mixed")
    assert document["exit"] == 3, document
    run = document["result"]["runs"][0]
    told = {one["path"].rpartition("/")[2]: one["message"] for one in run["problems"]["first"]}
    assert sorted(told) == ["absent", "exits", "half", "hangs", "loud", "nobody", "nothing"]
    assert "signal 9" in told["half"]
    assert told["exits"] == "sh ended with exit code 7: why"
    assert "wrote nothing" in told["nothing"]
    assert ["time limit of 1 s" in told[name] for name in ("hangs", "loud")] == [True, True]
    assert "not installed" in told["absent"]
    assert "no user" in told["nobody"]
    assert _names(daemon, "mixed") == {"good": 5}
    assert is_dead(int((tmp_path / "hung").read_text())), "what it had started went with it"
    dry = daemon.json("backup", "mixed", "--dry-run")
    found = [one["path"].rpartition("/")[2] for one in dry["result"]["runs"][0]["problems"]["first"]]
    assert (dry["exit"], found) == (3, ["absent", "nobody"]), "what is sure to fail a dry run says"
    lines = daemon.good("job", "log", run["job"])["lines"]
    heard = {n: [x["message"] for x in lines if x["message"].startswith(f"{n}: ")] for n in ("good", "loud")}
    assert heard["good"][:2] == ["good: \\x1b[31mred", "good: 1"]
    for said in heard.values():
        assert said[-1].endswith(" more lines left out"), "a flood is cut"
        assert sum(map(len, said)) < 64 << 10


def test_nothing_of_a_command_outlives_it_and_who_holds_its_output_fails_it(daemon: Daemon, tmp_path: Path) -> None:
    """A dump of which a part was still to come is none; and a run waits for nobody who never ends."""
    idle, held, away = (tmp_path / name for name in ("idle", "held", "away"))
    streams = [
        _shell("ends", f"sleep 1000 >/dev/null 2>&1 & echo $! > {idle}; echo whole"),
        _shell("holds", f"sleep 1000 & echo $! > {held}; setsid sleep 1000 & echo $! > {away}; echo part"),
    ]
    _apply(daemon, "holding", streams)
    try:
        run = daemon.json("backup", "holding")["result"]["runs"][0]
        told = {one["path"].rpartition("/")[2]: one["message"] for one in run["problems"]["first"]}
        assert list(told) == ["holds"]
        assert "still held its output open 5 s after its end" in told["holds"]
        assert _names(daemon, "holding") == {"ends": 6}
        assert all(is_dead(int(one.read_text())) for one in (idle, held))
    finally:
        os.kill(int(away.read_text()), signal.SIGKILL)


def test_the_last_good_version_stays_in_older_snapshots(daemon: Daemon) -> None:
    _apply(daemon, "alone", [_shell("data", "echo good")])
    daemon.good("backup", "alone")
    _apply(daemon, "alone", [_shell("data", "echo bad; echo what is wrong >&2; exit 1")])
    document = daemon.json("backup", "alone")
    assert (document["exit"], document["error"]["code"]) == (1, "source.stream_failed"), document
    shown = daemon.bkctl("backup", "alone")
    assert (shown.stdout, shown.stderr.count(b"what is wrong")) == (b"", 1), shown
    assert b"bkctl job log alone@latest" in shown.stderr
    log = [line["message"] for line in daemon.good("job", "log", "alone@latest")["lines"]]
    assert "data: what is wrong" in log
    assert "ended what an earlier run left: it had come to no checkpoint" in log, "what goes is not silent"
    _apply(daemon, "alone", [{"name": "data", "run": ["no-such-program-here"]}])
    dry = daemon.json("backup", "alone", "--dry-run")
    assert (dry["exit"], dry["error"]["code"]) == (1, "source.stream_failed"), dry
    assert len(daemon.good("snapshot", "list", "alone")["snapshots"]) == 1
    assert _names(daemon, "alone") == {"data": 5}
    daemon.good("check", "alone", "--crc")


def test_a_cancelled_run_ends_the_command_with_all_that_it_started(daemon: Daemon, tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    _apply(daemon, "slow", [_shell("data", f"sleep 1000 & echo $$ $! > {pids}; while :; do echo x; sleep 0.01; done")])
    job = daemon.good("backup", "slow", "--detach")["jobs"][0]["id"]
    until(lambda: pids.exists() and pids.read_text().endswith("\n"))
    daemon.good("job", "cancel", job)
    assert daemon.json("job", "wait", job)["exit"] != 0
    assert all(map(is_dead, map(int, pids.read_text().split())))


def test_a_worker_that_dies_has_the_command_run_anew(daemon: Daemon, tmp_path: Path) -> None:
    began, read = tmp_path / "began", tmp_path / "read"
    # More than a pipe takes: when all is written, its reader is there.
    text = f"echo x >> {began}; head -c {10 * _MIB} /dev/zero; touch {read}; "
    text += f"test $(wc -l < {began}) -gt 1 || sleep 1000"
    _apply(daemon, "dies", [_shell("data", text)])
    job = daemon.good("backup", "dies", "--detach")["jobs"][0]["id"]
    until(read.exists)
    for worker in _workers(daemon):
        os.kill(worker, signal.SIGKILL)
    assert daemon.json("job", "wait", job)["exit"] == 0
    assert began.read_text() == "x\nx\n"
    assert _names(daemon, "dies") == {"data": 10 * _MIB}


def _workers(daemon: Daemon) -> list[int]:
    assert daemon.process is not None
    below, found = {daemon.process.pid}, []
    listed = subprocess.run(["ps", "-eo", "pid,ppid,args"], check=True, capture_output=True, text=True).stdout
    for line in sorted(listed.splitlines()[1:], key=lambda line: int(line.split()[0])):
        pid, above, words = line.split(None, 2)
        if int(above) in below:
            below.add(int(pid))
            found += [int(pid)] if "backupd.worker" in words else []
    return found


def test_zeros_of_a_device_are_holes(daemon: Daemon, tmp_path: Path) -> None:
    image, content = tmp_path / "image", bytearray(20 * _MIB)
    content[3 * _MIB + 5 : 4 * _MIB] = Random(2).randbytes(_MIB - 5)
    content[-7:] = b"the end"
    image.write_bytes(content)
    daemon.good("set", "create", "disk", "--stream", f"sda=device:{image}", "--to", tmp_path / "place")
    run = daemon.good("backup", "disk")["runs"][0]
    assert run["bytes"]["read"] < 2 * _MIB, "zeros are not stored"
    daemon.good("restore", "disk", "--to", tmp_path / "out")
    back = tmp_path / "out" / ".streams" / "sda"
    assert back.read_bytes() == content
    assert back.stat().st_blocks * 512 < 3 * _MIB


@pytest.mark.platform("linux")
@pytest.mark.root
@pytest.mark.needs("mkfs.ext4", "losetup", "mount", "umount")
def test_a_device_comes_back_and_one_that_is_written_to_is_warned_of(daemon: Daemon, tmp_path: Path) -> None:
    with drive(tmp_path / "image", 16 << 20) as plugged:
        plugged.mount(tmp_path / "mounted").joinpath("file").write_bytes(b"x" * 100_000)
        daemon.good("set", "create", "loop", "--stream", f"disk=device:{plugged.device}", "--to", tmp_path / "place")
        warned = daemon.json("backup", "loop")["warnings"]
        told = f"disk: {plugged.device} is mounted to be written at {tmp_path / 'mounted'}: its image may be of no use"
        assert [one.startswith(told) for one in warned] == [True]
        plugged.unmount()
        subprocess.run(["mount", "-o", "ro", plugged.device, tmp_path / "mounted"], check=True)
        assert daemon.json("backup", "loop")["warnings"] == []
        subprocess.run(["umount", tmp_path / "mounted"], check=True)
        content = Path(plugged.device).read_bytes()
        Path(plugged.device).write_bytes(bytes(len(content)))
        Path(plugged.device).write_bytes(daemon.bkctl("snapshot", "cat", "loop", "/.streams/disk").stdout)
        assert Path(plugged.device).read_bytes() == content
        assert (plugged.mount(tmp_path / "mounted") / "file").read_bytes() == b"x" * 100_000


def test_the_system_is_described_and_a_password_comes_by_a_file(daemon: Daemon, tmp_path: Path) -> None:
    secret, above = tmp_path / "secret", tmp_path / "bin"
    secret.write_text("open sesame\n")
    secret.chmod(0o644)
    above.mkdir()
    above.chmod(0o777)
    absent = next(name for name in ("apk", "pacman", "brew") if shutil.which(name, path=SEARCH_PATH) is None)
    for name in (absent, "getent"):
        (above / name).write_text(f"#!/bin/sh\ntouch {tmp_path}/ran-{name}\necho forged\n")
        (above / name).chmod(0o755)
    word = f"{sys.executable} -c 'import os; print(open(os.environ[\"BACKUPD_PASSWORD_FILE\"]).read()[::-1])'"
    machine = {"name": "machine", "system": True, "environment": {"PATH": f"{above}:/nowhere"}}
    _apply(daemon, "system", [machine, _shell("own", word, password={"file": str(secret)})])
    document = daemon.json("backup", "system")
    refused = f"others than its owner may write to the directory {above}, and so put another program there"
    gap = f"what {absent} says is left out: {refused}; chmod go-w {above}, or keep the program elsewhere"
    wanted = {f"own: everybody can read {secret}: chmod 600 {secret}", f"machine: {gap}"}
    assert wanted == set(document["warnings"])
    daemon.good("restore", "system", "--to", tmp_path / "out")
    text = (tmp_path / "out" / ".streams" / "machine").read_text()
    assert "=== users: getent passwd\nroot:x:0:0" in text, "by the system's own program"
    assert "=== /etc/os-release\n" in text
    in_its_place = rf"^=== packages: {absent} .*\n{re.escape(gap)}\n\n"
    assert re.search(in_its_place, text, re.MULTILINE), "who reads it sees the gap"
    assert (tmp_path / "out" / ".streams" / "own").read_text() == "emases nepo\n"
    assert ("forged" in text, list(tmp_path.glob("ran-*"))) == (False, []), "it would run with the daemon's rights"


def test_streams_are_edited_shown_and_never_go_back_to_the_root(daemon: Daemon, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "file").write_bytes(b"x")
    words: list[str | Path] = ["--source", source, "--stream", f"a=sqlite:{tmp_path / 'a.db'}"]
    words += ["--to", tmp_path / "place"]
    daemon.good("set", "create", "edited", *words)
    (tmp_path / "image").write_bytes(b"x" * 1000)
    daemon.good("set", "edit", "edited", "--stream", f"disk=device:{tmp_path / 'image'}", "--remove-stream", "a")
    assert [one["name"] for one in daemon.good("set", "show", "edited")["set"]["streams"]] == ["disk"]
    assert "disk (device)" in daemon.bkctl("set", "list").stdout.decode()
    daemon.good("backup", "edited")
    (source / "file").unlink()
    daemon.good("restore", "edited", "--original")
    assert (source / "file").read_bytes() == b"x"
    assert not Path("/.streams").exists()
    refused = daemon.json("restore", "edited", "/.streams/disk", "--original")
    assert refused["exit"] == 2, refused
    refused = daemon.json("restore", "edited", "--into-database", "x", "--overwrite", "always")
    assert (refused["exit"], "--overwrite does not go with" in refused["error"]["message"]) == (2, True), refused
    refused = daemon.json("restore", "edited", "--into-database", "x", "--to", tmp_path / "out")
    assert (refused["exit"], "--to does not go with --into-database" in refused["error"]["message"]) == (2, True)
    assert not (tmp_path / "out").exists()
    refused = daemon.json("restore", "edited", "--into-database", "x")
    assert (refused["exit"], refused["error"]["hint"]) == (2, "bkctl snapshot ls edited shows what it holds"), refused
    refused = daemon.json("restore", "edited", "/.streams/disk", "--into-database", "x")
    assert (refused["exit"], "no dump of a database" in refused["error"]["message"]) == (2, True), refused


def test_files_of_a_running_database_are_warned_of(daemon: Daemon, tmp_path: Path) -> None:
    source = tmp_path / "source"
    files = ("pg/PG_VERSION", "pg/base/1", "pg2/PG_VERSION", "my/ibdata1", "my/db/t.ibd", "l.db", "l.db-wal", "B.QBW")
    for name in files:
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes(b"x")
    daemon.good("set", "create", "live", "--source", source, "--to", tmp_path / "place")
    document = daemon.json("backup", "live")
    assert document["exit"] == 0, document
    told = sorted(one for one in document["warnings"] if "running database" in one)
    starts = [f"{source}/{name}: " for name in ("B.QBW", "l.db", "pg/PG_VERSION")]
    starts.append(f"{source}/my/ibdata1 and 1 more: ")
    assert [one[: one.index(": ") + 2] for one in told] == sorted(starts)
    assert "`postgresql: DB`" in next(one for one in told if "PG_VERSION" in one)
    assert any("running database" in one for one in daemon.json("set", "estimate", "live")["warnings"])
    daemon.good("set", "edit", "live", "--stream", f"l=sqlite:{source / 'l.db'}")
    told = [one for one in daemon.json("backup", "live")["warnings"] if "running database" in one]
    assert not [one for one in told if "l.db" in one]


_NO_STREAMS = {
    "a": "names it",
    "=system": "names it",
    "a=system:x": "a=system",
    "a=postgresql": "a=postgresql:DB",
    "a=postgresql:": "a=postgresql:DB",
    "a=postgre:x": "mean postgresql?",
    "a=MariaDB:x": "mean mariadb?",
    "a=foo:x": "sqlite:PATH",
    "a=run:x": "bkctl set apply",
    "a=mysql:-x": "",
}


@pytest.mark.parametrize("word", _NO_STREAMS)
def test_a_word_that_is_no_stream_is_refused(daemon: Daemon, tmp_path: Path, word: str) -> None:
    document = daemon.json("set", "create", "never", "--stream", word, "--to", tmp_path / "place")
    assert (document["exit"], _NO_STREAMS[word] in document["error"]["hint"]) == (2, True), document
    if word != "a=mysql:-x":
        assert str(tmp_path) not in daemon.bkctl("destination", "list").stdout.decode(), "it is left by nothing"
