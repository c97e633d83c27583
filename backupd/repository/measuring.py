"""What was sent is measured before anything relies on it (FEATURES 8.6)."""

from __future__ import annotations

from collections.abc import Callable

from backupd.block.layout import block_name
from backupd.destination.contract import Destination


def missing(place: Destination, sizes: dict[bytes, int], report: Callable[[str], None]) -> list[bytes]:
    """Of these blocks those that do not lie at the destination with their size."""
    bad = [block_id for block_id, size in sizes.items() if place.size(block_name(block_id)) != size]
    for block_id in bad:
        report(f"{block_name(block_id)} is not at the destination as it was sent")
    return bad
