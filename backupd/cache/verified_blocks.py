"""When this host last read each block of a repository at a place: the oldest ones are read first (FEATURES 8.4).

A text file, 0600: its first line is the BLAKE3 of the others, of which each has a block's id and the seconds since 1970
UTC. Whatever is odd about it, it counts as absent: all blocks are read anew then.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

from blake3 import blake3

from backupd import durable_io
from backupd.state_errors import translated

_LIMIT_BYTES = 256 << 20
_LINE = re.compile(rb"([0-9a-f]{64}) ([0-9]{1,15})")


def load(path: str) -> dict[bytes, int]:
    """Seconds since 1970 UTC by block id; empty where there is no file to trust."""
    try:
        with open(path, "rb") as file:
            data = file.read(_LIMIT_BYTES)
    except OSError:
        return {}
    check, _, body = data.partition(b"\n")
    if check != blake3(body).hexdigest().encode():
        return {}
    found = (_LINE.fullmatch(line) for line in body.splitlines())
    return {bytes.fromhex(match[1].decode()): int(match[2]) for match in found if match is not None}


def save(path: str, verified: Mapping[bytes, int]) -> None:
    """Make the file anew. Raises StateFullError, AccessError, StateError."""
    body = "".join(f"{block_id.hex()} {seconds}\n" for block_id, seconds in sorted(verified.items())).encode()
    try:
        durable_io.make_directories(os.path.dirname(path))
        durable_io.remove_leftovers(os.path.dirname(path))
        durable_io.replace(path, [f"{blake3(body).hexdigest()}\n".encode(), body])
    except OSError as error:
        raise translated(error, path) from error
