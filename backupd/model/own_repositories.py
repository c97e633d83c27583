"""The repository of its own that a set of the daemon has at each place, and whose history goes on in it."""

from __future__ import annotations

from backupd.model.store_access import NO_ACCESS, StoreAccess
from backupd.model.structs import Strict


class Lending(Strict, frozen=True, kw_only=True):
    """A set that a machine gave away before it stored anything of it: who may have stored something meanwhile."""

    hosts: list[str] = []
    """Empty: it was never given away so."""
    since_ns: int = 0
    """By this machine's clock."""


NOT_LENT = Lending()


class OwnRepository(Strict, frozen=True, kw_only=True):
    """A set of the daemon has a repository of its own at each place, under one id."""

    repository: str
    """Id under which it is, or is to be made."""
    adopts: bool = False
    """Nothing is known of earlier runs: a repository there that holds this host's set of this name is taken over."""
    copied_from: str | None = None
    """PLACE/ID where the set has it already: keys and keyring are taken from there."""
    copied_access: StoreAccess = NO_ACCESS
    """To that place."""
    after: list[str] = []
    """With `adopts`: hosts that the set belonged to before; what one of them stored goes on, or nothing begins."""
    lent: Lending = NOT_LENT
    """With `adopts`: what one of its hosts stored goes on, where one did."""
