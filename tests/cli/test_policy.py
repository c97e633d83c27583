"""`policy.yaml` on a real daemon: what root laid down holds, whoever makes or changes sets, and it says so."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Generator
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from backupd.model.api import EditSet, SetChange
from bkctl.daemon_client import DaemonClient
from tests.support.daemon import Daemon, running_daemon

_POLICY = """\
sets:
  compression: {lock: best}
  encryption: {allow: [default, password]}
  max_age: {preset: 26h}
destinations:
  allow_plaintext: {lock: false}
  absent: {preset: skip}
settings:
  queue.jobs_at_once: {lock: 1}
  time_zone: {preset: Europe/Vienna}
"""


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Generator[Daemon, None, None]:
    with running_daemon(tmp_path_factory.mktemp("policy")) as daemon:
        _lay_down(daemon, _POLICY)
        yield daemon


@pytest.fixture
def daemon(tmp_path: Path) -> Generator[Daemon, None, None]:
    with running_daemon(tmp_path / "d") as daemon:
        yield daemon


def _lay_down(daemon: Daemon, text: str) -> dict[str, Any]:
    (daemon.config / "policy.yaml").write_text(text)
    return daemon.good("config", "reload")


def _set(daemon: Daemon, name: str) -> dict[str, Any]:
    found: dict[str, Any] = daemon.good("set", "show", name)["set"]
    return found


def _create(daemon: Daemon, name: str, *words: str) -> dict[str, Any]:
    return daemon.json("set", "create", name, "--source", "/etc", "--to", f"/nowhere/{name}", *words)


def _document(name: str, **settings: Any) -> bytes:
    place = {"name": f"to-{name}", "place": f"/nowhere/{name}"}
    return json.dumps({"destinations": [place], "sets": [{"name": name, "sources": ["/etc"], **settings}]}).encode()


def test_what_nobody_says_is_as_it_was_laid_down(shared: Daemon) -> None:
    """By command as in a document: else a preset holds on one way and not on the other."""
    assert _create(shared, "plain")["exit"] == 0
    assert _create(shared, "own", "--max-age", "3d", "--encryption", "default")["exit"] == 0
    shared.good("set", "apply", "-f", "-", stdin=_document("text", to=["to-text"]))
    found = {name: _set(shared, name) for name in ("plain", "own", "text")}
    assert {name: one["compression"] for name, one in found.items()} == dict.fromkeys(found, "best")
    assert [found[name]["max_age"] for name in ("plain", "own", "text")] == ["26h", "3d", "26h"]
    places = {one["name"]: one for one in shared.good("destination", "list")["destinations"]}
    assert {one["absent"] for one in places.values()} == {"skip"}
    assert shared.json("destination", "add", "there", "/nowhere/there", "--absent", "fail")["exit"] == 0
    assert shared.good("destination", "show", "there")["destination"]["absent"] == "fail"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--compression", "fast"], "compression is locked to best by"),
        (["--encryption", "none"], "encryption may be default, password alone by"),
    ],
)
def test_a_locked_option_says_so(shared: Daemon, words: list[str], says: str) -> None:
    """The default, said outright, too: it is what the user asked for and does not get."""
    made = _create(shared, "refused", *words)
    assert (made["exit"], made["error"]["code"]) == (17, "config.kept_in_file"), made
    assert says in made["error"]["message"]
    assert f"{shared.config}/policy.yaml, line" in made["error"]["message"]
    assert shared.json("set", "show", "refused")["exit"] == 10


def test_changes_and_documents_are_refused_too(shared: Daemon) -> None:
    """With file and line of what is wrong; all else of the set may change."""
    assert _create(shared, "edited")["exit"] == 0
    edited = shared.json("set", "edit", "edited", "--compression", "none")
    assert (edited["exit"], edited["error"]["context"]["option"]) == (17, "compression")
    shared.good("set", "edit", "edited", "--max-age", "")
    assert _set(shared, "edited").get("max_age") is None
    text = _document("wrong", to=["to-wrong"], compression="none")
    applied = shared.json("set", "apply", "-f", "-", stdin=text)
    assert (applied["exit"], applied["error"]["code"]) == (17, "config.kept_in_file"), applied
    assert applied["error"]["message"].startswith("standard input, line 1: wrong: compression is locked")
    changed = shared.json("destination", "edit", "to-edited", "--allow-plaintext")
    assert changed["exit"] in (10, 17)
    place = shared.good("destination", "list")["destinations"][0]["name"]
    assert shared.json("destination", "edit", place, "--allow-plaintext")["exit"] == 17


def test_the_locked_value_in_another_spelling_is_taken(daemon: Daemon) -> None:
    """By the API for a new set, a change and a document: what is refused must be something else."""
    _lay_down(daemon, "sets: {retention: {lock: {rules: [{weekly: 4, when: SAT}]}}}")
    again = {"rules": [{"weekly": 4, "when": "Sat"}]}
    daemon.good("set", "apply", "-f", "-", stdin=_document("text", to=["to-text"], retention=again))
    text = {"name": "api", "sources": ["/etc"], "to": ["to-text"], "retention": again}
    client = DaemonClient(str(daemon.socket), "")
    for method, path in (("POST", "/v1/sets"), ("PUT", "/v1/sets/api")):
        client.request(method, path, msgspec.convert({"text": text}, EditSet), SetChange)
    assert _set(daemon, "api")["retention"] == {"rules": [{"weekly": 4, "when": "sat"}]}
    again["rules"] = [{"weekly": 4, "when": "sun"}]
    document = _document("text", to=["to-text"], retention=again)
    assert daemon.json("set", "apply", "-f", "-", stdin=document)["exit"] == 17


def test_settings_are_held_to_it_and_show_it(shared: Daemon) -> None:
    """A setting that is laid down is in force without backupd.yaml, and can't be written there otherwise."""
    found = shared.good("config", "show")
    settings = {one["key"]: one for one in found["settings"]}
    assert (settings["queue.jobs_at_once"]["value"], settings["time_zone"]["value"]) == (1, "Europe/Vienna")
    assert settings["queue.jobs_at_once"]["origin"].endswith("policy.yaml, line 9: lock")
    assert [(one["area"], one["option"], one["kind"]) for one in found["policy"]][0] == ("sets", "compression", "lock")
    wrong = shared.json("config", "set", "queue.jobs_at_once", "3")
    assert (wrong["exit"], wrong["error"]["code"]) == (17, "config.kept_in_file")
    assert not (shared.config / "backupd.yaml").exists()
    shared.good("config", "set", "time_zone", "Asia/Tokyo")
    settings = {one["key"]: one for one in shared.good("config", "show")["settings"]}
    assert settings["time_zone"]["value"] == "Asia/Tokyo"


