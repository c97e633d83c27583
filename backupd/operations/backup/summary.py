"""What a run leaves in its snapshot, and what it tells."""

from __future__ import annotations

import shlex
from typing import Any

import msgspec

from backupd import __version__
from backupd.errors import BackupError, DestinationError, LeftOutError, StoppedError
from backupd.model import events
from backupd.model.orders import BackupOrder
from backupd.model.results import path_fields
from backupd.operations.backup.opening import OpenedForWriting
from backupd.operations.backup.part import Part
from backupd.operations.backup.parts import Parts
from backupd.operations.backup.setting import SetUse
from backupd.operations.backup.sudden_drop import SuddenDrop
from backupd.operations.backup.tally import Tally
from backupd.operations.context import JobContext, error_fields
from backupd.operations.places import OpenPlace
from backupd.rules import moments, names
from backupd.snapshot import naming
from backupd.snapshot.records import FEWER, Snapshot
from backupd.source.owners import Owners
from backupd.store_errors import BlocksLostError, FewerFilesError, StoredAgainError

FIRST_PROBLEMS = 20
_ENCRYPTION = {"clear": "none", "key": "default", "password": "password"}


class Draft:
    """Makes the snapshot object of a run, finished or not."""

    def __init__(
        self,
        order: BackupOrder,
        context: JobContext,
        place: OpenPlace,
        use: SetUse,
        session: bytes,
        started_ns: int,
        tally: Tally,
    ) -> None:
        self.order, self.context, self.place, self.use = order, context, place, use
        self.session, self.started_ns, self.tally = session, started_ns, tally
        self.read_all_ns = started_ns
        self.settings = use.settings
        self.drop: SuddenDrop | None = None
        self._owners = Owners()
        self._known_owners: tuple[list[tuple[int, bytes]], list[tuple[int, bytes]]] = ([], [])

    def know_owners(self, newest: Snapshot) -> None:
        """Of what is taken over unseen the names are as the newest snapshot has them."""
        self._known_owners = (newest.owners, newest.groups)

    def snapshot(self, root: bytes, new_bytes: int, stored_bytes: int, *, is_complete: bool) -> Snapshot:
        """The object as it would be committed now. stored_bytes: at its destination."""
        tally, use, context = self.tally, self.use, self.context
        for uid in tally.uids:
            self._owners.user_name(uid)
        for gid in tally.gids:
            self._owners.group_name(gid)
        self._owners.adopt(*self._known_owners)
        statistics = {
            "stored_bytes": stored_bytes,
            "new_bytes": new_bytes,
            "read_bytes": tally.read_bytes,
            "new": tally.new,
            "changed": tally.changed,
            "same": tally.same,
            "gone": tally.gone,
            "left_out": tally.left_out,
            "problems": tally.problem_count,
            "read_all_ns": self.read_all_ns,
            **({FEWER: self.drop.before} if self.drop is not None else {}),
        }
        return Snapshot(
            id=self.session,
            set_id=use.set_id,
            set_name=use.name,
            host_id=bytes.fromhex(context.host.host_id),
            host_name=use.host_name,
            started_ns=self.started_ns,
            finished_ns=context.clock.now_ns(),
            is_complete=is_complete,
            root=root,
            sources=sorted([*use.rules.sources, *use.rules.named]),
            owners=sorted((uid, name) for uid, name in self._owners.users.items() if name),
            groups=sorted((gid, name) for gid, name in self._owners.groups.items() if name),
            file_count=tally.seen,
            byte_count=tally.seen_bytes,
            statistics=statistics,
            settings=self.settings,
            tags=self.order.tags,
            epoch=self.place.repository.keyring.number,
            program=f"backupd {__version__}",
        )


def look(tally: Tally, lost: BlocksLostError | None = None, drop: SuddenDrop | None = None) -> BackupError:
    """The error that says to look at a source that lost files, what was left out, or a destination that lost blocks."""
    if drop is not None:
        return FewerFilesError(
            drop.message,
            hint="were they deleted on purpose, all is well; retention keeps that snapshot for 30 days all the same",
        )
    if lost is not None and not tally.beyond:
        return StoredAgainError.after(lost.message)
    count = tally.beyond
    return LeftOutError(
        f"{count} {'entry' if count == 1 else 'entries'} left out or flagged",
        hint="`-v` names each; all else is stored",
    )


def result(draft: Draft, parts: Parts, new_bytes: int, exit_code: int) -> dict[str, Any]:
    """The result document of `once` (CLI.md, Output). One destination at least has the snapshot."""
    context, tally = draft.context, draft.tally
    first = parts.committed[0]
    opened, place, snapshot = first.opened, first.place, first.snapshot
    if snapshot is None:
        raise AssertionError("what is committed has a snapshot")
    at = "" if snapshot.is_complete else f" --as-of {names.short(naming.snapshot_id_text(snapshot.id))}"
    restore = f"bkctl restore {shlex.quote(snapshot.set_name)} {place.from_words} --to restored{at}"
    run = _run_fields(context, draft.use, tally, draft.started_ns, exit_code) | {
        "snapshot": naming.snapshot_id_text(snapshot.id),
        "bytes": msgspec.to_builtins(tally.byte_counts(new_bytes)),
        "destinations": _destinations(parts),
        "restore_command": restore,
        "restore_one_command": _restore_one(draft, snapshot, place),
        "key": _key(opened),
        "incomplete": not snapshot.is_complete,
        **({"fewer_files": draft.drop.fields} if draft.drop is not None else {}),
    }
    return {"runs": [run], "repository": repository(opened, place)}


