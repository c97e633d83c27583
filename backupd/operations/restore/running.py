"""One restore from order to result. The order of its steps is the order of `run`."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator

import msgspec

from backupd.cache.index_tables import IndexTables
from backupd.errors import (
    BackupError,
    DamageError,
    DestinationUnreachableError,
    KeyMissingError,
    ObjectMissingError,
    TargetFullError,
    UsageError,
)
from backupd.model import events, work
from backupd.model.orders import RestoreOrder
from backupd.model.results import shown
from backupd.operations.context import JobContext
from backupd.operations.places import Lookup, OpenPlace, open_lookup, open_place, open_reader
from backupd.operations.restore import confirming, sparing
from backupd.operations.restore.crew import Crew
from backupd.operations.restore.deciding import Decider
from backupd.operations.restore.finding import ChunkFinder
from backupd.operations.restore.links import HardLinks
from backupd.operations.restore.outcome import Outcome
from backupd.operations.restore.reporting import report
from backupd.operations.restore.restoring import Restoring
from backupd.operations.restore.resuming import Note
from backupd.operations.restore.selecting import Selected, select
from backupd.operations.restore.survey import Survey
from backupd.operations.restore.targeting import make_target, target_of
from backupd.operations.restore.walking import walk
from backupd.operations.restore.writing import Writing
from backupd.operations.snapshot_listing import Listing, list_for_caller, pick_from, warn_of_unread
from backupd.operations.snapshot_tree import trees_of
from backupd.repository.index_loading import mark_absent
from backupd.repository.workforce import default_count
from backupd.rules import moments
from backupd.settings.directories import ensure
from backupd.snapshot.records import Snapshot
from backupd.state_errors import translated
from backupd.target.directories import Directories, open_root
from backupd.target.owners import owner_map
from backupd.target.unmatched import IsSpared, delete_unmatched


def run(order: RestoreOrder, context: JobContext) -> events.Done:
    """Restore what the order says. Raises BackupError where the restore could not begin or had to end."""
    with _own_caches(order, context):
        context.step("open the repository")
        place = open_place(context)
        listing = list_for_caller(context, place)
        warn_of_unread(context, listing)
        snapshot = pick_from(context, listing, order.selection)
        context.step(f"restore the snapshot of {moments.show(snapshot.started_ns, context.zone)}")
        return restore_snapshot(order, context, place, listing, snapshot)


@contextlib.contextmanager
def _own_caches(order: RestoreOrder, context: JobContext) -> Iterator[None]:
    """Keep index tables in a directory of this run where `--temp-dir` names one."""
    if order.temporary_directory is None:
        yield
        return
    above = context.directories.temporary
    try:
        made = tempfile.mkdtemp(prefix="restore-", dir=ensure(above))
    except OSError as error:
        raise translated(error, above) from error
    context.directories = msgspec.structs.replace(context.directories, cache=made)
    try:
        yield
    finally:
        shutil.rmtree(made, ignore_errors=True)


def restore_snapshot(
    order: RestoreOrder, context: JobContext, place: OpenPlace, listing: Listing, snapshot: Snapshot
) -> events.Done:
    """Restore from a snapshot of an opened place, whatever the order says of place and time."""
    restore = _Run(order, context, place, snapshot)
    try:
        return restore.run(listing)
    except TargetFullError as error:
        # What it is about is told as seen from the target.
        raise TargetFullError(f"{shown(restore.target)}: {error.message}", hint=error.hint) from error
    finally:
        restore.close()


class _Run:
    """A restore whose snapshot is known."""

    def __init__(self, order: RestoreOrder, context: JobContext, place: OpenPlace, snapshot: Snapshot) -> None:
        self._order, self._context, self._place, self._snapshot = order, context, place, snapshot
        self.target = target_of(order, place.address)
        if order.delete_unmatched and not snapshot.is_complete:
            raise UsageError(
                "--delete-unmatched can't go by a partial snapshot, which lacks what was not reached",
                hint="leave it out, or choose a complete snapshot",
            )
        self._owners = owner_map(order.owner, dict(snapshot.owners), dict(snapshot.groups))
        self.note = Note(context, place.repository.id, snapshot.id, self.target)
        self._outcome = Outcome(context, self.target, place, self.note.beat)
        self._outcome.is_read_back = order.verify
        self._decider = Decider(order, context, self._owners, self.note)
        self._is_spared: IsSpared | None = None
        self._index = self._load_index()
        self._trees = trees_of(context, open_reader(place, self._index).load)

    def run(self, listing: Listing) -> events.Done:
        """All steps."""
        selected = select(self._order, self._context, self._snapshot, listing, self._trees, self._note_damage)
        if self._order.dry_run:
            return report(self._context, self._snapshot, self.target, self._outcome, self._survey(selected, True))
        to_delete = self._prepare(selected)
        make_target(self.target)
        root_fd = open_root(self.target)
        directories = Directories(root_fd)
        try:
            self.note.begin(root_fd, directories)
            self._write(selected, directories, root_fd, to_delete)
            self.note.end()
        finally:
            directories.close()
            os.close(root_fd)
        return report(self._context, self._snapshot, self.target, self._outcome, None)

    def close(self) -> None:
        """Give back what was opened."""
        self.note.close()
        self._index.tables.close()

    def _write(
        self, selected: Selected, directories: Directories, root_fd: int, to_delete: list[tuple[bytes, bytes]]
    ) -> None:
        order, outcome = self._order, self._outcome
        count = order.limits.jobs or default_count()
        if order.caller is not None:
            count = min(count, default_count())
        meter = self._context.meters.of(self._place.address)
        crew = Crew(self._setup(), count, root_fd, self._context.cancel, self._context.rights, meter)
        finder = ChunkFinder(self._index.tables, self._place.repository.place)
        writing = Writing(crew, finder, self._trees.load, directories, self._owners, outcome)
        links = HardLinks(writing, directories, outcome)
        restoring = Restoring(writing, links, directories, self._decider, order.overwrite, outcome, self._trees.load)
        try:
            walk(selected.chosen(), self._trees, restoring)
            writing.drain()
            links.finish()
        finally:
            # Workers end first: what they still write to is deleted where it is not whole.
            crew.close()
            writing.abandon()
        for directory, name in to_delete:
            self._delete(directories, directory, name)
        restoring.finish(self._owners)
        self.note.sync_target()

    def _load_index(self) -> Lookup:
        context = self._context
        index = open_lookup(self._place, is_selective=bool(self._order.selection.paths))
        for message in [*index.damaged.values(), *index.locked.values()]:
            context.warn(f"{message}; what only it names can't be restored, `bkctl check --rebuild-index` finds it")
        try:
            if isinstance(index.tables, IndexTables):
                mark_absent(index.tables, self._place.records)
        except DestinationUnreachableError:
            raise
        except (DamageError, ObjectMissingError, KeyMissingError) as error:
            context.warn(f"{error.message}; places found bad before may be tried again")
        return index

    def _prepare(self, selected: Selected) -> list[tuple[bytes, bytes]]:
        """Ask what must be asked before anything is written; gives what is to be deleted in the end."""
        order, outcome, snapshot = self._order, self._outcome, self._snapshot
        can_ask = order.interactive or order.assume_yes
        is_there = os.path.isdir(self.target)
        if is_there and (order.delete_unmatched or (order.overwrite == "if-changed" and not can_ask)):
            survey = self._survey(selected, False)
            if not can_ask:
                confirming.refuse_newer(survey, self.target)
            outcome.total_files, outcome.total_bytes = survey.file_count, survey.byte_count
            return confirming.confirm_deletion(self._context, survey, self.target)
        if selected.is_whole:
            outcome.total_files, outcome.total_bytes = snapshot.file_count, snapshot.byte_count
            return []
        survey = Survey(None, self._decider, None, None)
        walk(selected.chosen(), self._trees, survey)
        outcome.total_files, outcome.total_bytes = survey.file_count, survey.byte_count
        return []

    def _survey(self, selected: Selected, keeps_steps: bool) -> Survey:
        is_spared: IsSpared | None = None
        if self._order.delete_unmatched:
            omission = None if self._order.delete_excluded else sparing.omission_of(self._snapshot)
            own = sparing.own_paths(self._context, self._place.address, self._place.access)
            real = os.path.realpath(self.target)
            is_spared = self._is_spared = sparing.Sparing(omission, own, real, selected.origin_of).is_spared
        full_path = self._outcome.full_path if keeps_steps else None
        if not os.path.isdir(self.target):
            survey = Survey(None, self._decider, is_spared, full_path)
            walk(selected.chosen(), self._trees, survey)
            return survey
        root_fd = open_root(self.target)
        directories = Directories(root_fd)
        survey = Survey(directories, self._decider, is_spared, full_path)
        try:
            walk(selected.chosen(), self._trees, survey)
        finally:
            directories.close()
            os.close(root_fd)
        return survey

    def _setup(self) -> work.FetchSetup:
        owners = self._owners
        return work.FetchSetup(
            self._place.setup(),
            owners.users,
            owners.groups,
            owners.keeps_mine,
            reads_back=self._order.verify,
            caller=self._context.order.caller,
        )

    def _delete(self, directories: Directories, directory: bytes, name: bytes) -> None:
        deleted = delete_unmatched(directories, directory, name, self._is_spared)
        self._outcome.deleted += deleted.removed_count
        for path, message in deleted.kept:
            self._outcome.note(path, "unwritable", f"not deleted: {message}")

    def _note_damage(self, path: bytes, error: BackupError) -> None:
        self._outcome.note(path.lstrip(b"/"), "damaged", error.message)
