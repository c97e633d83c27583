"""What a systemd unit takes from its service, as far as it can be taken without systemd: capabilities, system calls,
address families. Read out of the unit itself, so that unit and test can't drift apart.

As a program: `python -m tests.support.unit_cage CALLS FAMILIES WORD...` closes all other calls, then runs the words.
"""

from __future__ import annotations

import ctypes
import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

_ALLOW = 0x7FFF_0000
_EPERM, _ENOSYS = 0x0005_0001, 0x0005_0026
_EQUAL = 4
_TAKEN = {
    "PrivateDevices": {"CAP_MKNOD", "CAP_SYS_RAWIO"},
    "ProtectClock": {"CAP_SYS_TIME", "CAP_WAKE_ALARM"},
    "ProtectKernelLogs": {"CAP_SYSLOG"},
}
"""Capabilities that other settings take (systemd.exec(5))."""


class Unit:
    """Settings of a unit and its drop-ins, as systemd puts them together."""

    def __init__(self, *files: Path) -> None:
        """files: the unit, then its drop-ins."""
        self.settings: dict[str, list[str]] = {}
        for file in files:
            for line in file.read_text(encoding="utf-8").splitlines():
                key, equals, value = line.partition("=")
                if equals and not line.startswith(("#", "[")):
                    values = self.settings.setdefault(key, [])
                    if value:
                        values.append(value)
                    else:
                        values.clear()

    def words(self, key: str) -> list[str]:
        """All values of a list."""
        return [word for value in self.settings.get(key, []) for word in value.split()]

    def capabilities(self) -> list[str]:
        """Those of the bounding set that settings of devices and clock leave, as setpriv has them."""
        taken: set[str] = set()
        for key, names in _TAKEN.items():
            taken |= names if self.settings.get(key, ["no"])[-1] == "yes" else set()
        return [one.removeprefix("CAP_").lower() for one in self.words("CapabilityBoundingSet") if one not in taken]

    def calls(self) -> list[str]:
        """The system calls that stay open."""
        found: set[str] = set()
        for value in self.settings["SystemCallFilter"]:
            names = {call for word in value.removeprefix("~").split() for call in _members(word)}
            found = found - names if value.startswith("~") else found | names
        return sorted(found)

    def prefix(self) -> list[str]:
        """Words that start a program with what the unit leaves it."""
        capabilities = ",".join(["-all", *(f"+{one}" for one in self.capabilities())])
        setpriv = ["setpriv", f"--bounding-set={capabilities}", "--inh-caps=-all", "--no-new-privs"]
        families = ",".join(str(int(getattr(socket, one))) for one in self.words("RestrictAddressFamilies"))
        return [*setpriv, sys.executable, "-m", "tests.support.unit_cage", ",".join(self.calls()), families]


def _members(word: str) -> list[str]:
    """Calls of a group, or the call itself."""
    if not word.startswith("@"):
        return [word]
    command = ["systemd-analyze", "syscall-filter", "--no-pager", word]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    names = [line.strip() for line in lines[1:] if line.startswith(" ") and not line.strip().startswith("#")]
    return [call for name in names for call in _members(name)]


class _Compare(ctypes.Structure):
    _fields_ = (("arg", ctypes.c_uint), ("op", ctypes.c_int), ("a", ctypes.c_uint64), ("b", ctypes.c_uint64))


def close_all_but(calls: Sequence[str], families: Sequence[int]) -> None:
    """Let this process and its children make these calls alone, and sockets of these families; EPERM else."""
    library = ctypes.CDLL("libseccomp.so.2")
    library.seccomp_init.restype = ctypes.c_void_p
    rules = ctypes.c_void_p(library.seccomp_init(ctypes.c_uint32(_EPERM)))
    numbers = {name: library.seccomp_syscall_resolve_name(name.encode()) for name in calls}
    for name, number in numbers.items():
        # Namespaces are restricted: clone3, whose flags lie in memory, does not exist.
        action = _ENOSYS if name == "clone3" else _ALLOW
        if number >= 0 and name not in ("socket", "unshare", "setns"):
            assert library.seccomp_rule_add_array(rules, ctypes.c_uint32(action), number, 0, None) == 0, name
    for family in families:
        one = (_Compare * 1)(_Compare(0, _EQUAL, family, 0))
        assert library.seccomp_rule_add_array(rules, ctypes.c_uint32(_ALLOW), numbers["socket"], 1, one) == 0
    assert library.seccomp_load(rules) == 0


if __name__ == "__main__":
    close_all_but(sys.argv[1].split(","), [int(one) for one in sys.argv[2].split(",")])
    os.execvp(sys.argv[3], sys.argv[3:])