def _destinations(parts: Parts) -> list[dict[str, Any]]:
    """One entry for each place of the order, in its order."""
    good = {part.number: _good(part) for part in parts.committed}
    bad = {number: _failed(parts.addresses[number], error) for number, error in parts.errors.items()}
    unsent = StoppedError("stopped before all was sent", hint="the next run goes on from what is stored")
    return [
        good.get(number) or bad.get(number) or _failed(address, unsent)
        for number, address in enumerate(parts.addresses)
    ]


def _good(part: Part) -> dict[str, Any]:
    return {
        "name": part.place.address,
        "verdict": "good",
        "stored_bytes": part.stored_bytes,
        "held_bytes": part.held_bytes,
        **({"account_bytes": part.account.held_bytes} if part.account is not None else {}),
        "free_bytes": _free_bytes(part.place),
        "error": error_fields(part.alarm) if part.alarm is not None else None,
    }


def _failed(address: str, error: BackupError) -> dict[str, Any]:
    """The entry of a destination that has nothing of the run that could be restored."""
    return {"name": address, "verdict": "failed", "stored_bytes": 0, "error": error_fields(error)}


def _free_bytes(place: OpenPlace) -> int | None:
    """What fails after the commit fails no run."""
    try:
        return place.whole.free_bytes()
    except DestinationError:
        return None


def dry_result(
    context: JobContext, opened: OpenedForWriting, use: SetUse, tally: Tally, began_ns: int, exit_code: int
) -> dict[str, Any]:
    """The result document of `once --dry-run`."""
    run = _run_fields(context, use, tally, began_ns, exit_code) | {
        "snapshot": None,
        "bytes": msgspec.to_builtins(tally.byte_counts(0)),
        "destinations": [],
        "restore_command": None,
        "restore_one_command": None,
        "key": _key(opened),
        "incomplete": False,
    }
    return {"runs": [run], "repository": repository(opened, opened.place), "dry_run": True}


def _run_fields(context: JobContext, use: SetUse, tally: Tally, began_ns: int, exit_code: int) -> dict[str, Any]:
    return {
        "set": use.name,
        "set_id": naming.set_id_text(use.set_id),
        "host": use.host_name,
        "job": None,
        "started": moments.rfc3339(began_ns, context.zone),
        "seconds": round(context.elapsed_seconds, 3),
        "exit": exit_code,
        "files": msgspec.to_builtins(tally.file_counts()),
        "problems": problems(tally),
        **({"links": {"outside": tally.links_outside, "followed": len(use.followed)}} if use.rules.outside else {}),
        **({"migrate": {"files": tally.stale_files, "bytes": tally.stale_bytes}} if use.is_migrating else {}),
    }


def problems(tally: Tally) -> dict[str, Any]:
    """Count and the first ones, how many there are of each kind, and what the set's rules make of others."""
    first = [{**path_fields(p.path), "kind": p.kind, "message": p.message} for p in tally.problems[:FIRST_PROBLEMS]]
    return {
        "count": tally.problem_count,
        "first": first,
        "kinds": dict(sorted(tally.kinds.items())),
        "flagged": tally.flagged,
        "tolerated": dict(sorted(tally.tolerated.items())),
    }


def repository(opened: OpenedForWriting, place: OpenPlace) -> dict[str, Any]:
    """What is told of the repository."""
    text = place.repository.text_id
    return {
        "id": text,
        "short": names.short(text),
        "place": place.address,
        "created": opened.made_key is not None,
        "encryption": _ENCRYPTION[place.repository.slot.kind],
    }


def _key(opened: OpenedForWriting) -> dict[str, Any]:
    made = opened.made_key
    label = opened.place.repository.slot.label
    return {
        "created": made is not None and made.kind == "key",
        "file": made.file if made else None,
        "label": label,
        "sheet_command": f"bkctl key sheet {opened.place.from_words}",
    }


def _restore_one(draft: Draft, snapshot: Snapshot, place: OpenPlace) -> str | None:
    path = draft.tally.example
    try:
        text = path.decode()
    except UnicodeDecodeError:
        return None
    if not text.isprintable() or not path:
        return None
    name, where = shlex.quote(snapshot.set_name), place.from_words
    return f"bkctl restore {name} {shlex.quote(text)} {where} --strip --to ."


def followed_up(
    done: events.Done, context: JobContext, entries: dict[int, dict[str, Any]], failed: BackupError | None
) -> events.Done:
    """How the run ended, with what came after it at its places. failed: what of that went wrong first.

    entries: more fields by number of the place in the order, as the result lists them.
    """
    exit_code = done.exit_code or (failed.exit_code if failed is not None else 0)
    (run,) = done.result["runs"]
    destinations = [{**one, **entries.get(number, {})} for number, one in enumerate(run["destinations"])]
    return events.Done(
        exit_code=exit_code,
        result={**done.result, "runs": [{**run, "exit": exit_code, "destinations": destinations}]},
        warnings=context.warnings,
        error=done.error or (error_fields(failed) if failed is not None else None),
    )
