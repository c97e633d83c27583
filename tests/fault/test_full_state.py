"""The disk of the daemon's state is full (FEATURES 4.7): it lives, refuses what is new, ends what is asked to end."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest

from backupd.catalog.reserve import RESERVE_BYTES
from tests.support import slow_set
from tests.support.daemon import running_daemon
from tests.support.mounting import tmpfs

pytestmark = [pytest.mark.platform("linux"), pytest.mark.root, pytest.mark.needs("mount", "umount")]


def _fill(state: Path) -> Path:
    """Take all that is left, whatever the daemon writes meanwhile."""
    filler = state / "filler"
    with filler.open("wb", buffering=0) as file:
        for step in (1 << 20, 4096):
            with suppress(OSError):
                while True:
                    file.write(bytes(step))
    return filler


def test_a_full_state_disk_keeps_nobody_from_ending_work(tmp_path: Path) -> None:
    """Else a full /var needs a person with a shell who knows what may be deleted."""
    home = tmp_path / "home"
    home.mkdir()
    with tmpfs(home / "state", "220m") as state, running_daemon(home) as daemon:
        slow_set.make(daemon, "slow", tmp_path / "place", mib=12)
        with slow_set.begun(daemon, "slow") as job:
            slow_set.go_on_until_stored(daemon, job)
            daemon.good("job", "pause", job)
        # Its checkpoint is made while there is room: with a full disk its job would end here.
        slow_set.wait_for(lambda: len(list((tmp_path / "place").glob("*/sessions/*/*"))) >= 2)
        waiting = slow_set.begin(daemon, "slow", "--if-running", "wait")
        reserve = state / "reserve"
        slow_set.wait_for(lambda: reserve.exists() and reserve.stat().st_size == RESERVE_BYTES)
        filler = _fill(state)

        source, place = home / "source-slow", tmp_path / "more"
        many = [word for number in range(300) for word in ("--exclude", f"{number:0200}")]
        document = daemon.json("set", "create", "more", "--source", source, "--to", place, *many)
        assert (document["exit"], document["error"]["code"]) == (16, "space.state"), slow_set.shown(document)
        assert "free some space" in document["error"]["hint"]

        assert daemon.good("job", "cancel", waiting)["changed"] is True
        assert slow_set.job(daemon, waiting)["state"] == "interrupted"
        assert not reserve.exists(), "given up for the end of work"
        document = daemon.json("backup", "slow", "--if-running", "wait", "--detach")
        assert (document["exit"], document["error"]["code"]) == (16, "space.state")
        daemon.good("job", "cancel", job)
        assert daemon.json("job", "wait", job)["exit"] == 5
        assert daemon.good("snapshot", "list", "slow", "--incomplete")["snapshots"], "its checkpoint found room, too"

        filler.unlink()
        _fill(state)
        daemon.kill()
        daemon.start()
        assert slow_set.job(daemon, job)["state"] == "interrupted", "the end was recorded"
        assert slow_set.job(daemon, waiting)["state"] == "interrupted"

        (state / "filler").unlink()
        assert daemon.json("backup", "slow")["exit"] == 0
        slow_set.wait_for(lambda: reserve.exists() and reserve.stat().st_size == RESERVE_BYTES)
        daemon.good("set", "create", "more", "--source", source, "--to", place)
