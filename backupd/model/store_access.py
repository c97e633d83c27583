"""What opens the door of a store: login, keys, proxy, the drive it lies on, the members of a pool, limits."""

from __future__ import annotations

from typing import Annotated

import msgspec

from backupd.model.sets import MOST_MEMBERS, PoolKind
from backupd.model.structs import Number, Seconds, Strict


class Volume(Strict, frozen=True, kw_only=True):
    """The file system that a local destination lay on when it was made."""

    place: str
    """The destination's directory, as its settings name it."""
    mount_point: str
    """Where the file system was mounted."""
    id: str | None = None
    """Its UUID or serial number; None where it has none that this machine knows."""
    path: str
    """Of the directory, from the file system's own root on."""
    is_removable: bool = False
    """Whether the directory is looked for wherever the file system is mounted."""


class Proxy(Strict, frozen=True, kw_only=True):
    """A proxy on the way to a store."""

    url: str
    """`http://HOST:PORT` or `socks5://HOST:PORT`."""
    login: bytes | None = None
    """Text with the lines `user = …` and `password = …`."""


class PaceGrant(Strict, frozen=True, kw_only=True):
    """A member's part in a table of limits of bandwidth (destination.pacing)."""

    descriptor: Number
    """Inherited, of the table's memory."""
    member: Number
    told: list[str] = []
    """The limits that hold at the beginning, in words."""


class PoolMember(Strict, frozen=True, kw_only=True):
    """One of the destinations of a pool."""

    id: str
    """Of the destination."""
    name: str
    place: str
    access: StoreAccess


class Pool(Strict, frozen=True, kw_only=True):
    """Several destinations that are used as one."""

    name: str
    kind: PoolKind
    copies: Annotated[int, msgspec.Meta(ge=1, le=MOST_MEMBERS)] = 1
    members: Annotated[list[PoolMember], msgspec.Meta(min_length=1, max_length=MOST_MEMBERS)]


class StoreAccess(Strict, frozen=True, kw_only=True):
    """What opens the door of a store that is no directory."""

    credentials: bytes | None = None
    """The store's login as text (destination.logins); None: the store's own chain, as environment, agent, role."""
    host_key: str | None = None
    """`SHA256:…` of the server's SSH key."""
    known_hosts: str | None = None
    """Absolute path of a file of SSH keys; None: the user's own."""
    ca_file: str | None = None
    """Absolute path of the certificates that vouch for the server; None: those of the system."""
    allow_plaintext: bool = False
    """Whether login and objects may cross the net unencrypted."""
    words: list[str] = []
    """The options that gave this, without secrets, for the commands that are printed."""
    retry_seconds: Seconds | None = None
    """How long one call that fails for a moment is tried again; None: five minutes."""
    pace: PaceGrant | None = None
    """None: what is sent and received has no limit, and gets none."""
    pool: Pool | None = None
    """Of a place that is a pool: what it consists of."""

    def paces(self) -> list[PaceGrant]:
        """Its own, or those of the members of a pool."""
        inner = [pace for one in (self.pool.members if self.pool is not None else ()) for pace in one.access.paces()]
        return [*([self.pace] if self.pace is not None else []), *inner]
    proxy: Proxy | None = None
    """None: the store is reached without one, whatever the environment says."""
    volume: Volume | None = None
    """On which a local place has to lie; None: nobody noted it."""


NO_ACCESS = StoreAccess()
"""Nothing was given: what the store finds by itself."""
