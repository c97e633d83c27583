"""What the machine is fed by and which networks it is in, as its system tells; None where nobody does."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

SUPPLIES = "/sys/class/power_supply"
_SECONDS = 5.0
_MOST_BYTES = 256 << 10
_MOST_ATTRIBUTE = 256
_CONNECTED = "100"
"""NM_DEVICE_STATE_ACTIVATED."""
_FIELDS = "GENERAL.STATE,GENERAL.METERED,GENERAL.CONNECTION,IP4.GATEWAY,IP6.GATEWAY"
_DEVICES = ("nmcli", "--terse", "--mode", "multiline", "--fields", _FIELDS, "device", "show")
_WIFI = ("nmcli", "--terse", "--mode", "tabular", "--fields", "ACTIVE,SSID", "device", "wifi", "list", "--rescan", "no")
_PMSET = ("pmset", "-g", "batt")


class Network(NamedTuple):
    """What the machine is connected to."""

    is_metered: bool | None
    """Whether a way out of it is."""
    names: frozenset[str]
    """Of connections, and of the Wi-Fi networks that were asked for."""


async def on_battery(environment: Mapping[str, str], supplies: str = SUPPLIES) -> bool | None:
    """Whether the machine is on battery. supplies: where Linux shows what feeds it."""
    if sys.platform == "darwin":
        return parse_pmset(await said_by(_PMSET, environment) or "")
    return await asyncio.to_thread(_on_battery, supplies)


async def network(environment: Mapping[str, str], *, with_wifi: bool) -> Network | None:
    """What NetworkManager tells; None: it is not there. with_wifi: names of Wi-Fi networks are wanted."""
    devices = await said_by(_DEVICES, environment)
    if devices is None:
        return None
    found = parse_devices(devices)
    # Where there is no Wi-Fi this is an error.
    wifi = await said_by(_WIFI, environment) if with_wifi else None
    return found._replace(names=found.names | parse_wifi(wifi or ""))


def parse_devices(text: str) -> Network:
    """Read what `nmcli --terse --mode multiline --fields … device show` writes."""
    names: set[str] = set()
    metered: list[bool | None] = []
    for device in _blocks(text):
        if device.get("GENERAL.STATE", "").split(" ")[0] != _CONNECTED:
            continue
        names.add(device.get("GENERAL.CONNECTION", ""))
        if any(device.get(one, "--") not in ("", "--") for one in ("IP4.GATEWAY", "IP6.GATEWAY")):
            # `yes (guessed)` is as good: phones say so of the net that they lend.
            word = device.get("GENERAL.METERED", "").split(" ")[0]
            metered.append({"yes": True, "no": False}.get(word))
    is_metered = True if True in metered else None if None in metered else False
    return Network(is_metered, frozenset(names - {"", "--"}))


def parse_wifi(text: str) -> frozenset[str]:
    """Names of the Wi-Fi networks that are in use, of what `nmcli --terse --fields ACTIVE,SSID …` writes."""
    found: set[str] = set()
    for line in text.splitlines():
        active, _, name = line.partition(":")
        if active == "yes" and name:
            found.add(_unescaped(name))
    return frozenset(found)


def parse_pmset(text: str) -> bool | None:
    """Read what macOS's `pmset -g batt` writes."""
    first = text.partition("\n")[0]
    if "'AC Power'" in first:
        return False
    return True if "'Battery Power'" in first or "'UPS Power'" in first else None


async def said_by(words: Sequence[str], environment: Mapping[str, str], seconds: float = _SECONDS) -> str | None:
    """What a program writes; None: it is not there, fails, or takes too long."""
    try:
        process = await asyncio.create_subprocess_exec(
            *words,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            # Words of other languages are not understood.
            env={**environment, "LC_ALL": "C"},
            start_new_session=True,
        )
    except OSError:
        return None
    try:
        async with asyncio.timeout(seconds):
            said = await _read(process.stdout)
            code = await process.wait()
    except TimeoutError:
        return None
    finally:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
    return said.decode(errors="replace") if code == 0 else None


async def _read(stream: asyncio.StreamReader | None) -> bytes:
    """All up to a bound; the rest is passed over."""
    kept = b""
    while stream is not None and (part := await stream.read(65536)):
        kept += part[: _MOST_BYTES - len(kept)]
    return kept


def _blocks(text: str) -> Iterator[dict[str, str]]:
    """The devices that a text of lines `KEY:VALUE` shows, with a line without words between two of them."""
    block: dict[str, str] = {}
    for line in [*text.splitlines(), ""]:
        key, colon, value = line.partition(":")
        if colon:
            block.setdefault(key, value)
        elif block:
            yield block
            block = {}


def _unescaped(word: str) -> str:
    letters = iter(word)
    return "".join(next(letters, "") if letter == "\\" else letter for letter in letters)


def _on_battery(supplies: str) -> bool | None:
    """As systemd-ac-power(1) decides: what is fed from outside is not on battery, nor what has none."""
    try:
        names = os.listdir(supplies)
    except OSError:
        return None
    is_discharging = False
    for path in (os.path.join(supplies, name) for name in names):
        kind = _attribute(path, "type")
        if _attribute(path, "scope") == "Device":
            # The battery of a mouse.
            continue
        if kind in ("Mains", "USB") and _attribute(path, "online") == "1":
            return False
        is_discharging |= kind in ("Battery", "UPS") and _attribute(path, "status") == "Discharging"
    return is_discharging


def _attribute(path: str, name: str) -> str:
    try:
        with open(os.path.join(path, name), "rb") as file:
            return file.read(_MOST_ATTRIBUTE).decode(errors="replace").strip()
    except OSError:
        return ""
