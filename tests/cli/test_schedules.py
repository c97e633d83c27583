"""`bkctl schedule`: each option is kept, shown and taken away again."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from tests.support.daemon import Daemon, running_daemon


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Generator[Daemon, None, None]:
    """A daemon with the set `home`."""
    home = tmp_path_factory.mktemp("stored")
    source = home / "source"
    source.mkdir()
    with running_daemon(home) as daemon:
        daemon.good("set", "create", "home", "--source", source, "--to", home / "repo")
        yield daemon


def _shown(daemon: Daemon, name: str) -> dict[str, object]:
    found = daemon.good("schedule", "list", "home")["schedules"]
    return next(one for one in found if one["name"] == name)


def test_each_option_is_kept(stored: Daemon) -> None:
    """What is accepted and not kept promises a run that never comes."""
    how = ("--stop-after", "4h", "--no-retention", "--window", "22:00-06:00", "--jitter", "10m", "--wake")
    stored.good("schedule", "add", "home", "--daily", "2:00", *how, "--missed", "skip", "--overlap", "queue")
    expected = {
        "daily": "02:00",
        "stop_after": "4h",
        "retention": False,
        "window": "22:00-06:00",
        "jitter": "10m",
        "missed": "skip",
        "overlap": "queue",
        "wake": True,
        "enabled": True,
        "is_on": True,
    }
    assert expected.items() <= _shown(stored, "daily").items()
    stored.good("schedule", "add", "home", "--every", "15m", "--days", "sun", "--disabled")
    assert {"every": "15m", "days": "sun", "enabled": False, "begins": None}.items() <= _shown(stored, "every").items()
    for option, text in (
        ("--weekly", "sat@03:00"),
        ("--monthly", "last@04:00"),
        ("--once", "2099-12-24@18:00"),
        ("--cron", "30 2 * * mon"),
    ):
        assert stored.good("schedule", "add", "home", option, text)["schedule"][option[2:]] == text
    assert stored.good("schedule", "add", "home", "--name", "second", "--daily", "04:00", "--dry-run")["dry_run"]
    assert len(stored.good("schedule", "list", "home")["schedules"]) == 6
    for name in ("daily", "every", "weekly", "monthly", "once", "cron"):
        stored.good("schedule", "remove", "home", name)


def test_what_is_given_is_changed_and_all_else_stays(stored: Daemon) -> None:
    stored.good("schedule", "add", "home", "--name", "one", "--daily", "02:00", "--stop-after", "4h", "--jitter", "10m")
    changed = stored.good("schedule", "edit", "home", "one", "--every", "6h", "--days", "mon", "--stop-after", "")
    kept: dict[str, object] = {"daily": None, "every": "6h", "days": "mon", "stop_after": None, "jitter": "10m"}
    assert kept.items() <= changed["schedule"].items()
    more = ("--window", "01:00-05:00", "--jitter", "", "--missed", "skip", "--overlap", "queue", "--wake")
    changed = stored.good("schedule", "edit", "home", "one", *more, "--no-retention", "--disable")
    kept = {"window": "01:00-05:00", "jitter": None, "missed": "skip", "overlap": "queue", "wake": True}
    assert {**kept, "enabled": False, "retention": False, "every": "6h"}.items() <= changed["schedule"].items()
    for option, text in (("--weekly", "sat@03:00"), ("--monthly", "1@04:00"), ("--once", "2099-12-24@18:00")):
        changed = stored.good("schedule", "edit", "home", "one", option, text)
        assert (changed["schedule"][option[2:]], changed["schedule"]["every"]) == (text, None)
    assert stored.good("schedule", "edit", "home", "one", "--cron", "0 4 * * *", "--dry-run")["dry_run"] is True
    assert stored.good("schedule", "edit", "home", "one", "--daily", "05:00")["schedule"]["once"] is None
    lines = stored.bkctl("schedule", "edit", "home", "one", "--daily", "06:00").stdout.decode().splitlines()
    assert lines[0].startswith("home: schedule one is off: daily 06:00")
    assert lines[0].endswith("(was: daily 05:00).")
    assert stored.good("schedule", "edit", "home", "one", "--daily", "06:00")["changed"] is False
    stored.good("schedule", "remove", "home", "one")
