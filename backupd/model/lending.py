"""A set that a machine gave away before it stored anything of it, and has again."""

from __future__ import annotations

from backupd.model.structs import Strict


class Lending(Strict, frozen=True, kw_only=True):
    """Who may have stored something of it meanwhile; nobody is known to have."""

    hosts: list[str] = []
    """Empty: it was never given away so."""
    since_ns: int = 0
    """By this machine's clock."""


NOT_LENT = Lending()
