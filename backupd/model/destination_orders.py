"""Orders about a destination itself: tried, tested, healed, adopted; who writes there."""

from __future__ import annotations

from typing import Annotated

import msgspec

from backupd.model.orders import Order


class DestinationProbeOrder(Order, frozen=True, kw_only=True, tag="destination_probe"):
    """`bkctl doctor`: whether a place can be reached and written, how fast, what is free; writes nothing lasting."""


class DestinationTestOrder(Order, frozen=True, kw_only=True, tag="destination_test"):
    """`bkctl destination test`: what a store can do and how fast it is; what it writes it deletes again."""

    quick: bool = False
    """Only whether it can be used at all."""


class DestinationHealOrder(Order, frozen=True, kw_only=True, tag="destination_heal"):
    """`bkctl destination heal`: copy to each member of a pool what it lacks."""


class DestinationUncoverOrder(Order, frozen=True, kw_only=True, tag="destination_uncover"):
    """`bkctl destination uncover`: bring back what was hidden or overwritten where a store keeps versions."""

    dry_run: bool = False


class ProxyTestOrder(Order, frozen=True, kw_only=True, tag="proxy_test"):
    """`bkctl config test-proxy`: how far one comes through the proxy of `access`; `place` is empty."""

    host: str
    port: Annotated[int, msgspec.Meta(ge=1, le=65535)]
    tls: bool = True
    """Whether the server speaks TLS from the first byte on."""


class DestinationSessionsOrder(Order, frozen=True, kw_only=True, tag="destination_sessions"):
    """`bkctl destination sessions`: who writes at a place."""

    revoke: str | None = None
    """Id, or the begin of one, of a session to end for its writer."""


class DestinationAdoptOrder(Order, frozen=True, kw_only=True, tag="destination_adopt"):
    """`bkctl destination adopt`: whether the copy of a set that came on a disk is whole at its destination."""

    set_name: str
    """The set's name; its snapshots there are checked."""
    set_id: str = ""
    """As its snapshots name it; the daemon knows."""
    sample: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] = 20
    """Blocks, drawn, of which every byte is verified."""
