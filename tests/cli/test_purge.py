"""`bkctl purge` on a real daemon: a plan at each destination, the name typed, then just that; what stays is told."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from backupd.errors import UsageError
from backupd.model.api import Question, Started, StartPurge
from backupd.model.purge_orders import PurgeOrder
from bkctl.daemon_client import DaemonClient
from tests.support.daemon import Daemon, running_daemon
from tests.support.terminal import on_terminal


@pytest.fixture(scope="module", name="daemon")
def _daemon(tmp_path_factory: pytest.TempPathFactory) -> Generator[Daemon, None, None]:
    with running_daemon(tmp_path_factory.mktemp("daemon")) as started:
        for name in ("one", "two"):
            started.good("destination", "add", name, started.home / name)
        source = started.home / "source"
        source.mkdir()
        for name in ("secret", "letter", "a [draft]"):
            (source / name).write_bytes(name.encode() * 1000)
        started.good("set", "create", "home", "--source", source, "--to", "one", "--to", "two")
        started.good("backup", "home")
        yield started


def ids(daemon: Daemon, place: str) -> list[str]:
    """Snapshots of the set at a destination."""
    return [one["id"] for one in daemon.good("snapshot", "list", "home", "--from", place)["snapshots"]]


def error_of(document: dict[str, Any]) -> tuple[int, str]:
    return document["exit"], document["error"]["code"]


def test_the_name_has_to_be_typed_or_the_plan_given(daemon: Daemon) -> None:
    """Else a script that answers every question with yes deletes a life's work."""
    before = ids(daemon, "one")
    words = ("purge", "home", "--from", "one")
    plan = daemon.good(*words, "--dry-run")["plan"]
    for more in (("--yes",), ("--confirm", "other"), ("--apply", plan)):
        refused = daemon.json(*words, *more)
        assert error_of(refused) == (22, "answer.needed")
        assert refused["error"]["context"]["confirm"] == "home"
    refused = daemon.json(*words, "--apply", "p" + "0" * 32, "--yes")
    assert error_of(refused) == (17, "retention.plan_outdated")
    code, shown = on_terminal([*words, "--apply", plan], daemon.environ, [(b"to confirm", b"hom")])
    assert (code, b"nothing was changed" in shown) == (130, True)
    assert ids(daemon, "one") == before


@pytest.mark.parametrize("words", [
    (), ("--all",), ("--host", "x"), ("home", "--all", "--from", "one"), ("home", "--and-exclude"),
    ("home", "--dry-run", "--apply", "p12345"), ("--all", "--from", "one", "--path", "/a"),
    ("home", "--evidence", "/tmp/x", "--confirm", "home"),
])  # fmt: skip
def test_what_says_too_little_or_too_much_is_refused(daemon: Daemon, words: tuple[str, ...]) -> None:
    """Else a word that was forgotten decides what is deleted."""
    assert daemon.json("purge", *words)["exit"] == 2


def test_a_client_of_its_own_can_delete_nothing_unseen(daemon: Daemon) -> None:
    """Else a request that was made up deletes what nobody was shown."""
    home = daemon.home / "one"
    for path, body in (
        ("/v1/purges", StartPurge(order=PurgeOrder(place="one", set_names=["home"]))),
        ("/v1/purges", StartPurge(order=PurgeOrder(place="one", set_names=["home"], plan="p1", dry_run=True))),
        ("/v1/questions", Question(order=PurgeOrder(place="one", set_names=["home"], plan="p1"))),
        ("/v1/purges", StartPurge(order=PurgeOrder(place="", whole=True, plan="p1"))),
    ):
        with pytest.raises(UsageError):
            DaemonClient(str(daemon.socket), "").request("POST", path, body, Started)
    assert list(home.glob("r*/snapshots/*/*"))


def test_a_path_goes_at_all_destinations_and_stays_away(daemon: Daemon) -> None:
    """Else it is gone at one and restored from the other, or back with the next backup."""
    source = daemon.home / "source"
    words = ("purge", "home", "--path", source / "secret", "--path", source / "a [draft]")
    done = daemon.good(*words, "--confirm", "home", "--and-exclude")
    assert done["counts"] == {"dropped": 0, "rewritten": 2, "kept": 0, "files": 4}
    assert [entry["destination"] for entry in done["places"]] == ["one", "two"]
    assert ids(daemon, "one") == ids(daemon, "two")
    assert len(done["excluded"]) == 2
    daemon.good("backup", "home")
    listed = daemon.good("snapshot", "list", "home")["snapshots"]
    assert [one["files"] for one in listed] == [1, 1]
    assert daemon.good("check", "home", "--crc", "--from", "two")["problems"] == []


def test_what_jobs_said_of_files_goes_too(daemon: Daemon) -> None:
    """Else the name of what was deleted stands in the daemon's log for years."""
    daemon.good("set", "create", "named", "--source", daemon.home / "source", "--to", "one")
    daemon.good("backup", "named")
    job = daemon.good("job", "list", "named")["jobs"][0]["id"]
    shown = daemon.good("job", "show", job, "--files")
    assert any(one["path"].endswith("letter") for one in shown["files"])
    daemon.good("purge", "named", "--path", daemon.home / "source" / "letter", "--confirm", "named")
    assert daemon.good("job", "show", job, "--files")["files"] == []
    runs = daemon.good("job", "show", job)["job"]["result"]["runs"]
    assert runs[0]["restore_one_command"] is None
    purge = daemon.good("job", "list", "named")["jobs"][0]
    assert "letter" not in str(purge)
    assert _newest(daemon, "named") is not None
    # Also where the set is named with its machine, this one.
    daemon.good("backup", "named")
    job = daemon.good("job", "list", "named")["jobs"][0]["id"]
    assert daemon.good("job", "show", job, "--files")["files"] != []
    here = f"{socket.gethostname()}:named"
    told = daemon.bkctl(
        "purge", here, "--from", "one", "--path", daemon.home / "source" / "secret", "--confirm", here
    ).stdout.decode()
    assert "bkctl set edit named --exclude" in told
    assert daemon.good("job", "show", job, "--files")["files"] == []
    assert "secret" not in str(daemon.good("job", "show", job))
    daemon.good("purge", here, "--from", "one", "--confirm", here)
    assert _newest(daemon, "named") is None


