"""`--json` keeps its promise: every document fits docs/output.schema.json, and has nothing that is not in it."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Generator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from bkctl.contract.output import RESULTS, schema
from bkctl.main import read_environment, run
from bkctl.reference import commands
from tests.support import slow_set
from tests.support.contract import strict
from tests.support.daemon import Daemon, running_daemon
from tests.support.locked_shelf import BUCKET, make_bucket
from tests.support.machine import PYTHON_PATH, TOP
from tests.support.servers import seaweedfs

FILE = TOP / "docs" / "output.schema.json"


class Client:
    """bkctl in this process, against a daemon."""

    def __init__(self, daemon: Daemon) -> None:
        self.daemon, self.home = daemon, daemon.home
        self._environment = read_environment({"BACKUPD_SOCKET": str(daemon.socket)})
        self._validator = jsonschema_rs.validator_for(strict(schema()))
        self.exits: dict[str, set[int]] = {}
        self.told: set[str] = set()
        """Commands of which a result was seen."""

    def __call__(self, *words: str | Path, exits: int = 0) -> dict[str, Any]:
        """Run a command and hold its document against the schema."""
        path = self.home / "document.json"
        code = run([*map(str, words), "--json", "--output", str(path)], self._environment)
        document: dict[str, Any] = json.loads(path.read_text())
        path.unlink()
        faults = [f"{fault.instance_path}: {fault.message}" for fault in self._validator.iter_errors(document)]
        assert not faults, (words, faults, document)
        assert document["exit"] == code == exits, (words, document)
        assert document["ok"] == (code == 0)
        self.exits.setdefault(document["command"], set()).add(code)
        if document["result"] is not None:
            self.told.add(document["command"])
        return document


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Generator[Client, None, None]:
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = PYTHON_PATH
    with running_daemon(tmp_path_factory.mktemp("d")) as daemon:
        source = daemon.home / "src"
        (source / "sub").mkdir(parents=True)
        (source / "letter").write_text("dear")
        (source / "sub" / "link").symlink_to("../letter")
        (source / os.fsdecode(b"caf\xe9")).write_text("not UTF-8")
        os.mkfifo(source / "pipe")
        (daemon.home / "sets.yaml").write_text("sets: []\n")
        yield Client(daemon)
    if before is None:
        del os.environ["PYTHONPATH"]
    else:
        os.environ["PYTHONPATH"] = before


def test_the_published_schema_is_in_step() -> None:
    """`python -m bkctl.contract.output > docs/output.schema.json` writes it anew."""
    assert json.loads(FILE.read_text()) == json.loads(json.dumps(schema()))


def test_every_command_is_in_the_schema() -> None:
    """A command without a schema promises nothing to who parses it."""
    assert set(RESULTS) == {name for name, _ in commands()}


def test_sets_and_destinations(client: Client) -> None:
    """Who makes sets by Ansible reads these."""
    source, repo = client.home / "src", client.home / "repo"
    client("set", "create", "home", "--source", source, "--to", repo, "--exclude", "*.tmp", "--tag", "a=b")
    client("set", "create", "home", "--source", source, "--to", repo, exits=17)
    client("set", "create", "dry", "--source", source, "--to", repo, "--dry-run")
    client("set", "create", "now", "--source", source, "--to", repo, "--backup-now")
    client("job", "wait", "latest")
    client("set", "list")
    client("set", "show", "home")
    client("set", "show", "home", "--origins")
    client("set", "show", "nope", exits=10)
    client("set", "edit", "home", "--max-age", "26h")
    client("set", "suggest", source, "--larger", "1")
    client("set", "suggest", source, "--ext", "pst", "--add-to", "home", "--yes")
    client("set", "suggest", source, exits=2)
    client("set", "coverage", "--check", exits=21)
    client("set", "edit", "home", "--add-source", "home@root", "--without", "movies", "--dry-run")
    client("set", "rename", "home", "homes")
    client("set", "rename", "homes", "home")
    client("set", "copy", "home", "other")
    client("set", "disable", "other")
    client("set", "enable", "other")
    client("set", "delete", "other", exits=22)
    client("set", "delete", "other", "--yes")
    client("set", "delete", "now", "--yes")
    client("destination", "add", "usb", client.home / "usb")
    client("destination", "list")
    client("destination", "show", "usb")
    client("destination", "edit", "usb", "--absent", "skip")
    client("destination", "rename", "usb", "disk")
    client("destination", "remove", "repo", "--yes", exits=17)
    client("destination", "remove", "disk", "--yes")
    assert client.exits["set delete"] == {0, 22}


def test_schedules(client: Client) -> None:
    """Who makes sets by Ansible makes these, too."""
    client("schedule", "add", "home", "--daily", "02:00", "--jitter", "5m")
    client("schedule", "add", "home", "--daily", "25:00", exits=2)
    client("schedule", "edit", "home", "daily", "--every", "6h", "--dry-run")
    client("schedule", "list")
    client("schedule", "next", "--count", "3")
    client("schedule", "remove", "home", "none", exits=10)
    client("schedule", "remove", "home", "daily")
    assert client.exits["schedule remove"] == {0, 10}


def test_settings_as_text(client: Client) -> None:
    """`changed` decides whether a play reports a change."""
    client("config", "show")
    client("config", "set", "queue.jobs_at_once", "3")
    client("config", "reload")
    client("config", "test-proxy", "--to", "127.0.0.1:9", "--proxy", "http://127.0.0.1:9", exits=15)
    exported = client("config", "export")["result"]["config"]
    text = client.home / "exported.json"
    text.write_text(json.dumps(exported))
    assert client("config", "apply", "-f", text)["result"]["changed"] is False
    exported["sets"][0]["max_age"] = "48h"
    text.write_text(json.dumps(exported))
    assert client("set", "apply", "-f", text, "--dry-run")["result"]["changed"] is True
    client("set", "export", "home")
    client("config", "check", text)
    text.write_text(json.dumps({"sets": [{"name": "x", "sorces": []}]}))
    client("config", "check", text, exits=2)
    assert "config set" in client.told


def test_notices_and_contacts(client: Client) -> None:
    """Who sets up a hundred machines makes these by script, too."""
    client("contact", "add", "anna", "anna@example.org", "--certificate", client.home / "anna.pem", "--dry-run")
    client("contact", "add", "anna", "anna@example.org", "--no-encrypt")
    client("contact", "add", "anna", "anna@example.org", exits=17)
    client("contact", "list")
    client("contact", "edit", "anna", "--email", "anna@example.net", "--certificate", "", "--encrypt", "--dry-run")
    client("contact", "edit", "nobody", "--no-encrypt", exits=10)
    client("notice", "add", "admins", "mailto:", "--on", "failure,digest", "--set", "home", "--dry-run")
    client("notice", "add", "hook", "http://127.0.0.1:9/x", "--allow-plaintext", "--secret-file", client.home / "key")
    client("notice", "add", "phone", "--url-file", client.home / "ntfy.url", "--proxy", "direct")
    client("notice", "add", "none", exits=2)
    client("notice", "list")
    client("notice", "edit", "hook", "--secret-file", "", "--on", "", "--dry-run")
    client("notice", "edit", "phone", "--url-file", client.home / "other.url", "--all-sets", "--proxy", "")
    client("notice", "edit", "phone", "--url", "mailto:", "--disable")
    client("notice", "edit", "hook", "--secret-file", "", "--enable", "--allow-plaintext")
    client("notice", "test", "hook", exits=1)
    client("notice", "test", "nope", exits=10)
    client("notice", "remove", "hook", exits=22)
    for name in ("hook", "phone"):
        client("notice", "remove", name, "--yes")
    client("contact", "remove", "anna", "--yes")
    assert client.exits["notice remove"] == {0, 22}


def test_backups_and_their_jobs(client: Client) -> None:
    """The runs, their sizes and commands are what reports are made of."""
    client("backup", "home", "--dry-run", exits=10)
    client("backup", "home")
    client("backup", "home", "--dry-run")
    (client.home / "src" / "more").write_text("more")
    client("backup", "--all", "--detach")
    client("job", "wait", "latest")
    client("watch", "latest")
    client("job", "list")
    client("job", "list", "--limit", "1")
    client("job", "show", "latest")
    client("job", "show", "j0000", exits=10)
    client("job", "log", "latest")
    client("report", "list", "--limit", "1")
    client("report", "show", "latest")
    client("report", "export", "--format", "json")
    client("report", "show", "j0000", exits=10)
    client("job", "cancel", "latest")
    client("job", "pause", "latest", exits=17)
    client("job", "resume", "latest", exits=17)
    client("once", client.home / "src", "--to", client.home / "once")
    client("once", client.home / "src", "--to", client.home / "once", "--dry-run")
    client("status")
    client("status", "--check")
    client("status", "--all-hosts")
    client("doctor", exits=21)
    client("info")
    client("info", "--from", client.home / "once")
    client("completion", "fish")
    client("backup", exits=2)
    assert client.exits["backup"] == {0, 2, 10}


def test_pause_and_resume(client: Client) -> None:
    """A job's document while it runs has its progress, and the states of its files where they are wanted."""
    place = client.home / "slow-place"
    slow_set.make(client.daemon, "slow", place, mib=4)
    with slow_set.begun(client.daemon, "slow") as job:
        client("job", "pause", job)
        client("job", "show", job, "--files")
        client("job", "resume", job)
        client("job", "pause", job)
    client("job", "show", job)
    client("job", "cancel", job)
    client("job", "wait", job, exits=5)
    client("job", "show", job, "--files", "--state", "stored,unchanged")
    client("set", "delete", "slow", "--yes")
    assert client.exits["job pause"] == client.exits["job resume"] == {0, 17}


