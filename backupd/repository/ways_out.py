"""What helps where a record of a repository can't be read: said by whoever has to end for it (docs/protocol.md)."""

from __future__ import annotations

_CHECK = "bkctl check SET"
_REPAIR = f"{_CHECK} --repair"
_WAYS = {
    "sessions/": "a run that goes on announces itself anew within ten minutes, the next run of its host ends a dead "
    "one; or: bkctl destination sessions DEST --revoke ID",
    "gc/drop-": f"{_REPAIR} --confirm SET gives it up where all snapshots that stand are whole; "
    "what it dropped and still stands is listed again then",
    "gc/": f"{_REPAIR} puts a list in its place that gives nothing free; where it "
    "can't, have the snapshots copied to a new place: bkctl destination replicate",
    "damage/": f"{_REPAIR} --crc reads all blocks and then does without it",
    "notes/": f"it may be a pin: {_REPAIR} --confirm SET pins all snapshots in its place",
}


def way_out(name: str, check: str = _CHECK) -> str:
    """A hint for an object of this name; empty where nothing is known. check: how the place is checked from here."""
    return next((way for start, way in _WAYS.items() if name.startswith(start)), "").replace(_CHECK, check)
