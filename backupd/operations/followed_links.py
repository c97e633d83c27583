"""Which sources of a snapshot were named, and which are there because links lead to them."""

from __future__ import annotations

import msgspec

from backupd.model.results import shown
from backupd.model.structs import Struct
from backupd.snapshot.records import Snapshot
from backupd.wire.malformed import MALFORMED


class _Settings(Struct, frozen=True):
    """Of the settings of a snapshot what is read here."""

    followed: list[str] = []


def named_sources(snapshot: Snapshot) -> list[bytes]:
    """The sources that somebody named; all where the snapshot does not tell."""
    try:
        followed = {*msgspec.json.decode(snapshot.settings, type=_Settings).followed}
    except MALFORMED:
        return snapshot.sources
    return [source for source in snapshot.sources if shown(source) not in followed] or snapshot.sources