def test_a_job_that_waits_for_a_password(client: Client) -> None:
    """Nobody is there to type it; the job goes on once it is there."""
    pipe = client.home / "password"
    os.mkfifo(pipe, 0o600)
    words = ("--encryption", "password", "--password-file", pipe)
    client("set", "create", "waits", "--source", client.home / "src", "--to", client.home / "w", *words)
    job = client("backup", "waits", "--detach")["result"]["jobs"][0]["id"]
    client("job", "show", job)
    client("backup", "waits", exits=11)
    client("backup", "waits", "--if-running", "skip", exits=75)
    client("backup", "waits", "home", "--if-running", "skip", "--detach", exits=75)
    pipe.write_text("password")
    client("job", "wait", job)
    client("set", "delete", "waits", "--yes")
    assert client.exits["job wait"] == {0, 5}


def test_what_is_stored(client: Client) -> None:
    """A console that browses backups is built on these."""
    source = client.home / "src"
    client("snapshot", "list", "home")
    found = client("snapshot", "show", "home")["result"]
    oldest = client("snapshot", "list", "home")["result"]["snapshots"][0]["short"]
    assert found["set"] == "home"
    client("snapshot", "ls", "home", "--recursive")
    client("snapshot", "versions", "home", source / "letter")
    client("snapshot", "diff", "home", oldest)
    client("snapshot", "cat", "home", source / "letter", exits=2)
    client("restore", "home", "--to", client.home / "out", "--verify")
    client("restore", "home", source / "letter", "--to", client.home / "dry", "--dry-run")
    client("restore", "nope", "--to", client.home / "none", exits=10)
    client("check", "home", "--crc")
    client("destination", "test", client.home / "once", "--quick")
    client("destination", "sessions", client.home / "once")
    client("set", "estimate", "home")
    client("set", "explain", "home", source / "letter", "/nowhere/at all")
    client("check", "home", "--rebuild-index")
    client("set", "copy", "home", "second")
    client("backup", "home", "second")
    assert len(client("check", "--all")["result"]["checks"]) == 2
    client("free", "home", "--dry-run")
    assert len(client("free", "--all")["result"]["freeings"]) == 2
    target = ("free", "home", "--target", "1G")
    assert client(*target, "--dry-run")["result"]["target"]["held_by"]
    client(*target, exits=22)
    client(*target, "--apply", "p00000000", "--yes", exits=17)
    client("status")
    once = ("--from", client.home / "once", "--no-daemon")
    assert client("info", *once)["result"]["repository"]["areas"] is None
    client("free", *once)
    assert client("info", *once)["result"]["repository"]["areas"]


