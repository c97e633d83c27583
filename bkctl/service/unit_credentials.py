"""From where systemd reads the secrets that it gives to the service."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence

from backupd.errors import ConflictError
from bkctl.service.files import read_files
from bkctl.service.scope import Scope, xdg

_UNIT = "backupd"
_LOAD = re.compile(r"^\s*LoadCredential(?:Encrypted)?\s*=\s*([^:\s]+):([/%].*?)\s*$", re.MULTILINE)
_SPECIFIER = re.compile(r"%(.?)", re.DOTALL)


def credential_files(scope: Scope) -> Iterator[tuple[str, str]]:
    """Name and path of each one in the service's unit and its drop-ins; of one that is in either of two, both paths.

    Raises AccessError, ConflictError for a path that systemd alone can tell.
    """
    unit = os.path.join(scope.unit_directory(), f"{_UNIT}.service")
    try:
        added = sorted(os.listdir(f"{unit}.d"))
    except OSError:
        added = []
    names = [unit, *(os.path.join(f"{unit}.d", name) for name in added if name.endswith(".conf"))]
    known = _specifiers(scope)
    for data in read_files(names).values():
        for name, path in _LOAD.findall(data.decode(errors="surrogateescape")):
            for whole in _expanded(name, path, known):
                yield name, whole


def _specifiers(scope: Scope) -> Mapping[str, Sequence[str]]:
    """What may stand for each specifier of systemd.unit(5) that leads to the service's own directories."""
    named = {"%": ["%"], "n": [f"{_UNIT}.service"], "N": [_UNIT], "p": [_UNIT]}
    if scope.is_system:
        return {**named, "E": ["/etc"], "S": ["/var/lib"], "C": ["/var/cache"], "h": ["/root"]}
    config, state, cache = (
        xdg(scope.environment, name, default)
        for name, default in (("CONFIG", ".config"), ("STATE", ".local/state"), ("CACHE", ".cache"))
    )
    # Until systemd 254 a user's state lay with his settings.
    return {**named, "E": [config], "S": [state, config], "C": [cache], "h": [os.path.expanduser("~")]}


def _expanded(name: str, path: str, known: Mapping[str, Sequence[str]]) -> list[str]:
    """What a path with specifiers may be. Raises ConflictError."""
    found, end = [""], 0
    for match in _SPECIFIER.finditer(path):
        if match[1] not in known:
            raise ConflictError(
                f"the service's credential {name} is read from {path}, and only systemd knows where {match[0]} is",
                hint="write its path in full there: systemctl edit backupd",
            )
        between = path[end : match.start()]
        found, end = [one + between + meant for one in found for meant in known[match[1]]], match.end()
    return [one + path[end:] for one in found]
