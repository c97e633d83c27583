"""Where a daemon has its socket, settings and state."""

from __future__ import annotations

import msgspec


class DaemonPlaces(msgspec.Struct, frozen=True, kw_only=True):
    """Absolute paths."""

    socket: str
    config: str
    """Directory of backupd.yaml and conf.d."""
    state: str
    """Directory of the catalog, its lock and the locks of sets; with `owns_state` also of keys and caches."""
    owns_state: bool
    """Whether jobs keep everything below `state`; else keys and caches lie in the user's XDG directories."""
