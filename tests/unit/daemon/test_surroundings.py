"""What feeds the machine and which network it is in: real directories in place of /sys, what programs write as text."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from backupd.daemon import conditions, surroundings
from backupd.daemon.conditions import Conditions, Met
from backupd.daemon.surroundings import Network, parse_devices, parse_pmset, parse_wifi, said_by
from backupd.model.conditions import ConditionsText
from tests.support.running import is_there
from tests.support.slow_set import wait_for

_ENVIRONMENT = {"PATH": os.environ["PATH"]}
_AC = {"type": "Mains", "online": "0"}
_PACK = {"type": "Battery", "status": "Discharging", "scope": "System"}


def look(text: ConditionsText, environment: Mapping[str, str] = _ENVIRONMENT, root: str = "/nowhere") -> Met:
    return asyncio.run(Conditions(environment, root).look(text))


def supplies(home: Path, *shown: dict[str, str]) -> str:
    """A directory as Linux shows what feeds a machine."""
    found = home / "power_supply"
    found.mkdir()
    for number, attributes in enumerate(shown):
        (found / f"S{number}").mkdir()
        for name, value in attributes.items():
            (found / f"S{number}" / name).write_text(f"{value}\n")
    return str(found)


@pytest.mark.parametrize(
    ("shown", "is_on_battery"),
    [
        ([], False),
        ([_AC], False),
        ([_AC, _PACK], True),
        ([_PACK], True),
        ([_AC, _PACK, {"type": "USB", "online": "1"}], False),
        ([_AC, {**_PACK, "status": "Charging"}], False),
        ([_AC, {**_PACK, "status": "Not charging"}], False),
        ([_AC, {**_PACK, "status": "Full"}, _PACK], True),
        ([{**_AC, "online": "1"}, _PACK], False),
        ([{**_PACK, "scope": "Device"}], False),
        ([{"type": "UPS", "status": "Discharging"}], True),
        ([{"type": "Battery"}], False),
        ([{}], False),
    ],
)
def test_battery_and_mains_are_told_apart(tmp_path: Path, shown: list[dict[str, str]], is_on_battery: bool) -> None:
    """A desktop, a server and a wireless mouse are on no battery; a laptop that two supplies feed is not, either."""
    root = supplies(tmp_path, *shown)
    assert asyncio.run(surroundings.on_battery(_ENVIRONMENT, root)) is is_on_battery
    met = look(ConditionsText(battery=False), root=root)
    assert met == Met(["the machine is on battery"] * is_on_battery, [], [])
    assert look(ConditionsText(), root=root) == Met([], [], [])


def test_what_nobody_tells_is_said(tmp_path: Path) -> None:
    """It is no reason to have no backup."""
    nobody = {"PATH": str(tmp_path)}
    text = ConditionsText(battery=False, metered=False, networks=["Home"])
    met = look(text, nobody)
    assert met.unmet == []
    assert [line.split(" can't be told here")[0] for line in met.untold] == [
        "whether the machine is on battery",
        "which network the machine is in",
    ]


_DEVICES = """GENERAL.STATE:100 (connected)
GENERAL.METERED:no (guessed)
GENERAL.CONNECTION:Home: the old one
IP4.GATEWAY:192.168.1.1
IP6.GATEWAY:

GENERAL.STATE:30 (disconnected)
GENERAL.METERED:yes
GENERAL.CONNECTION:
IP4.GATEWAY:
IP6.GATEWAY:

