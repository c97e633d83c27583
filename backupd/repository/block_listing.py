"""Which blocks lie at a place."""

from __future__ import annotations

from backupd.block.layout import BLOCK_ID_BYTES, block_name
from backupd.destination.contract import Destination


def list_blocks(place: Destination) -> dict[bytes, int]:
    """Sizes of all blocks at a place, by id. place: sees the repository's folder only."""
    found: dict[bytes, int] = {}
    for info in place.list("blocks/"):
        block_id = block_id_of(info.name)
        if block_id is not None:
            found[block_id] = info.size_bytes
    return found


def block_id_of(name: str) -> bytes | None:
    """The id in a block's object name, None for another name."""
    try:
        block_id = bytes.fromhex(name.rpartition("/")[2])
    except ValueError:
        return None
    return block_id if len(block_id) == BLOCK_ID_BYTES and block_name(block_id) == name else None
