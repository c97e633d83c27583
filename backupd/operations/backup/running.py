"""One run: sources and set, session, walk, checkpoints, commit. The order of its steps is the order of `run`."""

from __future__ import annotations

import os
import stat as modes
import threading

from backupd import __version__, durable_io
from backupd.cache import seen_snapshots
from backupd.cache.file_cache import FileCacheWriter
from backupd.destination.stores import canonical, local_path
from backupd.errors import (
    AccessError,
    BackupError,
    BusyError,
    DamagedCacheError,
    DamageError,
    DestinationError,
    SkippedError,
    SourceNotFoundError,
    StateError,
    StateFullError,
    StoppedError,
    UsageError,
)
from backupd.model import events
from backupd.model.orders import BackupOrder
from backupd.model.results import Problem, shown
from backupd.operations.backup import basing, dry_run, estimate, priority, summary
from backupd.operations.backup.checkpoints import Checkpoints
from backupd.operations.backup.file_states import FileStates
from backupd.operations.backup.opening import OpenedForWriting, open_for_writing, with_untold_key
from backupd.operations.backup.session import (
    Publishing,
    RunningSession,
    WriterIdentity,
    begin_journal,
    drop_partials,
    validate,
)
from backupd.operations.backup.setting import SetUse, describe
from backupd.operations.backup.space import SpaceGuard, mark_failed
from backupd.operations.backup.storing import Storing
from backupd.operations.backup.tally import Tally
from backupd.operations.context import JobContext, error_fields
from backupd.operations.places import closed, remove_dead_temporaries, seen_snapshots_path, split_place
from backupd.repository import identity, reserve
from backupd.repository.index_loading import LoadedIndex, forget_lost, load_index, mark_absent, merge_levels
from backupd.settings.directories import ensure
from backupd.settings.lock import FOREVER, SetLock
from backupd.settings.writer_mark import WriterMark
from backupd.snapshot import naming


def run(order: BackupOrder, context: JobContext) -> events.Done:
    """Back up paths to a place. Raises BackupError where nothing was stored that could be restored."""
    sources, missing = find_sources(order, context)
    if order.limits.polite:
        priority.lower()
    if order.limits.stop_after_seconds is not None:
        timer = threading.Timer(
            order.limits.stop_after_seconds,
            lambda: context.cancel.request(StoppedError("the time given by --stop-after is over")),
        )
        timer.daemon = True
        timer.start()
    if order.estimate:
        return estimate.run(order, context, sources, missing)
    session_id = os.urandom(16)
    place_tag = identity.place_tag(canonical(split_place(order.place)[0]))
    with WriterMark(context.directories.state, place_tag, session_id.hex()) as mark:
        context.step(f"backupd {__version__}: open the repository")
        opened = open_for_writing(order, context, session_id.hex())
        with closed(opened.whole, mark):
            if not order.dry_run:
                remove_leftovers(opened, context, mark)
            use = describe(order, context, opened.place, sources)
            return _run_locked(order, context, opened, use, session_id, missing)


def remove_leftovers(opened: OpenedForWriting, context: JobContext, mark: WriterMark) -> None:
    """Remove temporary files of writers of this state that were killed, and finish what a killed maker began."""
    identity.complete_twins(opened.whole, opened.place.repository.text_id)
    remove_dead_temporaries(mark, opened.whole, opened.place.repository.text_id)
    opened.whole.remove_empty_folders(f"{opened.place.repository.text_id}/sessions")
    state, data = context.directories.state, context.directories.data
    own = [state, *(os.path.join(state, name) for name in ("journals", "seen")), os.path.join(data, "keys")]
    for directory in (*own, os.path.join(opened.place.cache, "index")):
        durable_io.remove_leftovers(directory)


def _run_locked(
    order: BackupOrder,
    context: JobContext,
    opened: OpenedForWriting,
    use: SetUse,
    session_id: bytes,
    missing: list[Problem],
) -> events.Done:
    lock = SetLock(context.directories.state, f"{naming.set_id_text(use.set_id)}")
    try:
        lock.acquire(context.clock, FOREVER if order.if_running in ("wait", "join") else 0.0, context.cancel)
    except BusyError as error:
        if order.if_running == "skip":
            raise SkippedError(f"{use.name}: a run is under way already", hint=error.message) from error
        raise
    with lock:
        if order.dry_run:
            return dry_run.run(context, opened, use, missing)
        return _Run(order, context, opened, use, session_id).run(missing)


