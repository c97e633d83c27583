"""A set belongs to one machine: that one runs it alone, until it goes to another one, and its history with it."""

from __future__ import annotations

import shutil
from collections.abc import Generator
from pathlib import Path

import pytest

from tests.support.daemon import Daemon

pytestmark = [pytest.mark.root, pytest.mark.platform("linux")]


def _start(daemon: Daemon, name: str) -> None:
    """On a machine of that name."""
    daemon.prefix = ["unshare", "--uts", "sh", "-c", 'hostname "$0" && exec "$@"', name]
    daemon.start()


@pytest.fixture
def two(tmp_path: Path) -> Generator[tuple[Daemon, Daemon], None, None]:
    """Machines `alpha` and `beta`; on alpha a set `home`, of a source that both have, on a disk that both reach."""
    alpha, beta = Daemon(tmp_path / "a"), Daemon(tmp_path / "b")
    source = tmp_path / "src"
    source.mkdir()
    (source / "letter").write_text("of alpha " * 10_000)
    try:
        _start(alpha, "alpha")
        _start(beta, "beta")
        alpha.good("set", "create", "home", "--source", source, "--to", tmp_path / "disk")
        alpha.good("schedule", "add", "home", "--every", "12h")
        alpha.good("backup", "home")
        yield alpha, beta
    finally:
        for daemon in (alpha, beta):
            if daemon.process is not None and daemon.process.poll() is None:
                daemon.stop()


def _hand_over(alpha: Daemon, beta: Daemon) -> bytes:
    """As alpha tells it: the text and the key; gives the text."""
    said = alpha.json("set", "edit", "home", "--owner", "beta", "--yes")
    warning = "nothing of home by beta is there yet: make sure that `hostname -s` says beta there"
    assert (said["exit"], said["warnings"]) == (0, [warning])
    text = alpha.bkctl("set", "export", "home").stdout
    assert beta.good("set", "apply", "-f", "-", stdin=text)["changed"]
    return text


def _bring_key(alpha: Daemon, beta: Daemon) -> None:
    shutil.copytree(alpha.state / "keys", beta.state / "keys", dirs_exist_ok=True)


def test_a_set_goes_from_one_machine_to_another(two: tuple[Daemon, Daemon], tmp_path: Path) -> None:
    """Its history goes on there, nothing is stored twice, and what the first one had stays."""
    alpha, beta = two
    source = tmp_path / "src"
    asked = alpha.json("set", "edit", "home", "--owner", "beta")
    assert (asked["exit"], alpha.good("set", "show", "home")["set"]["runs_here"]) == (22, True)
    text = _hand_over(alpha, beta)

    # Here nothing runs any more.
    shown = alpha.good("set", "show", "home")["set"]
    assert (shown["owner"], shown["runs_here"]) == ({"name": "beta", "after": ["alpha"]}, False)
    for words in (("backup",), ("retention", "apply"), ("free",)):
        said = alpha.json(*words, "home")
        assert (said["exit"], said["error"]["code"]) == (17, "set.other_owner"), words
        assert said["error"]["hint"].endswith("bkctl set edit home --owner alpha")
    none = alpha.json("backup", "--all")
    assert (none["exit"], "home belongs to beta" in none["error"]["message"]) == (10, True)
    coming = alpha.good("schedule", "next")
    assert (coming["runs"], coming["of_others"]) == ([], [{"set": "home", "owner": "beta"}])
    (scheduled,) = alpha.good("schedule", "list")["schedules"]
    assert (scheduled["is_on"], scheduled["owner"]) == (False, "beta")
    late = alpha.json("schedule", "add", "home", "--daily", "02:00", "--dry-run")
    assert late["warnings"][0].endswith("bkctl set export home | ssh beta bkctl set apply -f -")
    alpha.good("set", "create", "own", "--source", source, "--to", "disk")
    both = alpha.json("backup", "--all", "--dry-run")["result"]
    assert both["left_out"] == [{"set": "home", "owner": "beta"}]
    assert "others by: bkctl backup own" in alpha.json("backup", "own", "home")["error"]["hint"]
    # A typo that is taken back before the first run leaves nothing to wait for, where all is seen that lies there.
    for owner, history in (("betta", ["alpha"]), ("gamma", ["betta", "alpha"]), ("alpha", [])):
        moved = alpha.good("set", "edit", "own", "--owner", owner, "--yes")
        assert moved["set"]["owner"] == {"name": owner, "after": history}
    alpha.good("set", "edit", "own", "--owner", "betta", "--yes")
    (alpha.state / "keys").rename(alpha.state / "hidden")
    moved = alpha.good("set", "edit", "own", "--owner", "alpha", "--yes")
    assert moved["set"]["owner"] == {"name": "alpha", "after": ["betta"]}, "it may lie in what can't be read"
    (alpha.state / "hidden").rename(alpha.state / "keys")
    alpha.good("set", "delete", "own", "--yes")
    (standing,) = alpha.good("status")["sets"]
    assert (standing["owner"], standing["enabled"], standing["next_run"]) == ("beta", False, None)

    # There it needs the key, and never begins a second history without it.
    assert beta.json("set", "apply", "-f", "-", stdin=text)["result"]["changed"] is False
    assert beta.bkctl("set", "export", "home").stdout == text
    keyless = beta.json("backup", "home")
    assert (keyless["exit"], keyless["error"]["code"]) == (12, "key.missing"), keyless
    _bring_key(alpha, beta)
    beta.good("restore", "home", "--to", tmp_path / "before")
    assert (tmp_path / "before" / str(source)[1:] / "letter").read_text().startswith("of alpha")
    (source / "more").write_text("of beta")
    run = beta.good("backup", "home")["runs"][0]
    assert (run["set_id"], run["host"]) == (shown["id"], "beta")
    assert run["bytes"]["new"] < 9000, "what alpha had stored is not stored a second time"
    assert len(list((tmp_path / "disk").glob("r*"))) == 1

    # A policy that keeps one snapshot drops not the last that alpha had.
    beta.good("retention", "set", "home", "--jobs", "1")
    (kept,) = beta.good("retention", "apply", "home", "--yes")["destinations"]
    assert [(one["kept"], one["reasons"][0]) for one in kept["snapshots"]] == [
        (True, "newest of alpha"),
        (True, "newest"),
    ]
    for word, host, names in (("alpha:home", "alpha", {"letter"}), ("home", "beta", {"letter", "more"})):
        (found,) = [one for one in alpha.good("snapshot", "list", word)["snapshots"] if one["host"] == host]
        alpha.good("restore", word, "--to", tmp_path / host)
        assert {path.name for path in (tmp_path / host / str(source)[1:]).iterdir()} == names, found


    refused = alpha.json("purge", "alpha:home")
    assert (refused["exit"], refused["error"]["hint"]) == (2, "bkctl purge alpha:home --from disk")
    for place in ((), ("--from", tmp_path / "disk")):
        refused = alpha.json("snapshot", "list", "alhpa:home", *place)
        assert (refused["exit"], "alpha:home" in refused["error"]["hint"]) == (10, True), refused

    # Taken back, with the other one's last word told.
    taken = alpha.json("set", "edit", "home", "--owner", "alpha", "--yes")
    assert any("beta last wrote to disk" in one and "may still" in one for one in taken["warnings"]), taken
    assert taken["result"]["set"]["owner"] == {"name": "alpha", "after": ["beta"]}
    assert alpha.good("schedule", "next", "home")["runs"], "and it runs by itself again"