def test_copies_elsewhere(client: Client) -> None:
    """Who seeds many destinations by script goes by the figures."""
    far, disk = client.home / "far", client.home / "disk"
    disk.mkdir()
    for name in ("far", "third", "fourth", "fifth"):
        client("destination", "add", name, client.home / name)
    client("destination", "replicate", "--from", "repo", "--to", "third", "home")
    client("destination", "add", "both", "--pool", "mirror", "--member", "fourth", "--member", "fifth")
    client("destination", "heal", "both")
    client("set", "edit", "home", "--add-to", "far")
    client("destination", "seed", "far", "--on", disk)
    client("destination", "show", "far")
    client("destination", "adopt", "far", exits=15)
    shutil.copytree(disk, far)
    assert client("destination", "adopt", "far")["result"]["sets"][0]["adopted"]
    assert not client("destination", "seed", "far", "--cancel")["result"]["changed"]
    client("status")


def test_what_is_kept(client: Client) -> None:
    """Who prunes by script looks at the plan first, and goes on by its id."""
    oldest = client("snapshot", "list", "home")["result"]["snapshots"][0]["id"]
    client("backup", "home")
    client("snapshot", "pin", oldest, "--reason", "audit")
    client("snapshot", "tag", oldest, "why=audit")
    client("snapshot", "unpin", oldest)
    client("retention", "show")
    client("retention", "set", "home", "--dry-run", "--weekly", "weekend=sat,sun:4", "--date", "2026-12-24")
    client("retention", "set", "home", "--jobs", "1", "--keep-tag", "who")
    client("retention", "set", "home", "--weekly", "sunday:4", exits=2)
    plan = client("retention", "plan", "home", "--from", "repo")["result"]
    assert plan["dropped_count"] > 0
    client("retention", "apply", "home", "--from", "repo", exits=22)
    client("retention", "apply", "home", "--from", "repo", "--apply", "p00000000", "--yes", exits=17)
    done = client("retention", "apply", "home", "--from", "repo", "--apply", plan["plan"], "--yes")["result"]
    assert (done["changed"], done["kept_count"]) == (True, 1)
    client("retention", "set", "home", "--default")
    client("backup", "home", "--retention")


