"""What a purge is about: which snapshots go, and which are written anew without some paths."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

import msgspec

from backupd.errors import PathNotFoundError, SetNotFoundError, SnapshotNotFoundError, UsageError
from backupd.model.purge_orders import PurgeOrder
from backupd.model.results import shown
from backupd.operations.context import JobContext
from backupd.operations.snapshot_listing import SnapshotAt, to_record
from backupd.repository.dropping import PURGE_REASON
from backupd.repository.records import Records
from backupd.rules import names, picking
from backupd.rules.retention.plan_ids import plan_id
from backupd.snapshot import naming
from backupd.snapshot.records import Snapshot
from backupd.tree.entry import Entry
from backupd.tree.omitting import covers, outermost

Action = Literal["drop", "rewrite"]
_ACTIONS: tuple[Action, ...] = ("drop", "rewrite")


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """One snapshot that a purge is about."""

    at: SnapshotAt
    new_root: bytes | None = None
    """Of its tree without the paths; None: all of it goes."""
    left_out: list[tuple[bytes, Entry]] = []
    """Path and entry of what is left out."""
    files: int = 0
    """That go with it."""
    bytes: int = 0

    @property
    def snapshot(self) -> Snapshot:
        """As it stands."""
        return self.at.snapshot

    @property
    def action(self) -> Action:
        """What becomes of it."""
        return "drop" if self.new_root is None else "rewrite"


def check_order(order: PurgeOrder) -> None:
    """Refuse what says too little or too much. Raises UsageError."""
    ways = [bool(order.set_names), order.host_name is not None, order.whole]
    if sum(ways) != 1:
        raise UsageError("what is to be purged is not said", hint="name sets, or give --host NAME, or --all")
    if order.whole and (order.paths or order.snapshots):
        raise UsageError("--all deletes the repository", hint="name a SET for --path and --snapshot")
    for path in order.paths:
        parts = path.split(b"/")
        if parts[0] or len(parts) < 2 or any(part in (b"", b".", b"..") for part in parts[1:]):
            raise UsageError(
                f"{shown(path)} is no path that can be left out",
                hint="a full path as the set's sources have it; to delete all of a set, leave --path out",
            )
    if not order.dry_run and not order.plan:
        raise UsageError("what is purged has to be shown before", hint="ask for a plan first: bkctl purge --dry-run")


def choose(
    order: PurgeOrder, context: JobContext, records: Records, snapshots: dict[str, Snapshot]
) -> tuple[list[SnapshotAt], list[str]]:
    """(the snapshots that are meant, the oldest first; the ids of their sets).

    snapshots: all of the repository that are not void, by name. No snapshot where an earlier call has dropped them all.
    Raises SetNotFoundError, AmbiguousNameError, SnapshotNotFoundError.
    """
    found = [SnapshotAt(name, one) for name, one in snapshots.items()]
    wanted = _sets(order, context, records, found)
    chosen = [at for at in found if _is_meant(at.snapshot, wanted)]
    if order.snapshots:
        # Those that are void already are no mistake: the same purge may have been broken off.
        void = (naming.parse_snapshot_name(name) for name in records.void_names())
        known = {naming.snapshot_id_text(name.session) for name in void if name is not None}
        known |= {naming.snapshot_id_text(at.snapshot.id) for at in chosen}
        ids = {names.match_prefix(word, known, SnapshotNotFoundError) for word in order.snapshots}
        chosen = [at for at in chosen if naming.snapshot_id_text(at.snapshot.id) in ids]
    return sorted(chosen, key=lambda at: (at.snapshot.set_id, at.snapshot.started_ns, at.name)), sorted(wanted)


def _is_meant(snapshot: Snapshot, wanted: Mapping[str, set[str | None]]) -> bool:
    hosts = wanted.get(naming.set_id_text(snapshot.set_id), set())
    return any(picking.is_of_host(snapshot.host_name, host) for host in hosts)


def words_of(order: PurgeOrder) -> list[str]:
    """What the order calls what it is about."""
    return [f"host {order.host_name}"] if order.host_name is not None else list(order.set_names)


def _sets(
    order: PurgeOrder, context: JobContext, records: Records, found: list[SnapshotAt]
) -> dict[str, set[str | None]]:
    """Ids of the sets that are meant, and whose snapshots of them; None: whoever made them.

    A set that went from one machine to another has snapshots of both.
    """
    if order.host_name is not None:
        of_host: dict[str, set[str | None]] = {
            naming.set_id_text(at.snapshot.set_id): {order.host_name}
            for at in found
            if picking.is_of_host(at.snapshot.host_name, order.host_name)
        }
        if not of_host and not _was_purged(records, words_of(order)):
            hosts = sorted({at.snapshot.host_name for at in found})
            raise SetNotFoundError(f"no set of the host {order.host_name} is here", context={"candidates": hosts})
        return of_host
    sets: dict[str, set[str | None]] = {}
    as_known = [to_record(at) for at in found]
    for word in order.set_names:
        try:
            chosen = picking.choose_set(as_known, word, own_host=context.host.name)
            sets.setdefault(chosen, set()).add(picking.host_of(word, None))
        except SetNotFoundError:
            # Its snapshots were dropped; the space that they took may not be given back yet.
            if not _was_purged(records, [word]):
                raise
            if names.is_id(word, "b"):
                sets.setdefault(word, set()).add(None)
    return sets


def _was_purged(records: Records, words: list[str]) -> bool:
    """Whether earlier calls have purged all that these words call so."""
    reasons = _reasons(records)
    return all(any(word in lines for lines in reasons.values()) for word in words)


def reason_of(order: PurgeOrder, action: Action) -> str:
    """What the drop record says: by it the same purge is known again, and by its plan it goes on."""
    return "\n".join([PURGE_REASON, *words_of(order), *_paths_word(order), f"plan {order.plan}", action])


def paths_word(paths: Iterable[bytes]) -> str:
    """The line of a reason that tells paths, by a hash: what was deleted is not to be named for ever."""
    return f"paths {plan_id(*(path.hex() for path in outermost(paths)))}"


def _paths_word(order: PurgeOrder) -> list[str]:
    return [paths_word(order.paths)] if order.paths else []


def _reasons(records: Records) -> dict[str, list[str]]:
    """Lines of the reason of each drop record that a purge wrote, without the first, by its name."""
    split = {name: drop.reason.split("\n") for name, drop in records.drops().items()}
    return {name: lines[1:] for name, lines in split.items() if lines[0] == PURGE_REASON}


def plan_now(order: PurgeOrder, records: Records, repository: str, left: dict[str, Action]) -> str:
    """Id of the plan: of what is left to do, or of an earlier plan of which just that is left.

    left: by name of the snapshot. Of several that fit, the one that the order names.
    """
    reasons, drops = _reasons(records), records.drops()
    done: dict[str, dict[str, Action]] = {}
    for name, lines in reasons.items():
        *_, plan, action = ["", *lines]
        if plan.startswith("plan ") and action in _ACTIONS:
            done.setdefault(plan.removeprefix("plan "), {}).update(dict.fromkeys(drops[name].names, action))
    for plan, actions in sorted(done.items(), key=lambda one: not (order.plan and one[0].startswith(order.plan))):
        if plan == plan_of(order, repository, actions | left):
            return plan
    return plan_of(order, repository, left)


def plan_of(order: PurgeOrder, repository: str, actions: dict[str, Action]) -> str:
    """Id of a plan. actions: by name of the snapshot."""
    parts = [f"{name} {action}" for name, action in sorted(actions.items())]
    return plan_id("purge", repository, *words_of(order), "", *parts, "", *_paths_word(order))


def remaining_sources(snapshot: Snapshot, paths: list[bytes]) -> list[bytes]:
    """The sources of a snapshot that are left without some paths."""
    return [source for source in snapshot.sources if not covers(paths, source)]


def refuse_unknown_paths(order: PurgeOrder, records: Records, wishes: list[Wish]) -> None:
    """Raises PathNotFoundError for a path that none of the snapshots holds, unless just this was purged before."""
    held = {path for wish in wishes for path, _ in wish.left_out}
    missing = [path for path in outermost(order.paths) if path not in held]
    was_purged = _was_purged(records, [*words_of(order), *_paths_word(order)])
    if not missing or was_purged:
        return
    raise PathNotFoundError(
        f"no snapshot that is meant holds {shown(missing[0])}",
        hint="nothing was changed; bkctl snapshot versions PATH shows which do",
    )