def test_a_check_of_all_sets_passes_over_those_without_a_snapshot(daemon: Daemon) -> None:
    """Else one set that is new, or was purged, fails the check of all others, and nobody knows which one it was."""
    for name in ("emptied", "fresh"):
        daemon.good("set", "create", name, "--source", daemon.home / "source", "--to", "one")
    daemon.good("backup", "emptied")
    daemon.good("purge", "emptied", "--confirm", "emptied")
    told = daemon.good("check")
    skipped = {one["set"]: one["reason"] for one in told["skipped"]}
    assert (skipped["emptied"], skipped["fresh"]) == ("no snapshot in one yet", "nothing is stored yet")
    assert daemon.good("job", "list", "emptied")["jobs"][0]["state"] == "skipped"
    assert daemon.good("status", "emptied")["sets"][0]["destinations"][0]["verified"] is None
    for name in ("emptied", "fresh"):
        alone = daemon.json("check", name)
        assert alone["exit"] == 10
        assert name in alone["error"]["message"]
        daemon.good("set", "delete", name, "--yes")


def _newest(daemon: Daemon, name: str) -> str | None:
    """The newest good snapshot that `status` tells of a set."""
    (one,) = daemon.good("status", name)["sets"]
    found: str | None = one["destinations"][0]["snapshot"]
    return found


def test_a_snapshot_goes_by_its_id_and_no_other_does(daemon: Daemon) -> None:
    """Else one wrong backup costs the whole history."""
    daemon.good("backup", "home")
    *others, newest = ids(daemon, "one")
    assert others
    daemon.good("purge", "home", "--from", "one", "--snapshot", newest, "--confirm", "home")
    assert ids(daemon, "one") == others


def test_of_a_job_its_snapshot_goes_and_a_destination_that_is_away_keeps_what_it_has(daemon: Daemon) -> None:
    """Else who reads "done" believes that nothing is left anywhere."""
    daemon.good("backup", "home")
    job = next(one["id"] for one in daemon.good("job", "list", "home")["jobs"] if one["kind"] == "backup")
    newest = ids(daemon, "one")[-1]
    away = daemon.home / "away"
    (daemon.home / "two").rename(away)
    try:
        done = daemon.json("purge", "home", "--job", job, "--confirm", "home")
        assert error_of(done) == (4, "destination.some")
        assert newest not in ids(daemon, "one")
    finally:
        away.rename(daemon.home / "two")
    assert newest in ids(daemon, "two")


def test_a_whole_repository_goes_and_the_next_backup_makes_a_new_one(daemon: Daemon) -> None:
    """Else the set can never be stored there again."""
    one = daemon.home / "one"
    evidence = daemon.home / "evidence"
    words = ("purge", "--all", "--from", _whole(daemon, "home", one))
    plan = daemon.good(*words, "--dry-run")["plan"]
    done = daemon.good(*words, "--apply", plan, "--yes", "--evidence", evidence)
    assert done["places"][0]["evidence"]["file"] == str(evidence)
    again = daemon.good("backup", "home")["runs"][0]
    assert [entry["verdict"] for entry in again["destinations"]] == ["good", "good"]
    assert len(ids(daemon, "one")) == 1 < len(ids(daemon, "two"))


def _whole(daemon: Daemon, name: str, place: Path) -> str:
    """PLACE/ID of a set's repository at a destination."""
    found = daemon.good("set", "show", name)["set"]["repositories"]
    return next(str(one["place"]) for one in found if one["place"].startswith(str(place)))


def test_who_shares_a_repository_learns_that_its_history_is_gone(daemon: Daemon) -> None:
    """Else `status` calls a set good for days of which nothing is stored any more."""
    source, place = daemon.home / "source", daemon.home / "three"
    names = ("left", "right")
    for name in names:
        daemon.good("once", source, "--to", place, "--name", name, "--no-daemon")
    [key] = (daemon.home / "xdg" / "data").rglob("*.key")
    shutil.copy(key, daemon.state / "keys" / key.name)
    daemon.good("destination", "add", "three", place)
    for name in names:
        daemon.good("set", "create", name, "--source", source, "--to", "three")
        daemon.good("backup", name)
    assert len(list(place.glob("r*"))) == 1
    assert None not in [_newest(daemon, name) for name in names]
    host = daemon.good("snapshot", "list", "left")["snapshots"][0]["host"]
    daemon.good("purge", "--host", host, "--from", "three", "--confirm", host)
    assert [_newest(daemon, name) for name in names] == [None, None]
    for name in names:
        daemon.good("backup", name)
    assert None not in [_newest(daemon, name) for name in names]
    plan = daemon.good("purge", "--all", "--from", "three", "--dry-run")["plan"]
    daemon.good("purge", "--all", "--from", "three", "--apply", plan, "--yes", "--confirm", str(place))
    assert [_newest(daemon, name) for name in names] == [None, None]
    assert daemon.json("status", "--check")["exit"] in (0, 21)
