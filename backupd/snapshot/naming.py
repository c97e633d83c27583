"""Names of snapshots, sessions and records below the repository, and what they tell (docs/format.md, Names)."""

from __future__ import annotations

import re
from typing import Literal

import msgspec

from backupd.clock import to_name

_SNAPSHOT = re.compile(r"snapshots/(b[0-9a-f]{32})/([0-9]{8}t[0-9]{6}z)-([0-9a-f]{32})")
_SESSION = re.compile(r"sessions/([0-9a-f]{32})/([0-9]{8})")
_PURGE = re.compile(r"gc/purge-[0-9a-f]{32}")
_GC = re.compile(r"gc/([0-9]{1,18})\.(candidates|deleted)")


class SnapshotName(msgspec.Struct, frozen=True):
    """What a snapshot's name says without opening it."""

    name: str
    set_id: str
    start: str
    session: bytes


def set_id_text(set_id: bytes) -> str:
    """`b` and 32 hex digits."""
    return "b" + set_id.hex()


def snapshot_id_text(snapshot_id: bytes) -> str:
    """`s` and 32 hex digits."""
    return "s" + snapshot_id.hex()


def snapshot_name(set_id: bytes, started_ns: int, session: bytes) -> str:
    """The name whose creation commits a snapshot."""
    return f"snapshots/{set_id_text(set_id)}/{to_name(started_ns)}-{session.hex()}"


def parse_snapshot_name(name: str) -> SnapshotName | None:
    """None for a name that is no snapshot's."""
    match = _SNAPSHOT.fullmatch(name)
    return SnapshotName(name, match[1], match[2], bytes.fromhex(match[3])) if match else None


def session_name(session: bytes, n: int) -> str:
    """Announcement n of a session, from 1."""
    return f"sessions/{session.hex()}/{n:08}"


def parse_session_name(name: str) -> tuple[bytes, int] | None:
    """(session, n), or None."""
    match = _SESSION.fullmatch(name)
    return (bytes.fromhex(match[1]), int(match[2])) if match else None


def gc_name(n: int, kind: Literal["candidates", "deleted"]) -> str:
    """A list of generation n, from 1."""
    return f"gc/{n}.{kind}"


def parse_gc_name(name: str) -> tuple[int, str] | None:
    """(n, `candidates` or `deleted`), or None."""
    match = _GC.fullmatch(name)
    return (int(match[1]), match[2]) if match else None


def is_purge_name(name: str) -> bool:
    """Whether it says that all of the repository is being deleted."""
    return _PURGE.fullmatch(name) is not None