def find_sources(order: BackupOrder, context: JobContext) -> tuple[list[bytes], list[Problem]]:
    """(paths that are there, as the file system has them; a problem for each that is not).

    Directories above a source may be reached by symlinks, which are resolved; the source itself is taken as it is.
    Raises SourceNotFoundError when none is there, UsageError for one that lies in the place it is to be stored in.
    """
    directory = local_path(split_place(order.place)[0])
    place = os.fsencode(directory).rstrip(b"/") + b"/" if directory is not None else None
    found: list[bytes] = []
    missing: list[Problem] = []
    for source in order.sources:
        parent, name = os.path.split(source.rstrip(b"/"))
        path = os.path.join(os.path.realpath(parent or b"/"), name) if name else b"/"
        try:
            if modes.S_ISLNK(os.lstat(path).st_mode):
                target = shown(os.readlink(path))
                context.warn(f"{shown(path)} is a symbolic link and is stored as one; to back up {target}, name it")
        except OSError as error:
            reason = "does not exist" if isinstance(error, FileNotFoundError) else os.strerror(error.errno or 0).lower()
            missing.append(Problem(path=source, kind="unreadable", message=reason))
            continue
        if place is not None and (path + b"/").startswith(place):
            raise UsageError(
                f"{shown(path)} lies in the place that it would be stored in",
                hint="it would store what it has just stored, each time more; name another place by --to",
            )
        if path not in found:
            found.append(path)
    if not found:
        raise SourceNotFoundError(
            f"{shown(missing[0].path)} {missing[0].message}" + f", and {len(missing) - 1} more" * bool(missing[1:]),
            hint="check the spelling; is the disk mounted?",
        )
    return found, missing