@pytest.mark.nightly
def test_a_machine_keeps_its_set_when_it_is_renamed_and_who_is_called_alike_gets_none(
    two: tuple[Daemon, Daemon],
) -> None:
    """Both would run it. Where it is said outright, it is meant."""
    alpha, beta = two
    alpha.good("set", "edit", "home", "--owner", "alpha")
    alpha.stop()
    _start(alpha, "gamma")
    assert alpha.good("set", "show", "home")["set"]["runs_here"]
    beta.good("set", "apply", "-f", "-", stdin=_text_of(alpha, "alpha"))
    beta.stop()
    _start(beta, "alpha")
    assert not beta.good("set", "show", "home")["set"]["runs_here"]
    (warning,) = beta.good("status")["settings_warnings"]
    assert warning.endswith("bkctl set edit home --owner alpha")
    beta.good("set", "edit", "home", "--owner", "alpha", "--yes")
    assert beta.good("set", "show", "home")["set"]["runs_here"]
    assert beta.good("status")["settings_warnings"] == []


@pytest.mark.nightly
def test_runs_that_wait_are_given_up_and_say_why(two: tuple[Daemon, Daemon], tmp_path: Path) -> None:
    """What is under way ends as it would have."""
    alpha, _ = two
    slow = tmp_path / "slow"
    slow.write_text("#!/bin/sh\nwhile test ! -e $0.go; do sleep 0.05; done\n")
    slow.chmod(0o755)
    text = _text_of(alpha, "alpha") + b"  commands:\n  - {name: slow, when: pre, run: [%s]}\n" % bytes(slow)
    alpha.good("set", "apply", "-f", "-", stdin=text)
    jobs = [alpha.good("backup", "home", "--detach", "--if-running", "wait")["jobs"][0]["id"] for _ in range(2)]
    alpha.good("set", "edit", "home", "--owner", "beta", "--yes")
    Path(f"{slow}.go").touch()
    ended = [alpha.json("job", "wait", job) for job in jobs]
    assert [one["exit"] for one in ended] == [0, 17], ended
    assert "belongs to beta" in ended[1]["error"]["message"]


@pytest.mark.nightly
def test_others_sets_are_found_among_several_repositories(two: tuple[Daemon, Daemon], tmp_path: Path) -> None:
    """Each set has a repository of its own; whose key is lacking is said, and a purge of a host takes its own alone."""
    alpha, beta = two
    beta.good("set", "apply", "-f", "-", stdin=_text_of(alpha, "alpha"))
    beta.good("set", "create", "own", "--source", tmp_path / "src", "--to", "disk")
    beta.good("backup", "--all")
    for words in (("restore", "home", "--to", tmp_path / "no"), ("backup", "home", "--dry-run"), ("check", "home")):
        assert beta.json(*words)["error"]["code"] == "key.missing", words
    beta.good("set", "estimate", "home")
    _bring_key(alpha, beta)
    beta.good("check", "home")
    assert beta.json("backup", "home", "--dry-run")["warnings"][0].endswith("would go on")
    assert beta.json("free", "home")["error"]["code"] == "set.other_owner"
    for word in ("home", "alpha:home"):
        assert beta.good("snapshot", "list", word)["snapshots"][0]["host"] == "alpha"
    beta.good("set", "edit", "home", "--owner", "beta", "--yes")
    beta.good("backup", "home")
    beta.good("purge", "alpha:home", "--from", "disk", "--confirm", "alpha:home")
    assert [one["host"] for one in beta.good("snapshot", "list", "home")["snapshots"]] == ["beta"]


def _text_of(daemon: Daemon, owner: str) -> bytes:
    text = daemon.bkctl("set", "export", "home").stdout
    return text if b"owner:" in text else text + f"  owner: {owner}\n".encode()
