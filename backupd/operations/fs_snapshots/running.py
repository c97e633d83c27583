"""Makes snapshots of the file systems of a run's sources, says where it is to read, and removes them."""

from __future__ import annotations

import os
import stat as modes
from collections.abc import Sequence
from contextlib import ExitStack, suppress

import msgspec

from backupd.command_errors import FsSnapshotError
from backupd.errors import BackupError, BusyError
from backupd.model import events
from backupd.model.fs_snapshots import FsSnapshotOrder
from backupd.model.grafts import Graft
from backupd.model.results import shown
from backupd.operations.backup.setting import filter_places, read_rules, real_path
from backupd.operations.backup.shortcuts import expanded
from backupd.operations.context import JobContext
from backupd.operations.fs_snapshots.apfs import Apfs
from backupd.operations.fs_snapshots.btrfs import Btrfs
from backupd.operations.fs_snapshots.contract import (
    MOST_TARGETS,
    Kind,
    Made,
    Target,
    below,
    is_ours,
    set_of,
    snapshot_name,
)
from backupd.operations.fs_snapshots.lvm import Lvm
from backupd.operations.fs_snapshots.programs import OR_LIVE, Programs, SystemPrograms
from backupd.operations.fs_snapshots.reading import Reading
from backupd.operations.fs_snapshots.record import Records
from backupd.operations.fs_snapshots.zfs import Zfs
from backupd.operations.run_as import rights_to_read
from backupd.rules.filter_rules import Rule
from backupd.rules.left_out import PSEUDO_TYPES
from backupd.settings.lock import SetLock
from backupd.source.chain import OPEN_WAY
from backupd.source.mounts import Mount, mount_at, read_mounts, shows


def run(order: FsSnapshotOrder, context: JobContext) -> events.Done:
    """Make, look, remove, or sweep. Raises BackupError."""
    records = Records(context.directories.state)
    cancel = context.cancel if order.verb in ("make", "look") else None
    programs = SystemPrograms(context.environ, context.clock, cancel)
    kinds = kinds_of(programs, records.mounts)
    if order.verb in ("make", "look"):
        with rights_to_read(order.run_as) as context.source_rights:
            grafts = Making(expanded(order, context)[0], context, records, kinds).run()
        told = [msgspec.to_builtins(graft, builtin_types=(bytes,)) for graft in grafts]
        context.send(events.Item(item={"grafts": told}))
    else:
        removing = Removing(context, records, kinds)
        for job_id in [order.job_id] if order.verb == "remove" else records.jobs():
            removing.job(job_id, is_left=order.verb == "sweep")
        if order.verb == "sweep":
            sweep_once(context, kinds)
    return events.Done(exit_code=0, result={}, warnings=context.warnings)


def kinds_of(programs: Programs, mounts: str) -> list[Kind]:
    """All kinds there are. mounts: directory for those that have to be mounted."""
    return [Btrfs(programs), Zfs(programs), Lvm(programs, mounts), Apfs(programs, mounts)]


def sweep_once(context: JobContext, kinds: Sequence[Kind]) -> None:
    """Remove what runs of `once` left behind with this state; a run that is under way holds the lock of its set."""
    state = context.directories.state
    records = Records(state, of_once=True)
    removing = Removing(context, records, kinds)
    for job_id in records.jobs():
        with ExitStack() as stack:
            try:
                for set_id in sorted({set_of(one.name) or "" for one in records.read(job_id)} - {""}):
                    stack.enter_context(SetLock(state, set_id)).acquire(context.clock)
            except BusyError:
                continue
            except BackupError as error:
                context.warn(error.message)
                continue
            removing.job(job_id, is_left=True)


class Removing:
    """Removes what a job made, or left."""

    def __init__(self, context: JobContext, records: Records, kinds: Sequence[Kind]) -> None:
        self._context, self._records = context, records
        self._kinds = {kind.name: kind for kind in kinds}

    def job(self, job_id: str, *, is_left: bool = False) -> None:
        """All that stands of a job; what can't be removed is warned about, and tried again later.

        is_left: whether its daemon ended before it could.
        """
        try:
            made = self._records.read(job_id)
            left = [one for one in reversed(made) if not self.one(one, is_left=is_left)]
            self._records.write(job_id, left[::-1])
        except BackupError as error:
            self._context.warn(error.message)

    def one(self, made: Made, *, is_left: bool) -> bool:
        """Whether it is gone."""
        kind = self._kinds.get(made.kind)
        if kind is None:
            self._context.warn(f"a snapshot of the kind {made.kind} stands that nobody here knows: {made.place}")
            return False
        try:
            was_there = kind.remove(made)
        except FsSnapshotError as error:
            hint = f" ({error.hint})" if error.hint else ""
            self._context.warn(f"{error.message}{hint}; it is looked for again before the set's next run")
            return False
        if was_there and is_left:
            text = f"removed a snapshot of {made.kind} that a run left behind: {made.name} of {made.place}"
            self._context.tell("warning", text)
        elif was_there:
            self._context.tell("information", f"removed the snapshot of {made.kind} {made.name}", verbosity=1)
        return True