GENERAL.STATE:100 (connected (externally))
GENERAL.METERED:unknown
GENERAL.CONNECTION:lo
IP4.GATEWAY:
IP6.GATEWAY:
"""


def test_what_networkmanager_tells_is_understood() -> None:
    """A loopback without a way out says nothing of volume, and a modem that is off costs nothing."""
    assert parse_devices(_DEVICES) == Network(False, frozenset({"Home: the old one", "lo"}))
    assert parse_devices(_DEVICES.replace("no (guessed)", "yes (guessed)")).is_metered is True
    assert parse_devices(_DEVICES.replace("no (guessed)", "unknown")).is_metered is None
    assert parse_devices(_DEVICES.replace("192.168.1.1", "--")).is_metered is False, "no way out"
    phone = "\n\nGENERAL.STATE:100 (connected)\nGENERAL.METERED:yes\nGENERAL.CONNECTION:Phone\nIP6.GATEWAY:fe80::1\n"
    assert parse_devices(_DEVICES + phone).is_metered is True, "one of two ways is"
    assert parse_devices("") == parse_devices("\n:\nnonsense\n") == Network(False, frozenset())
    assert parse_wifi("no:Other\nyes:Caf\\: No 5 \\\\ up\nyes:\nno\n\n") == {"Caf: No 5 \\ up"}


def test_what_macos_tells_is_understood() -> None:
    assert parse_pmset("Now drawing from 'AC Power'\n -InternalBattery-0\t100%; charged;\n") is False
    assert parse_pmset("Now drawing from 'Battery Power'\n -InternalBattery-0\t80%; discharging;\n") is True
    assert parse_pmset("") is None


def test_a_program_that_hangs_is_ended_with_all_that_it_started(tmp_path: Path) -> None:
    """Else runs of all sets wait for a network manager that is stuck."""
    program, pid = tmp_path / "hangs", tmp_path / "pid"
    program.write_text(f"#!/bin/sh\nsleep 60 &\necho $! > {pid}\nwait\n")
    program.chmod(0o755)
    began = time.monotonic()
    assert asyncio.run(said_by([str(program)], _ENVIRONMENT, 0.5)) is None
    assert time.monotonic() - began < 10
    wait_for(lambda: not is_there(int(pid.read_text())), 10)
    assert asyncio.run(said_by(["sh", "-c", "head -c 1000000 /dev/zero"], _ENVIRONMENT)) == "\0" * (256 << 10)
    assert asyncio.run(said_by(["sh", "-c", "echo $LC_ALL"], {**_ENVIRONMENT, "LC_ALL": "de_DE"})) == "C\n"
    assert asyncio.run(said_by(["sh", "-c", "echo x; exit 8"], _ENVIRONMENT)) is None


def test_paths_that_are_not_there_are_named(tmp_path: Path) -> None:
    there, away = tmp_path / "there", str(tmp_path / "away")
    there.mkdir()
    text = ConditionsText(present=[str(there), away], mounted=["/", str(there), away])
    unmet = [f"nothing is mounted on {away}", f"nothing is mounted on {there}"]
    assert look(text) == Met(unmet, [], [away, str(there)])
    assert look(ConditionsText(present=[str(there)], mounted=["/"])) == Met([], [], [])


def _asked() -> int:
    return sum(one.name == "asked" for one in threading.enumerate())


def test_a_share_whose_server_is_gone_takes_one_thread_however_often_it_is_looked_at(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Threads that hang for ever would be all that the daemon has, by the morning."""
    answers = threading.Event()
    monkeypatch.setattr(os.path, "exists", lambda _: answers.wait(30))
    monkeypatch.setattr(conditions, "_SECONDS", 0.05)
    before = _asked()

    async def often() -> list[Met]:
        one = Conditions(_ENVIRONMENT)
        found = [await one.look(ConditionsText(present=["/net/gone"])) for _ in range(10)]
        hanging.append(_asked() - before)
        answers.set()
        monkeypatch.setattr(conditions, "_SECONDS", 10.0)
        return [*found, await one.look(ConditionsText(present=["/net/gone"]))]

    hanging: list[int] = []
    *gone, back = asyncio.run(often())
    assert gone == [Met(["/net/gone does not answer"], [], ["/net/gone"])] * 10
    assert hanging == [1]
    assert back == Met([], [], [])
