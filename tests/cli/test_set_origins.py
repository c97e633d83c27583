"""`set show --origins`: each setting as it holds, with who said so."""

from __future__ import annotations

from pathlib import Path

from tests.support.daemon import running_daemon

_POLICY = "sets:\n  compression: {lock: best}\n  max_age: {preset: 26h}\n  encryption: {allow: [default, password]}\n"
_FILE = """\
sets: [{name: kept, sources: [/etc], to: [usb], stop_after: 4h}]
destinations: [{name: usb, place: /nowhere/usb}]
"""


def test_each_setting_says_where_it_comes_from(tmp_path: Path) -> None:
    """Who changes the wrong file wonders why nothing changed."""
    with running_daemon(tmp_path / "d", settings="time_zone: Europe/Vienna\n") as daemon:
        (daemon.config / "policy.yaml").write_text(_POLICY)
        (daemon.config / "conf.d").mkdir()
        (daemon.config / "conf.d" / "kept.yaml").write_text(_FILE)
        daemon.good("config", "reload")
        daemon.good("set", "create", "made", "--source", "/etc", "--to", "usb", "--parity", "5%")

        def origins(name: str) -> dict[str, tuple[object, str]]:
            found = daemon.good("set", "show", name, "--origins")["origins"]
            return {one["key"]: (one["value"], one["origin"].replace(str(daemon.config), "CONF")) for one in found}

        made, kept = origins("made"), origins("kept")
        policy, zone = "CONF/policy.yaml, line {}", ("Europe/Vienna", "CONF/backupd.yaml, line 1")
        assert made["compression"] == ("best", policy.format(2) + ": lock")
        assert made["max_age"] == ("26h", policy.format(3) + ": preset")
        assert made["encryption"] == ("default", policy.format(4) + ": allow")
        assert (made["parity"], made["sources"], made["to"]) == (("5%", "set"), (["/etc"], "set"), (["usb"], "set"))
        assert (made["jobs"], made["retention"]) == ((None, "default"), ({"days": 7}, "default"))
        assert (made["time_zone"], kept["time_zone"]) == (zone, zone)
        assert kept["stop_after"] == ("4h", "CONF/conf.d/kept.yaml")
        assert set(made) == set(daemon.good("set", "show", "made")["set"]) - {
            "id", "name", "kept_in", "created", "repositories", "shortcuts", "runs_here",
        }  # fmt: skip
        for words in (("edit", "made"), ("create", "other", "--source", "/etc", "--to", "usb")):
            refused = daemon.json("set", *words, "--time-zone", "Mars/Olympus")
            assert (refused["exit"], "is no time zone" in refused["error"]["message"]) == (2, True)
        daemon.good("set", "edit", "made", "--time-zone", "UTC")
        assert origins("made")["time_zone"] == ("UTC", "set")
        text = daemon.bkctl("set", "show", "made", "--origins").stdout.decode()
        assert ["compression", "best"] in [line.split()[:2] for line in text.splitlines()]
