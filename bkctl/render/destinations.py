"""Destinations as text and as JSON output shows them."""

from __future__ import annotations

from typing import Any

from backupd.model.api import DestinationChange, DestinationList, DestinationView
from backupd.model.places import PlaceUrl, is_url
from backupd.model.secret_references import SecretReference
from backupd.model.sets import DestinationText, PoolText, ProxyText
from backupd.sizes import count, format_bytes, format_seconds
from bkctl.render.sets import change_lines as lines_of_change
from bkctl.render.table import table
from bkctl.render.times import rfc3339, shown
from bkctl.text import escape


def document(found: DestinationView) -> dict[str, Any]:
    """A destination as JSON output shows it."""
    return {
        "id": found.id,
        "name": found.text.name,
        "place": found.text.place,
        "pool": _pool(found.text.pool),
        "absent": found.text.absent,
        "credentials": origin_of(found.text.credentials),
        "host_key": found.text.host_key,
        "known_hosts": found.text.known_hosts,
        "ca_file": found.text.ca_file,
        "allow_plaintext": found.text.allow_plaintext,
        "retry_for": found.text.retry_for,
        "proxy": _proxy(found.text),
        "proxy_login": origin_of(found.text.proxy.login) if isinstance(found.text.proxy, ProxyText) else None,
        "jobs_at_once": found.text.jobs_at_once,
        "removable": found.text.removable,
        "quota": found.text.quota,
        "lock": _lock(found.text),
        "kept_in": found.file,
        "created": rfc3339(found.created_ns),
        "sets": found.sets,
        "seeding": _seeding(found),
    }


def _lock(text: DestinationText) -> dict[str, Any] | None:
    """How objects are locked there, as its address says."""
    if text.pool is not None or not is_url(text.place):
        return None
    chosen = PlaceUrl.parse(text.place).options
    if "lock" not in chosen:
        return None
    return {"mode": chosen["lock"], "days": int(chosen.get("lock_days", 0))}


def _lock_text(text: DestinationText) -> str | None:
    lock = _lock(text)
    return f"{lock['mode']}, {count(lock['days'], 'day')}" if lock is not None else None


def _seeding(found: DestinationView) -> dict[str, Any] | None:
    if found.seeding is None:
        return None
    return {"place": found.seeding.place, "since": rfc3339(found.seeding.since_ns), "sets": found.seeding.sets}


def _pool(pool: PoolText | None) -> dict[str, Any] | None:
    if pool is None:
        return None
    return {"kind": pool.kind, "members": pool.members, "copies": _copies(pool)}


def _copies(pool: PoolText) -> int:
    if pool.kind != "mirror":
        return 1
    return pool.copies if pool.copies is not None else min(2, len(pool.members))


def place_line(text: DestinationText) -> str:
    """Where a destination is: its place, or what its pool consists of."""
    if text.pool is None:
        return text.place
    copies = f", {_copies(text.pool)} copies" if text.pool.kind == "mirror" else ""
    return f"{text.pool.kind} of {', '.join(text.pool.members)}{copies}"


def list_lines(found: DestinationList) -> list[str]:
    """A table."""
    if not found.destinations:
        return ["No destination yet. Make one: bkctl destination add NAME PLACE"]
    rows = [[one.text.name, _place_cell(one), ", ".join(one.sets) or "-"] for one in found.destinations]
    return table(["DESTINATION", "PLACE", "SETS"], rows)


def _place_cell(one: DestinationView) -> str:
    since = f", seeding since {shown(one.seeding.since_ns)}" if one.seeding is not None else ""
    return place_line(one.text) + since


def show_lines(found: DestinationView) -> list[str]:
    """One destination."""
    return [
        f"Destination {found.text.name}, {found.id[:9]}" + f", kept in {found.file}" * bool(found.file),
        f"  place: {place_line(found.text)}",
        f"  when absent: {found.text.absent}",
        *["  its drive is found wherever it is mounted"] * found.text.removable,
        *_door_lines(found.text),
        f"  sets: {', '.join(found.sets) or 'none'}",
        *_seeding_lines(found),
    ]


def _seeding_lines(found: DestinationView) -> list[str]:
    seeding = found.seeding
    if seeding is None:
        return []
    return [
        f"  seeding since {shown(seeding.since_ns)}: {', '.join(seeding.sets) or 'no set'}, from {seeding.place}",
        f"  when it has arrived: bkctl destination adopt {found.text.name}",
    ]


def _door_lines(text: DestinationText) -> list[str]:
    """What opens a store elsewhere, as far as it was given."""
    said = {
        "credentials": origin_of(text.credentials),
        "host key": text.host_key,
        "known hosts": text.known_hosts,
        "certificates": text.ca_file,
        "tried again for": text.retry_for,
        "proxy": _proxy(text),
        "quota": text.quota,
        "objects are locked": _lock_text(text),
    }
    lines = [f"  {name}: {value}" for name, value in said.items() if value is not None]
    return lines + ["  login and data may cross the net unencrypted"] * text.allow_plaintext