def test_what_is_there_already_follows_a_lock_or_is_told(daemon: Daemon, tmp_path: Path) -> None:
    """Else the sets made before the rule never keep it, and nobody knows."""
    source = tmp_path / "source"
    source.mkdir()
    (source / "file").write_text("content")
    daemon.good("set", "create", "old", "--source", source, "--to", tmp_path / "store", "--encryption", "none")
    daemon.good("backup", "old")
    said = _lay_down(daemon, "sets: {compression: {lock: best}, encryption: {lock: default}}")
    assert said["diff"] == {"set/old": {"compression": {"from": "fast", "to": "best"}}}
    (told,) = daemon.json("config", "show")["warnings"]
    assert told.startswith("old: encryption is none since its repository was made, not default: against ")
    assert told in daemon.good("status")["settings_warnings"]
    assert _lay_down(daemon, "")["diff"] == {}
    assert _set(daemon, "old")["compression"] == "best", "it may be changed again now"
    daemon.good("set", "edit", "old", "--compression", "fast")


def test_a_policy_with_a_fault_leaves_the_last_one_in_force(daemon: Daemon) -> None:
    """Else a typing error of root's frees all of it, and a restart of the daemon does, too."""
    _lay_down(daemon, "sets: {compression: {lock: best}}")
    path = daemon.config / "policy.yaml"
    path.write_text("sets: {compresion: {lock: best}}")
    failed = daemon.json("config", "reload")
    assert (failed["exit"], failed["error"]["hint"]) == (2, "did you mean compression?")
    assert f"{path}, line 1: compresion:" in failed["error"]["message"]
    for settings in ("", "{}", '{"of_another_version": 1}'):
        daemon.stop()
        with closing(sqlite3.connect(daemon.state / "catalog.sqlite")) as catalog, catalog:
            # The policy does not go with settings that are not understood.
            catalog.execute("UPDATE facts SET value = ? WHERE key = 'settings'", (settings,))
        daemon.start()
        assert _create(daemon, "docs", "--compression", "none")["exit"] == 17, settings
    path.write_text("sets: {compression: {lock: best}}")
    os.chmod(path, 0o664)
    failed = daemon.json("config", "reload")
    assert failed["error"]["hint"] == f"chown root {path}; chmod 0644 {path}"
