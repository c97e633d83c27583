"""Followed links and cache modes through a real daemon."""

from __future__ import annotations

import time
from collections.abc import Generator
from pathlib import Path

import pytest

from tests.support import slow_set
from tests.support.daemon import Daemon, running_daemon


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Generator[Daemon, None, None]:
    with running_daemon(tmp_path_factory.mktemp("d")) as made:
        yield made


def test_links_of_a_set_are_told_followed_and_explained(daemon: Daemon) -> None:
    home = daemon.home
    for name in ("src/own", "far/dir/one", "far/other"):
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text(name)
    (home / "src/link").symlink_to(home / "far/dir")
    daemon.good("set", "create", "linked", "--source", home / "src", "--to", home / "linked")
    told = daemon.bkctl("backup", "linked").stdout.decode()
    assert "  1 link leads outside: --follow-links\n" in told
    out = daemon.good("set", "explain", "linked", home / "far/dir/one")["paths"][0]
    assert (out["included"], out["reason"]) == (False, "no_source")
    daemon.good("set", "edit", "linked", "--follow-links")
    (run,) = daemon.good("backup", "linked")["runs"]
    assert run["links"] == {"outside": 1, "followed": 1}
    first, second, third = daemon.good(
        "set", "explain", "linked", home / "far/dir", home / "far/dir/one", home / "far/other"
    )["paths"]
    link = str(home / "src/link")
    assert (first["included"], first["reason"], first["link"]) == (True, "followed", link)
    assert (second["included"], second["source"], second["link"]) == (True, str(home / "far/dir"), link)
    assert f"the link {link} leads there" in second["message"]
    assert (third["included"], third["reason"]) == (False, "no_source")
    daemon.good("restore", "linked", "--to", home / "back")
    assert (home / "back" / str(home)[1:] / "far/dir/one").read_text() == "far/dir/one"
    daemon.good("restore", "linked", "--strip", "--to", home / "stripped")
    assert sorted(path.name for path in (home / "stripped").iterdir()) == ["src"]
    refused = daemon.json("set", "edit", "linked", "--continuous")
    assert refused["exit"] == 2
    assert "not watched" in refused["error"]["message"]


def _kept(daemon: Daemon) -> list[Path]:
    """What jobs keep to be quick, and what they put aside."""
    places = (daemon.state / "cache", daemon.state / "tmp", daemon.home / "xdg/cache")
    return [path for place in places for path in place.rglob("*") if path.is_file()]


def test_a_set_that_keeps_nothing_here(daemon: Daemon) -> None:
    home = daemon.home
    source = slow_set.make(daemon, "quiet", home / "quiet", mib=2)
    daemon.good("backup", "quiet")
    place = daemon.good("backup", "quiet")["repository"]
    where = f"{place['place']}/{place['id']}"
    assert daemon.good("info", "--from", where)["repository"]["cache_bytes"] > 0
    daemon.good("set", "edit", "quiet", "--cache", "none")
    (run,) = daemon.good("backup", "quiet")["runs"]
    assert (run["bytes"]["read"], run["files"]["same"]) == (2 << 20, 1)
    daemon.good("snapshot", "ls", "quiet", "/", "--recursive")
    daemon.good("restore", "quiet", "--to", home / "quiet-back")
    daemon.good("check", "quiet")
    facts = daemon.good("info", "--from", where)
    assert facts["repository"]["cache_bytes"] == 0
    assert [path for path in _kept(daemon) if place["id"] in str(path)] == []
    # That is nothing to the others that are stored there.
    (destination,) = daemon.good("set", "show", "quiet")["set"]["to"]
    daemon.good("set", "create", "loud", "--source", source, "--to", destination)
    for _ in range(2):
        stored = daemon.good("backup", "loud")["repository"]
        facts = daemon.good("info", "--from", f"{stored['place']}/{stored['id']}")
        assert facts["repository"]["cache_bytes"] > 0
    slow_set.fill(source, 16, seed=2)
    job = slow_set.begin(daemon, "quiet")
    end = time.monotonic() + 60
    while not list((daemon.state / "tmp").glob("backupd-*-uncached-*")):
        assert time.monotonic() < end
        time.sleep(0.02)
    slow_set.kill_jobs(daemon)
    assert daemon.json("job", "wait", job)["exit"] != 0
    assert [path for path in _kept(daemon) if place["id"] in str(path) or "uncached" in str(path)] == []
    (run,) = daemon.good("backup", "quiet")["runs"]
    assert run["files"]["seen"] == 9
