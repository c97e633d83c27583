"""A set's time zone that the system does not know any more, as after an update that takes old names away."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from tests.support.daemon import running_daemon

_GONE = "Mars/Olympus"


def test_a_zone_that_is_gone_keeps_no_set_from_running_and_is_told(tmp_path: Path) -> None:
    """A queue that stands still, or a daemon that does not start, is no backup of anything."""
    source = tmp_path / "src"
    source.mkdir()
    (source / "letter").write_text("dear")
    with running_daemon(tmp_path / "d") as daemon:
        for name in ("gone", "other"):
            daemon.good("set", "create", name, "--source", source, "--to", tmp_path / "place", "--time-zone", "UTC")
            daemon.good("schedule", "add", name, "--every", "12h")
        daemon.stop()
        with closing(sqlite3.connect(daemon.state / "catalog.sqlite")) as catalog, catalog:
            catalog.execute("UPDATE sets SET text = replace(text, '\"UTC\"', ?) WHERE name = 'gone'", (f'"{_GONE}"',))
            assert catalog.execute("SELECT changes()").fetchone() == (1,)
        daemon.start()
        status = daemon.json("status")["result"]
        (told,) = [one for one in status["settings_warnings"] if _GONE in one]
        assert told.startswith("gone: ")
        assert "bkctl set edit gone --time-zone" in told
        run = daemon.json("backup", "gone")
        assert (run["exit"], [_GONE in one for one in run["warnings"]]) == (0, [True])
        assert daemon.json("backup", "other")["exit"] == 0
        assert {one["set"] for one in daemon.good("schedule", "next")["runs"]} == {"gone", "other"}
        for words in (("show", "gone"), ("edit", "gone", "--parity", "5%"), ("edit", "gone", "--time-zone", "UTC")):
            daemon.good("set", *words)
        assert not [one for one in daemon.json("status")["result"]["settings_warnings"] if _GONE in one]
