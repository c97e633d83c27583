"""What a client asks for when backup data is to be deleted, whatever the policy says."""

from __future__ import annotations

from backupd.model.orders import Limits, Order


class PurgeOrder(Order, frozen=True, kw_only=True, tag="purge"):
    """`bkctl purge`: delete snapshots of sets, or paths in them, or a whole repository, and give the space back."""

    set_names: list[str] = []
    """Names or ids of sets, or HOST:SET."""
    host_name: str | None = None
    """All sets of this host."""
    whole: bool = False
    """All of the repository at the place, its keys first."""
    paths: list[bytes] = []
    """Absolute; empty: snapshots go, else they are written anew without these."""
    snapshots: list[str] = []
    """Ids; of the sets only these, empty: all."""
    dry_run: bool = False
    plan: str = ""
    """Id of the plan that was shown; nothing else is ever carried out."""
    evidence: str | None = None
    """Absolute path of the file for the signed list of what was deleted."""
    asked_by: str = ""
    """User for whom a daemon has it done, for the signed list."""
    limits: Limits = Limits()
