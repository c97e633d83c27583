"""`set coverage`: which mounts, homes and directories of databases of this machine are in no set."""

from __future__ import annotations

import os
from collections.abc import Iterator
from glob import glob
from typing import Any, Literal, NamedTuple

from backupd.destination.stores import local_paths
from backupd.errors import AttentionError
from backupd.model import events
from backupd.model.results import shown
from backupd.model.search_orders import CoverageOrder
from backupd.operations.context import JobContext, error_fields
from backupd.operations.known_sets import KnownSets
from backupd.rules.left_out import pseudo_mounts
from backupd.settings.user_directories import people
from backupd.source.mounts import Mount, read_mounts, shown_elsewhere

Kind = Literal["mount", "home", "database"]

_IN_MEMORY = frozenset({"tmpfs", "ramfs"})
_IMAGES = frozenset({"squashfs", "iso9660", "udf", "erofs", "cramfs"})
_LAYERED = frozenset({"overlay", "aufs", "fuse.fuse-overlayfs"})
_DATABASES = (
    ("postgresql", "/var/lib/postgresql/*/*"),
    ("postgresql", "/var/lib/pgsql/data"),
    ("postgresql", "/var/lib/pgsql/*/data"),
    ("postgresql", "/var/lib/postgres/data"),
    ("postgresql", "/opt/homebrew/var/postgresql*"),
    ("postgresql", "/usr/local/var/postgres*"),
    ("mysql", "/var/lib/mysql"),
    ("mysql", "/var/lib/mariadb"),
    ("mysql", "/opt/homebrew/var/mysql"),
    ("mysql", "/usr/local/var/mysql"),
    ("mongodb", "/var/lib/mongodb"),
    ("mongodb", "/var/lib/mongo"),
    ("redis", "/var/lib/redis"),
    ("valkey", "/var/lib/valkey"),
    ("ldap", "/var/lib/ldap"),
    ("couchdb", "/var/lib/couchdb"),
    ("cassandra", "/var/lib/cassandra"),
    ("clickhouse", "/var/lib/clickhouse"),
    ("influxdb", "/var/lib/influxdb*"),
    ("elasticsearch", "/var/lib/elasticsearch"),
    ("opensearch", "/var/lib/opensearch"),
    ("neo4j", "/var/lib/neo4j"),
    ("sql server", "/var/opt/mssql/data"),
)
"""Where packages put them."""


class _Place(NamedTuple):
    kind: Kind
    path: bytes
    name: str
    """Type of the file system, login name, or kind of the database."""


def run(order: CoverageOrder, context: JobContext) -> events.Done:
    """Look at all of them."""
    known = KnownSets(order.sets, context)
    left_out, places = _mounts(order)
    places += [_Place("home", one.home, one.name) for one in people(context.environ)]
    places += _databases()
    found = []
    for place in dict.fromkeys(places):
        context.cancel.check()
        found.append(_document(place, known))
    missing = [one for one in found if one["covered"] == "none"]
    result = {"places": found, "next": None, "uncovered": len(missing), "left_out": left_out}
    if order.check and missing:
        error = AttentionError(
            f"{missing[0]['path']}" + f" and {len(missing) - 1} more" * (len(missing) > 1) + " in no set",
            hint="bkctl set edit SET --add-source PATH",
        )
        return events.Done(
            exit_code=error.exit_code, result=result, warnings=context.warnings, error=error_fields(error)
        )
    return events.Done(exit_code=0, result=result, warnings=context.warnings)


def _document(place: _Place, known: KnownSets) -> dict[str, Any]:
    taken, names = known.taking(place.path)
    streams = known.streaming(place.name) if place.kind == "database" else []
    if streams and taken == "none":
        taken = "part"
    return {
        "kind": place.kind,
        "path": shown(place.path),
        "name": place.name,
        "covered": taken,
        "sets": names,
        "streams": streams,
        "disabled_sets": known.disabled(place.path) if taken == "none" else [],
    }


def _mounts(order: CoverageOrder) -> tuple[list[dict[str, str]], list[_Place]]:
    """(mounts that nobody has to back up, with the reason; those that somebody has to)."""
    mounts = {mount.path: mount for mount in read_mounts()}
    pseudo = pseudo_mounts((mount.path, mount.type) for mount in mounts.values())
    stores = list(_stored_to(order))
    left_out: list[dict[str, str]] = []
    places: list[_Place] = []
    table = list(mounts.values())
    for path, mount in sorted(mounts.items()):
        # Of another machine that is gone nobody gets an answer: it is not asked.
        if path in pseudo or not (mount.is_network or os.path.isdir(path)):
            continue
        reason = _why_not(mount, table, stores)
        if reason:
            left_out.append({"path": shown(path), "reason": reason})
        else:
            places.append(_Place("mount", path, mount.type))
    return left_out, places


def _why_not(mount: Mount, mounts: list[Mount], stores: list[tuple[str, bytes]]) -> str:
    twin = shown_elsewhere(mount, mounts)
    if twin is not None:
        return f"the same as {shown(twin)}"
    if mount.is_network:
        return f"of another machine ({mount.type})"
    if mount.type in _IN_MEMORY:
        return f"in memory ({mount.type})"
    if mount.type in _IMAGES or (mount.type in _LAYERED and mount.path != b"/"):
        return f"made of something else ({mount.type})"
    held = next((name for name, path in stores if mount.path != b"/" and _mount_of(path, mounts) == mount.path), "")
    return f"holds the destination {held}" if held else ""


def _mount_of(path: bytes, mounts: list[Mount]) -> bytes:
    above = [one.path for one in mounts if (path + b"/").startswith(one.path.rstrip(b"/") + b"/")]
    return max(above, key=len, default=b"/")


def _stored_to(order: CoverageOrder) -> Iterator[tuple[str, bytes]]:
    for one in order.sets:
        for store in one.taken_in.stores:
            for path in local_paths(store.place, store.access):
                yield store.place, os.fsencode(os.path.realpath(path))


def _databases() -> list[_Place]:
    found: dict[bytes, _Place] = {}
    for kind, pattern in _DATABASES:
        for path in sorted(glob(pattern)):
            real = os.fsencode(os.path.realpath(path))
            try:
                if real not in found and os.path.isdir(real) and os.listdir(real):
                    found[real] = _Place("database", real, kind)
            except OSError:
                found[real] = _Place("database", real, kind)
    return list(found.values())
