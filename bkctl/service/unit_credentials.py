"""From where systemd reads the secrets that it gives to the service."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

from bkctl.service.files import read_files

_LOAD = re.compile(r"^\s*LoadCredential(?:Encrypted)?\s*=\s*([^:\s]+):(/.*?)\s*$", re.MULTILINE)


def credential_files(unit_directory: str) -> Iterator[tuple[str, str]]:
    """Name and path of each one in the service's unit and its drop-ins. Raises AccessError."""
    unit = os.path.join(unit_directory, "backupd.service")
    try:
        added = sorted(os.listdir(f"{unit}.d"))
    except OSError:
        added = []
    names = [unit, *(os.path.join(f"{unit}.d", name) for name in added if name.endswith(".conf"))]
    for data in read_files(names).values():
        yield from _LOAD.findall(data.decode(errors="surrogateescape"))
