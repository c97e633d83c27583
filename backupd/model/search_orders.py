"""`bkctl set suggest` and `set coverage`: what of this machine should be backed up, and is not."""

from __future__ import annotations

from typing import Annotated

import msgspec

from backupd.model.explain_order import ExplainOrder
from backupd.model.orders import Order
from backupd.model.structs import Number, Seconds, Strict

MOST_EXTENSIONS = 256
MOST_HITS = 10_000
DEFAULT_HITS = 1000


class KnownSet(Strict, frozen=True, kw_only=True):
    """A set, as far as it says what it takes in."""

    taken_in: ExplainOrder
    """Without paths: to be asked for any."""
    streams: list[str] = []
    """Their kinds."""
    enabled: bool = True


class SuggestOrder(Order, frozen=True, kw_only=True, tag="suggest"):
    """Search disks for files; what sets take in of them is the daemon's to fill in."""

    paths: list[bytes] = []
    """Directories to begin at; empty: `/`, without file systems of other machines."""
    extensions: Annotated[list[str], msgspec.Meta(max_length=MOST_EXTENSIONS)] = []
    """In small letters, without a dot before; empty: all files."""
    larger_bytes: Number | None = None
    smaller_bytes: Number | None = None
    newer_seconds: Seconds | None = None
    """Changed last no longer ago."""
    older_seconds: Seconds | None = None
    most: Annotated[int, msgspec.Meta(ge=1, le=MOST_HITS)] = DEFAULT_HITS
    """So many are told, the largest; all are counted."""
    sets: list[KnownSet] | None = None
    """None: nobody knows them."""


class CoverageOrder(Order, frozen=True, kw_only=True, tag="coverage"):
    """Say of mounts, homes and databases of this machine in which sets they are."""

    check: bool = False
    """Whether what is in none makes it end with 21."""
    sets: list[KnownSet] = []
