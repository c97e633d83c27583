"""`info`: this program, this machine, and a repository."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from importlib import metadata
from typing import Any

import msgspec

from backupd import __version__
from backupd.cache import counted_areas
from backupd.destination.contract import Forwarding
from backupd.errors import DamageError, DestinationError
from backupd.model import events
from backupd.model.areas import areas_of
from backupd.model.orders import InfoOrder
from backupd.operations.cache_place import kept_in
from backupd.operations.context import JobContext
from backupd.operations.places import OpenPlace, load_place_index, open_place
from backupd.operations.snapshot_listing import Listing, list_snapshots, warn_of_unread
from backupd.repository.key_management import newest_epoch
from backupd.repository.looking import newest_of_sets
from backupd.repository.opening import list_slots
from backupd.rules import moments, names
from backupd.settings.keys import KeyStore
from backupd.sizes import count
from backupd.snapshot import naming
from backupd.snapshot.records import Snapshot
from backupd.store_errors import KeyDirectoryError

LIBRARIES = ("blake3", "click", "cryptography", "msgspec", "numpy", "pyfastcdc", "segno", "zstandard")
_CGROUP_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
_NO_LIMIT = 1 << 60


def _kept_keys(context: JobContext) -> int:
    try:
        return len(KeyStore(context.directories.data).repository_ids())
    except KeyDirectoryError as error:
        context.warn(f"{error.message}; {error.hint}")
        return 0


def run(order: InfoOrder, context: JobContext) -> events.Done:
    """Tell versions, machine and directories; with a place also what the repository there is."""
    result: dict[str, Any] = {
        "version": __version__,
        "python": sys.version.split()[0],
        **_machine(),
        "directories": _directories(context),
        "libraries": _libraries(),
        "kept_keys": _kept_keys(context),
    }
    damaged = 0
    if order.place:
        place = open_place(context)
        result["repository"], damaged = _repository(context, place)
    if not damaged:
        return events.Done(exit_code=0, result=result, warnings=context.warnings)
    return events.Done(
        exit_code=DamageError.exit_code,
        result=result,
        warnings=context.warnings,
        error={
            "code": DamageError.code,
            "message": f"damaged: {count(damaged, 'snapshot or index object', 'snapshots or index objects')}",
            "hint": "`bkctl check` says what is hit",
            "retryable": False,
            "context": {},
        },
    )


def _machine() -> dict[str, Any]:
    system = os.uname()
    return {
        "platform": f"{system.sysname} {system.release}",
        "architecture": system.machine,
        "processors": os.cpu_count() or 1,
        "usable_processors": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        "memory": _memory(),
    }


def _memory() -> dict[str, int]:
    page = os.sysconf("SC_PAGE_SIZE")
    memory = {"total_bytes": os.sysconf("SC_PHYS_PAGES") * page}
    known = dict(_meminfo())
    wanted = {"MemAvailable": "available_bytes", "SwapTotal": "swap_total_bytes", "SwapFree": "swap_free_bytes"}
    memory |= {ours: known[theirs] for theirs, ours in wanted.items() if theirs in known}
    for path in _CGROUP_LIMITS:
        limit = _first_line(path)
        if limit.isdigit() and int(limit) < _NO_LIMIT:
            memory["limit_bytes"] = int(limit)
            break
    return memory


def _meminfo() -> Iterator[tuple[str, int]]:
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            for line in file:
                name, _, rest = line.partition(":")
                if rest.endswith("kB\n"):
                    yield name, int(rest.split()[0]) * 1024
    except OSError:
        # Not on this platform.
        return


def _first_line(path: str) -> str:
    try:
        with open(path, encoding="ascii") as file:
            return file.readline().strip()
    except OSError:
        return ""


def _directories(context: JobContext) -> dict[str, Any]:
    # Not those of a job that keeps nothing.
    found = context.own_directories
    return {
        "config": found.config,
        "data": found.data,
        "keys": KeyStore(found.data).directory,
        "state": found.state,
        "cache": found.cache,
        "temporary": found.temporary,
        "cache_bytes": _size_below(found.cache),
        "temporary_bytes": _size_below(found.temporary),
    }


def _libraries() -> dict[str, str | None]:
    versions: dict[str, str | None] = {}
    for name in LIBRARIES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = None
    return versions


def _repository(context: JobContext, place: OpenPlace) -> tuple[dict[str, Any], int]:
    opened = place.repository
    config = opened.keyring.configuration
    listing = list_snapshots(place)
    warn_of_unread(context, listing)
    index = load_place_index(place)
    for name, message in index.damaged.items():
        context.warn(f"index/{name}: {message}")
    rows = {row.block_id: row for row in index.tables.blocks()}.values()
    slots, _ = list_slots(opened.place)
    facts = {
        "id": opened.text_id,
        "place": place.address,
        "encryption": "none" if any(slot.kind == "clear" for slot in slots.values()) else config.cipher,
        "cipher": config.cipher,
        "block_size_bytes": config.block_bytes,
        "parity": config.parity,
        "opened_by": opened.slot.kind,
        "key_slots": len(slots),
        "epoch": opened.keyring.number,
        "newest_epoch": newest_epoch(opened.place),
        "epochs": [keys.number for keys in opened.keyring.epochs],
        "sets": len({at.snapshot.set_id for at in listing.found}),
        "snapshots": len({at.snapshot.id for at in listing.found if at.snapshot.is_complete}),
        "incomplete_snapshots": len({at.snapshot.id for at in listing.found if not at.snapshot.is_complete}),
        "blocks": len(rows),
        "stored_bytes": sum(row.size_bytes for row in rows),
        "chunks": len(index.tables),
        "index_objects": len(index.sizes),
        "index_bytes": sum(index.sizes.values()),
        "cache_bytes": sum(map(_size_below, kept_in(context, opened.text_id, os.path.basename(place.cache)))),
        "free_bytes": place.whole.free_bytes(),
        "areas": _areas(context, place, [at.snapshot for at in listing.found]),
        "object_lock": _lock(context, place, listing),
    }
    return facts, len(listing.damaged) + len(index.damaged)


def _areas(context: JobContext, place: OpenPlace, snapshots: list[Snapshot]) -> dict[str, Any] | None:
    """What each set holds, as the last freeing by this host counted it; None: none did."""
    found = counted_areas.load(place.cache)
    if found is None or found.repository != place.repository.text_id:
        return None
    newest = newest_of_sets({naming.snapshot_id_text(one.id): one for one in snapshots})
    of_sets = {naming.set_id_text(set_id): naming.snapshot_id_text(one.id) for set_id, one in newest.items()}
    names_of = [one.set for one in found.sets]
    told: dict[str, Any] = {}
    for one in found.sets:
        areas = areas_of(found, one.set_id, of_sets.get(one.set_id))
        key = one.set if names_of.count(one.set) == 1 else f"{one.set} ({names.short(one.set_id)})"
        told[key] = {**msgspec.to_builtins(areas), "counted_at": moments.rfc3339(found.as_of_ns, context.zone)}
    return told


def _lock(context: JobContext, place: OpenPlace, listing: Listing) -> dict[str, Any] | None:
    """How the place locks objects, and until when the newest snapshot is; None: it does neither."""
    store = Forwarding(place.repository.place)
    rule, until_ns = store.lock_rule, None
    newest = max(listing.found, key=lambda at: at.snapshot.started_ns, default=None)
    if newest is not None:
        try:
            until_ns = store.locked_until(newest.name)
        except DestinationError as error:
            context.warn(f"until when the newest snapshot is locked is not known: {error.message}")
    if rule is None and until_ns is None:
        return None
    return {
        "mode": rule.mode if rule is not None else None,
        "days": rule.days if rule is not None else None,
        "newest_snapshot_until": moments.rfc3339(until_ns, context.zone) if until_ns is not None else None,
    }


def _size_below(path: str) -> int:
    total = 0
    for directory, _, files in os.walk(path):
        for name in files:
            try:
                total += os.lstat(os.path.join(directory, name)).st_blocks * 512
            except OSError:
                # Another job's file that went away.
                continue
    return total