class _Run:
    """A run that holds its set's lock."""

    def __init__(
        self, order: BackupOrder, context: JobContext, opened: OpenedForWriting, use: SetUse, session_id: bytes
    ) -> None:
        self._order, self._context, self._opened, self._use = order, context, opened, use
        self._place, self._records = opened.place, opened.place.records
        self._started_ns = context.clock.now_ns()
        host = context.host
        self._who = WriterIdentity(bytes.fromhex(host.host_id), bytes.fromhex(host.state_id), host.boot_id, use.set_id)
        self._session_id = session_id
        self._sizes: dict[bytes, int] = {}
        """Of the blocks that an engine stored which was given up; its chunks may be used."""
        self._states = FileStates(order.file_states, context.warn)
        self._tally = Tally(self._tell, self._context.warn, self._states)

    def run(self, missing: list[Problem]) -> events.Done:
        """All steps."""
        try:
            return self._run(missing)
        finally:
            self._states.close()

    def _run(self, missing: list[Problem]) -> events.Done:
        self._tally = self._new_tally(missing)
        context, place = self._context, self._place
        set_id = naming.set_id_text(self._use.set_id)
        context.send(events.Opened(repository=place.repository.text_id, set_id=set_id))
        context.step("fetch and verify the index")
        index = load_index(place.repository, ensure(os.path.join(place.cache, "index")))
        for message in index.damaged.values():
            context.warn(f"{message}; what it names is stored again (or found again by check --rebuild-index)")
        base = basing.find(context, place, self._use, self._who, index.tables, no_cache=self._order.no_cache)
        if base.newest is None:
            self._opened = with_untold_key(self._opened, context, self._use.set_id)
        space = SpaceGuard(self._order, place, index.tables, context.clock)
        space.refuse(lambda: basing.last_stored_bytes(place, self._use, base))
        session = RunningSession(self._session_id, self._records, self._who, base.names, self._started_ns)
        session.post(self._started_ns)
        state, damage = mark_absent(index.tables, self._records)
        session.generation = state.generation
        base.check_after_posting(self._records, damage, index)
        cache_path = basing.cache_path(place, self._use.set_id, session.id)
        journal = begin_journal(basing.journal_path(context, place, self._use.set_id), session, cache_path + ".part")
        publishing = Publishing(self._records, index.tables, journal)
        publishing.generation = state.generation
        done: events.Done | None = None
        try:
            while done is None:
                storing = Storing(self._order, context, place, self._use, index.tables, publishing, self._tally)
                writer = FileCacheWriter(cache_path, self._use.options, session.name, damage)
                draft = self._draft_of(session, base)
                checkpoints = Checkpoints(storing, session, publishing, draft, context, space)
                try:
                    done = self._store(storing, writer, base, checkpoints, session, publishing)
                except DamagedCacheError as error:
                    context.warn(f"{error.message}; every file is read again")
                    base.forget_caches()
                    writer.discard()
                    publishing.publish(storing.engine.blocks.take_safe())
                    self._sizes.update(storing.engine.blocks.sizes)
                    self._tally = self._new_tally(missing)
                finally:
                    storing.close()
        finally:
            journal.close(is_ended=done is not None)
            base.forget_caches()
        if done.exit_code in (0, 3) and context.alarm is None:
            context.step("tidy up")
            self._tidy_up(session, index)
        index.tables.close()
        return done

    def _tidy_up(self, session: RunningSession, index: LoadedIndex) -> None:
        """After a complete snapshot. What fails here the next run does: the snapshot stands."""
        context, use = self._context, self._use
        try:
            drop_partials(self._records, use.set_id, session.name, context.clock.now_ns(), self._who.host_id)
            merge_levels(self._records, index)
            forget_lost(index)
            if self._order.own is not None:
                reserve.keep(self._records.place, self._place.cache, context.clock.now_ns())
            basing.remove_old_caches(self._place, use.set_id, session.id)
        except (DestinationError, DamageError, StateFullError, StateError, AccessError) as error:
            context.warn(f"the backup is whole, but not all was tidied up after it: {error.message}")

    def _draft_of(self, session: RunningSession, base: basing.Base) -> summary.Draft:
        order, context, use = self._order, self._context, self._use
        draft = summary.Draft(order, context, self._place, use, session.id, self._started_ns, self._tally)
        draft.read_all_ns = base.read_all_ns or self._started_ns
        return draft

    def _new_tally(self, missing: list[Problem]) -> Tally:
        tally = Tally(self._tell, self._context.warn, self._states)
        for problem in missing:
            tally.problem(problem.path, problem.kind, problem.message)
            tally.state(problem.path, b"", "failed", problem.message)
        return tally

    def _store(
        self,
        storing: Storing,
        writer: FileCacheWriter,
        base: basing.Base,
        checkpoints: Checkpoints,
        session: RunningSession,
        publishing: Publishing,
    ) -> events.Done:
        context, draft = self._context, self._draft_of(session, base)
        context.step("scan, read and store")
        walk = storing.begin(writer, base, self._started_ns)
        checkpoints.walk, checkpoints.cache = walk, writer
        storing.engine.on_wait = checkpoints.turn
        try:
            for _ in walk.run():
                storing.turn()
                checkpoints.turn()
            storing.flush()
            while storing.engine.has_work:
                storing.engine.finish_step()
                checkpoints.turn()
            storing.engine.drain(lambda: None)
            storing.tell_files()
        except DamagedCacheError:
            raise
        except BackupError as stop:
            if isinstance(stop, StoppedError) or checkpoints.space.is_end(stop):
                return self._stop(stop, storing, checkpoints, session, draft)
            writer.keep_part()
            raise
        root = walk.root.node if walk.root is not None else b""
        if not root:
            raise AssertionError("all is read, and the tree has no top")
        context.step("publish the index, count and measure what was stored")
        publishing.publish(storing.engine.blocks.take_safe())
        self._validate(storing)
        context.step("commit the snapshot")
        snapshot = draft.snapshot(root, is_complete=True, engine=storing.engine)
        session.commit(snapshot)
        self._after_commit(session, writer)
        for warning in checkpoints.space.warnings(storing.held_bytes()):
            context.warn(warning)
        exit_code = 3 if self._tally.problem_count else 0
        result = summary.result(draft, snapshot, storing, self._opened, exit_code)
        error = None
        if exit_code:
            error = error_fields(summary.look(self._tally))
        return events.Done(exit_code=exit_code, result=result, warnings=context.warnings, error=error)

    def _after_commit(self, session: RunningSession, writer: FileCacheWriter) -> None:
        """The snapshot stands: what fails now fails no run."""
        context = self._context
        try:
            seen_snapshots.add(seen_snapshots_path(context, self._place), [session.name])
        except (StateFullError, StateError, AccessError) as error:
            context.warn(f"{error.message}; this host will not notice if the snapshot vanishes")
        try:
            writer.finish()
        except (StateFullError, StateError, AccessError) as error:
            context.warn(f"{error.message}; the next run asks for all that is stored")
            writer.discard()
        try:
            session.end()
        except DestinationError as error:
            context.warn(f"{error.message}; the next run ends the session")

    def _validate(self, storing: Storing) -> None:
        sizes = {**self._sizes, **storing.engine.blocks.sizes}
        validate(self._records, sizes, self._context.warn, self._context.clock.now_ns(), self._who.host_id)

    def _stop(
        self,
        stop: BackupError,
        storing: Storing,
        checkpoints: Checkpoints,
        session: RunningSession,
        draft: summary.Draft,
    ) -> events.Done:
        self._context.step("stop: keep what is stored as a partial snapshot")
        storing.engine.end_cancelling()
        snapshot = checkpoints.make_last()
        self._validate(storing)
        session.commit(snapshot)
        session.end()
        checkpoints.cache.finish_as_is()
        result = summary.result(draft, snapshot, storing, self._opened, stop.exit_code)
        if not isinstance(stop, StoppedError):
            mark_failed(result, stop)
        stop.hint = stop.hint or "what was stored stays; run it again and it goes on from there"
        return events.Done(
            exit_code=stop.exit_code, result=result, warnings=self._context.warnings, error=error_fields(stop)
        )

    def _tell(self, problem: Problem) -> None:
        self._context.tell("warning", problem.message, path=problem.path, verbosity=1)