class Making:
    """Makes the snapshots of one run."""

    def __init__(
        self, order: FsSnapshotOrder, context: JobContext, records: Records, kinds: Sequence[Kind]
    ) -> None:
        """Raises UsageError for filters that are none."""
        self._order, self._context, self._records = order, context, records
        self._rights = context.source_rights
        self._sources = self._rights.do(_standing, order.sources, read_rules(order.filters))
        self._reading = Reading(order, context, self._sources)
        self._removing = Removing(context, records, kinds)
        self._kinds = [kind for kind in kinds if order.kind in ("auto", kind.name)]
        self._began_ns = context.clock.now_ns()
        self._made: list[Made] = []
        self._places: dict[tuple[str, str], Made] = {}
        self._grafts: dict[bytes, Graft] = {}

    def run(self) -> list[Graft]:
        """Make all; where to read. What was made goes again where one can't be. Raises BackupError.

        Where the order is to look alone, there is nothing to read from.
        """
        context, order = self._context, self._order
        if order.verb == "look":
            self._all([mount for mount in read_mounts() if not _is_snapshot(mount)])
            return []
        context.step("make snapshots of file systems")
        for job_id in self._records.jobs():
            if any(order.set_id in one.name for one in self._known(job_id)):
                self._removing.job(job_id, is_left=True)
        mounts = [mount for mount in read_mounts() if not _is_snapshot(mount)]
        try:
            self._all(mounts)
            self._add_others(mounts)
        except BackupError:
            self._removing.job(order.job_id)
            raise
        return [self._grafts[path] for path in sorted(self._grafts)]

    def _known(self, job_id: str) -> list[Made]:
        try:
            return self._records.read(job_id)
        except BackupError as error:
            self._context.warn(error.message)
            return []

    def _all(self, mounts: Sequence[Mount]) -> None:
        holding: dict[int, list[bytes]] = {}
        for source in self._sources:
            at = mount_at(source, mounts, self._rights)
            if at is None:
                self._give_up(FsSnapshotError(f"nobody can tell on which file system {shown(source)} lies"))
            else:
                holding.setdefault(at, []).append(source)
        for number, mount in enumerate(mounts):
            if number in holding:
                self._mount(mount, mounts, holding[number])
            elif not self._order.one_file_system and self._lies_below(mount) and shows(mount):
                self._mount(mount, mounts, [])

    def _lies_below(self, mount: Mount) -> bool:
        return any(below(mount.path, one) for one in self._sources)

    def _mount(self, mount: Mount, mounts: Sequence[Mount], sources: Sequence[bytes]) -> None:
        """A mounted file system that holds sources, or lies below one."""
        self._context.cancel.check()
        kind = next((one for one in self._kinds if one.takes(mount)), None)
        if kind is None:
            if sources:
                which = "no snapshots" if self._order.kind == "auto" else f"no snapshots of {self._order.kind}"
                self._give_up(
                    FsSnapshotError(
                        f"{shown(sources[0])} lies on {mount.type}, which has {which}",
                        hint=f"make none (--fs-snapshot off), {OR_LIVE}",
                    )
                )
            elif mount.type not in PSEUDO_TYPES:
                text = f"{shown(mount.path)} is read as it is: {mount.type} has no snapshots that are wanted"
                self._context.tell("information", text, verbosity=1)
            return
        if not self._reading.enters(mount.path):
            self._tell_left_out(mount.path)
            return
        try:
            found = kind.find(mount, mounts, sources, nested=not self._order.one_file_system)
        except FsSnapshotError as error:
            self._give_up(error)
            return
        for path, why in found.left:
            self._graft(path, path)
            self._context.tell("information", f"{shown(path)} is read as it is: {why}", verbosity=1)
        count = 0
        for target in found.targets:
            if not self._reading.enters(target.path):
                self._graft(target.path, target.path)
                self._tell_left_out(target.path)
                continue
            count += 1
            try:
                if count > MOST_TARGETS:
                    raise FsSnapshotError(
                        f"{shown(target.path)} is one of more than {MOST_TARGETS} subvolumes, and can have no snapshot",
                        hint=f"leave some out by filters, {OR_LIVE}",
                    )
                self._target(kind, target)
            except FsSnapshotError as error:
                self._give_up(error)
                self._graft(target.path, target.path)

    def _tell_left_out(self, path: bytes) -> None:
        self._context.tell("information", f"no snapshot of {shown(path)} is made: it is left out", verbosity=1)

    def _target(self, kind: Kind, target: Target) -> None:
        if self._order.verb == "look":
            return
        made = self._places.get((kind.name, target.place))
        if made is None:
            order = self._order
            for one in kind.leftovers(target, order.set_id):
                if one.name not in {known.name for known in self._made}:
                    self._removing.one(one, is_left=True)
            made = kind.plan(target, snapshot_name(order.set_id, order.job_id, os.urandom(4).hex()))
            self._keep([*self._made, made])
            made = kind.make(target, made)
            self._keep([*self._made[:-1], made])
            kind.mount(target, made)
            self._places[kind.name, target.place] = made
            text = f"made the snapshot of {kind.name} {made.name} of {shown(target.path)}"
            self._context.tell("information", text, verbosity=1)
        self._graft(target.path, kind.read_at(target, made), kind.device(target, made))

    def _keep(self, made: list[Made]) -> None:
        self._records.write(self._order.job_id, made)
        self._made = made

    def _graft(self, path: bytes, read_at: bytes, read_device: int = 0) -> None:
        if read_at == path and path in self._grafts:
            return
        try:
            device = os.stat(path, follow_symlinks=False).st_dev
            os.stat(read_at, follow_symlinks=False)
        except OSError as error:
            raise FsSnapshotError(f"{shown(read_at)} can't be read: {error.strerror}") from error
        self._grafts[path] = Graft(
            path=path, read_at=read_at, device=device, made_ns=self._began_ns, read_device=read_device
        )

    def _add_others(self, mounts: Sequence[Mount]) -> None:
        """What is mounted below a snapshot is not in it."""
        snapshots = [path for path, graft in self._grafts.items() if graft.read_at != path]
        for mount in mounts:
            is_of_sources = self._order.follow_links or any(
                below(mount.path, one) is not None or below(one, mount.path) is not None for one in self._sources
            )
            is_below = any(below(mount.path, path) for path in snapshots)
            if is_of_sources and is_below and _is_directory(mount.path) and shows(mount):
                self._graft_live(mount)

    def _graft_live(self, mount: Mount) -> None:
        try:
            self._graft(mount.path, mount.path)
        except FsSnapshotError:
            # At a user's own mount not even root may look, and one may not answer: who reads it says so.
            self._grafts[mount.path] = Graft(
                path=mount.path, read_at=mount.path, device=mount.device, made_ns=self._began_ns
            )

    def _give_up(self, error: FsSnapshotError) -> None:
        """Raises it unless the set says that its sources are read as they are then."""
        if self._order.fallback == "fail":
            raise error
        hint = f" ({error.hint})" if error.hint and "fallback" not in error.hint else ""
        self._context.warn(f"{error.message}{hint}: read as it is, while it may change")


def _standing(given: Sequence[bytes], rules: Sequence[Rule]) -> list[bytes]:
    """Real paths of what is a source and there, with what filters take in."""
    sources = [real_path(path) for path in given]
    return [path for path in [*sources, *filter_places(rules, sources)] if os.path.lexists(path)]


def _is_directory(path: bytes) -> bool:
    """Whether one shows at a mount's path, also where what is mounted there is shut to us, or does not answer."""
    try:
        return modes.S_ISDIR(os.stat(path, follow_symlinks=False).st_mode)
    except OSError:
        with suppress(OSError):
            os.close(os.open(path, OPEN_WAY))
            return True
    return False


def _is_snapshot(mount: Mount) -> bool:
    """Also one of another job's, or another daemon's: nobody makes a snapshot of it in turn."""
    return b"/.zfs/snapshot/" in mount.path or is_ours(os.fsdecode(os.path.basename(mount.path)))