def test_what_is_purged(client: Client) -> None:
    """Who deletes by script looks at the plan first, and keeps the signed list."""
    source = client.home / "src"
    client("purge", "home", "--from", "repo", exits=22)
    client("purge", "home", "--path", source / "absent", "--confirm", "home", exits=10)
    words = ("purge", "home", "--from", "repo", "--path", source / os.fsdecode(b"caf\xe9"))
    plan = client(*words, "--dry-run")["result"]
    assert plan["places"][0]["snapshots"][0]["paths"][0]["path_b64"]
    client(*words, "--apply", "p00000000", "--yes", exits=17)
    evidence = client.home / "evidence.json"
    client(*words, "--apply", plan["plan"], "--yes", "--and-exclude", exits=2)
    done = client(*words, "--apply", plan["plan"], "--yes", "--evidence", evidence)["result"]
    assert done["places"][0]["evidence"]["file"] == str(evidence)
    facts = client("snapshot", "show", "home", "--from", "repo")["result"]
    assert facts["rewritten"]["paths"] == 1
    client("purge", "home", "--from", "repo", "--path", source / "sub", "--confirm", "home", "--and-exclude")
    client("job", "wait", "latest")
    client("purge", "--all", "--from", client.home / "third", "--confirm", client.home / "third")


def test_keys(client: Client) -> None:
    """What tells of keys is parsed by who prints sheets for many machines."""
    place = ("--from", client.home / "once")
    secret = client.home / "secret"
    secret.write_text("a new password")
    other = client.home / "other"
    other.write_text("another password")
    client("key", "show", *place)
    client("key", "list", *place)
    sheet = client("key", "sheet", *place, "--yes")["result"]
    client("key", "add", *place, "--yes", "--label", "random")
    client("key", "add", *place, "--new-password-file", secret, "--label", "word")
    client("key", "prove", *place, "--password-file", secret)
    client("key", "password", *place, "--password-file", secret, "--new-password-file", other)
    client("key", "remove", "random", *place, "--yes")
    client("key", "rotate", *place)
    blocks = next((client.home / "once").glob("r*/blocks"))
    client("decrypt", blocks, "--to", client.home / "bare")
    assert sheet["text"]