def _proxy(text: DestinationText) -> str | None:
    return text.proxy.url if isinstance(text.proxy, ProxyText) else text.proxy


def origin_of(reference: SecretReference | None) -> str | None:
    """Where a secret is read from."""
    if reference is None:
        return None
    if reference.command is not None:
        return f"command {reference.command[0] if reference.command else ''}"
    if reference.credential is not None:
        return f"credential {reference.credential}"
    if reference.keyring is not None:
        return f"keyring {reference.keyring}"
    return f"file {reference.file}" if reference.file is not None else f"variable {reference.env}"


def added_lines(made: DestinationChange) -> list[str]:
    """What was made and what to do next."""
    text = made.destination.text
    if made.change.dry_run:
        return [f"Destination {text.name} would be made."]
    use = f"Use it: bkctl set create NAME --source PATH --to {text.name}"
    return [f"Destination {text.name}: {place_line(text)}.", use]


def test_lines(found: dict[str, Any]) -> list[str]:
    """What a test showed, and what follows from it."""
    marks = {"good": "ok", "missing": "can't", "failed": "FAILED"}
    width = max((len(one["name"]) for one in found["findings"]), default=0)
    lines = [f"{found['place']}: reached in {found['reached_seconds'] * 1000:.0f} ms"]
    for one in found["findings"]:
        detail = f"  {escape(one['detail'])}" if one["detail"] else ""
        lines.append(f"  {one['name']:{width}}  {marks[one['verdict']]}{detail}")
    if found["put_bytes_per_second"] is not None:
        put, get = (format_bytes(found[f"{way}_bytes_per_second"]) for way in ("put", "get"))
        lines.append(f"  {'32 MiB objects':{width}}  {put}/s written, {get}/s read")
    free = found["free_bytes"]
    lines.append(f"  {'free space':{width}}  {format_bytes(free) if free is not None else 'not told by this store'}")
    for name, fact in (("earlier versions", "keeps_versions"), ("object lock", "object_lock")):
        kept = {True: "kept" if fact == "keeps_versions" else "on", False: "none", None: "not told by this store"}
        lines.append(f"  {name:{width}}  {kept[found[fact]]}")
    for one in found["members"]:
        said = "ok" if one["reached"] else f"AWAY  {escape(one['detail'])}"
        lines.append(f"  {'member ' + one['name']:{width}}  {said}")
    if not found["usable"]:
        return [*lines, "It can't be used as it is: what FAILED would cost backups."]
    if not found["create_if_absent"]:
        lines.append("The store can't tell which of two writers was first: let one host alone free space there.")
    return [*lines, "It can be used."]


def heal_lines(found: dict[str, Any]) -> list[str]:
    """What was copied."""
    size = format_bytes(found["copied_bytes"])
    lines = [f"{found['destination']}: {count(found['copied_objects'], 'object')} copied, {size}"]
    lines += [f"  {one['name']}: {one['copied_objects']:,}" for one in found["members"] if one["copied_objects"]]
    return [*lines, "All its members are whole." if found["whole"] else "Not all its members are whole; see above."]


def uncover_lines(found: dict[str, Any]) -> list[str]:
    """What is back, or would be."""
    both = found["hidden"] + found["overwritten"]
    if not both:
        return [f"{found['place']}: nothing is hidden or overwritten."]
    facts = f"{found['hidden']:,} hidden, {found['overwritten']:,} overwritten, {format_bytes(found['bytes'])}"
    if found["dry_run"]:
        return [f"{found['place']}: {count(both, 'object')} would be brought back: {facts}; nothing was changed."]
    return [
        f"{found['place']}: {count(both, 'object')} brought back: {facts}.",
        "Look whether all is whole: bkctl check --all --crc; whether key slots came back: bkctl key list",
    ]


def session_lines(found: dict[str, Any]) -> list[str]:
    """A table of writers; or what became of one that was revoked."""
    if "session" in found:
        short = found["session"]["short"]
        left = f"its last checkpoint is the partial snapshot {short}" if found["partial"] else "it left no snapshot"
        return [f"Session {short} is ended; {left}."]
    if not found["sessions"]:
        return ["Nobody writes there."]
    rows = [
        [
            one["short"],
            escape(one["set"] or "-"),
            escape(one["host"] or "-"),
            f"{format_seconds(one['age_seconds'])} ago" if one["age_seconds"] is not None else "unreadable",
            "checkpoint" if one["has_checkpoint"] else "nothing yet",
            "holds back freeing" if one["holds_back_freeing"] else f"ended, its name is {one['snapshot_state']}",
        ]
        for one in found["sessions"]
    ]
    return table(["SESSION", "SET", "HOST", "LAST HEARD", "STORED", "STATE"], rows)


def change_lines(made: DestinationChange) -> list[str]:
    """What changed."""
    return lines_of_change(made.destination.text.name, made.change)