def test_damage_stands_beside_the_result(client: Client) -> None:
    """20: what was looked at, and what is wrong, in one document."""
    for block in (client.home / "once").glob("r*/blocks/*/*"):
        block.write_bytes(block.read_bytes()[:100] + b"\0" * (block.stat().st_size - 100))
    document = client("check", "--from", client.home / "once", "--crc", "--no-daemon", exits=20)
    assert document["result"]["problems"]
    assert document["error"]
    words = ("check", "--from", client.home / "once", "--repair", "--no-daemon")
    assert client(*words, exits=20)["result"]["healed"]["sources"] == []


def test_a_store_that_locks_objects(client: Client, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Who must show an auditor what is locked, and until when, reads it here."""
    with seaweedfs.seaweedfs(tmp_path_factory.mktemp("weed")) as weed:
        make_bucket(weed)
        login = client.home / "owner.login"
        login.write_bytes(seaweedfs.credentials(seaweedfs.OWNER))
        login.chmod(0o600)
        place = f"s3://{BUCKET}/here?endpoint={weed.endpoint}&lock=governance&lock_days=2"
        words = ("--credentials-file", login, "--allow-plaintext")
        bare = f"s3://{seaweedfs.BUCKET}/here?endpoint={weed.endpoint}&lock=governance&lock_days=2"
        assert "lock objects" in client("destination", "add", "bare", bare, *words, exits=15)["error"]["message"]
        client("destination", "add", "locked", place, *words)
        assert client("destination", "show", "locked")["result"]["destination"]["lock"]["days"] == 2
        found = client("destination", "test", "locked")["result"]
        assert ("lock objects", "good") in {(one["name"], one["verdict"]) for one in found["findings"]}
        client("set", "create", "kept", "--source", client.home / "src", "--to", "locked")
        run = client("backup", "kept")["result"]["runs"][0]
        until = run["destinations"][0]["locked"]["until"]
        (status,) = client("status", "kept")["result"]["sets"]
        assert status["destinations"][0]["locked_until"] == until
        assert client("info", "--from", "locked")["result"]["repository"]["object_lock"]["days"] == 2
        client("retention", "set", "kept", "--jobs", "1")
        (client.home / "src" / "more").write_text("more")
        run = client("backup", "kept", "--retention")["result"]["runs"][0]
        assert run["destinations"][0]["retention"]["left"] == 0
        assert client("free", "kept")["result"]["waiting"][0]["what"] == "lock"
        client("destination", "uncover", "locked", "--dry-run")
        client("set", "delete", "kept", "--yes")
        client("destination", "remove", "locked", "--yes")


def test_without_a_daemon(client: Client) -> None:
    """13 with the command that starts it."""
    client.daemon.stop(signal.SIGTERM)
    document = client("set", "list", exits=13)
    assert document["error"]["hint"].startswith("start it: ")


def test_every_command_was_held_against_the_schema(client: Client) -> None:
    """Last: a result that was never looked at may be anything."""
    without = {name for name, kinds in RESULTS.items() if not kinds}
    # Those of the service are held against it in tests/cli/test_service.py, where there is one.
    services = {name for name, _ in commands() if name.startswith("daemon ")}
    assert {name for name, _ in commands()} - client.told - without - services == set()
