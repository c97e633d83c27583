"""One run: sources and set, session, walk, checkpoints, commit. The order of its steps is the order of `run`."""

from __future__ import annotations

import os
import stat as modes
from contextlib import ExitStack, closing
from functools import partial

from backupd import __version__
from backupd.cache.file_cache import FileCacheWriter
from backupd.cache.no_file_cache import NoFileCache
from backupd.destination.stores import local_paths
from backupd.errors import (
    AccessError,
    BackupError,
    BusyError,
    DamagedCacheError,
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
from backupd.operations.backup import account, basing, dry_run, estimate, locking, priority, retaining, summary
from backupd.operations.backup.checkpoints import Checkpoints
from backupd.operations.backup.file_states import FileStates
from backupd.operations.backup.follow import followed
from backupd.operations.backup.opening import with_untold_key
from backupd.operations.backup.part import Part
from backupd.operations.backup.places import Places
from backupd.operations.backup.setting import SetUse, describe, real_path
from backupd.operations.backup.shortcuts import expanded, tell_meanings
from backupd.operations.backup.space import mark_failed
from backupd.operations.backup.storing import Storing
from backupd.operations.backup.sudden_drop import sudden_drop
from backupd.operations.backup.tally import Tally
from backupd.operations.backup.walk_telling import tell_walk
from backupd.operations.context import JobContext, error_fields
from backupd.operations.fs_snapshots.of_once import look, reading_from, remove_leftovers
from backupd.operations.places import split_place
from backupd.operations.run_as import rights_to_read
from backupd.settings.lock import FOREVER, SetLock
from backupd.snapshot import naming
from backupd.store_errors import BlocksLostError


def run(order: BackupOrder, context: JobContext) -> events.Done:
    """Back up paths to a place, or to several at once.

    Raises BackupError where nothing was stored that could be restored.
    """
    if order.limits.polite:
        # Each thread has a priority of its own, and takes its maker's.
        priority.lower()
    with rights_to_read(order.run_as) as context.source_rights:
        return _run_order(order, context)


def _run_order(order: BackupOrder, context: JobContext) -> events.Done:
    order = retaining.checked(order)
    remove_leftovers(order, context)
    order, named = expanded(order, context)
    sources, missing = find_sources(order, context, tell_meanings(named, context))
    context.stop_after(order.limits.stop_after_seconds)
    if order.estimate:
        return estimate.run(order, context, sources, missing)
    session_id = os.urandom(16)
    with ExitStack() as stack:
        context.step(f"backupd {__version__}: open the repository")
        places = Places(order, context, session_id.hex())
        with places.all_told():
            places.open(stack)
            use = describe(order, context, places.first.place, sources)
            stack.callback(use.rules.grafts.close)
            return _run_locked(places, use, session_id, missing)


def _run_locked(places: Places, use: SetUse, session_id: bytes, missing: list[Problem]) -> events.Done:
    order, context = places.order, places.context
    lock = SetLock(context.directories.state, f"{naming.set_id_text(use.set_id)}")
    try:
        lock.acquire(context.clock, FOREVER if order.if_running in ("wait", "join") else 0.0, context.cancel)
    except BusyError as error:
        if order.if_running == "skip":
            raise SkippedError(f"{use.name}: a run is under way already", hint=error.message) from error
        raise
    with lock:
        use, missing = followed(order, context, use, missing)
        places.forget_kept(use)
        if order.dry_run:
            look(order, context, use)
            return dry_run.run(context, places.first, use, missing, order=order)
        with reading_from(order, context, use, session_id) as held:
            return _run_held(places, held, session_id, missing)


def _run_held(places: Places, use: SetUse, session_id: bytes, missing: list[Problem]) -> events.Done:
    order, context = places.order, places.context
    try:
        return _Run(places, use, session_id).run(missing)
    except BlocksLostError as error:
        # Of several destinations one that lost blocks is filled from the others.
        if order.also:
            raise
        context.cancel.check()
        context.warn(f"{error.message}; what was lost is stored again")
        return _Run(places, use, os.urandom(16), error).run(missing)


def find_sources(
    order: BackupOrder, context: JobContext, nameless: list[Problem]
) -> tuple[list[bytes], list[Problem]]:
    """(paths that are there, as the file system has them; a problem for each that is not).

    nameless: of sources that mean no path. Directories above a source may be reached by symlinks, which are resolved;
    the source itself is taken as it is.
    Raises SourceNotFoundError when none is there, UsageError for one that lies in the place it is to be stored in.
    """
    places = [(order.place, order.access), *((one.place, one.access) for one in order.also)]
    directories = [path for place, access in places for path in local_paths(split_place(place)[0], access)]
    own = tuple(os.fsencode(directory).rstrip(b"/") + b"/" for directory in directories)
    found: list[bytes] = []
    missing, do = list(nameless), context.source_rights.do
    for source in order.sources:
        path = do(real_path, source)
        try:
            if modes.S_ISLNK(do(os.lstat, path).st_mode):
                target = shown(do(os.readlink, path))
                context.warn(f"{shown(path)} is a symbolic link and is stored as one; to back up {target}, name it")
        except OSError as error:
            reason = "does not exist" if isinstance(error, FileNotFoundError) else os.strerror(error.errno or 0).lower()
            missing.append(Problem(path=source, kind="unreadable", message=reason))
            continue
        if (path + b"/").startswith(own):
            raise UsageError(
                f"{shown(path)} lies in the place that it would be stored in",
                hint="it would store what it has just stored, each time more; name another place by --to",
            )
        if path not in found:
            found.append(path)
    if not found and not order.streams:
        raise SourceNotFoundError(
            f"{shown(missing[0].path)} {missing[0].message}" + f", and {len(missing) - 1} more" * bool(missing[1:]),
            hint="check the spelling; is the disk mounted?",
        )
    return found, missing


class _Run:
    """A run that holds its set's lock."""

    def __init__(self, places: Places, use: SetUse, session_id: bytes, lost: BlocksLostError | None = None) -> None:
        """lost: what became of the blocks of a first try, whose place is known to have damage since."""
        self._lost = lost
        self._order, self._context, self._use = places.order, places.context, use
        self._started_ns = self._context.clock.now_ns()
        self._parts = places.parts(use)
        self._session_id = session_id
        self._states = FileStates(self._order.file_states, self._context.warn)
        self._tally = self._new_tally([])

    def run(self, missing: list[Problem]) -> events.Done:
        """All steps."""
        try:
            return self._run(missing)
        finally:
            self._states.close()

    def _run(self, missing: list[Problem]) -> events.Done:
        self._tally = self._new_tally(missing)
        context, parts = self._context, self._parts
        for part in parts:
            repository, set_id = part.place.repository.text_id, naming.set_id_text(self._use.set_id)
            context.send(events.Opened(repository=repository, set_id=set_id, number=part.number))
        context.step("fetch and verify the index")
        is_cacheless = self._order.cache.mode == "none"
        parts.each(list(parts), lambda part: part.load(no_cache=is_cacheless or self._order.no_cache))
        account.refuse(self._order.account, parts.account_bytes)
        parts.leave_laggards()
        lead = parts.lead
        if lead.base.newest is None:
            lead.opened = with_untold_key(lead.opened, context, self._use.set_id)
        cache_path = basing.cache_path(lead.place, self._use.set_id, self._session_id)
        parts.each(list(parts), lambda part: part.begin(self._session_id, self._started_ns))
        base = parts.joined_base()
        done: events.Done | None = None
        try:
            while done is None:
                storing = Storing(self._order, context, parts, self._use, self._tally)
                damage = {name for part in parts for name in part.damage}
                made = FileCacheWriter if not is_cacheless else NoFileCache
                writer = made(cache_path, self._use.options, damage)
                draft = self._draft_of(base, reads_tree=is_cacheless)
                checkpoints = Checkpoints(storing, parts, draft, context)
                try:
                    done = self._store(storing, writer, base, checkpoints, draft)
                except DamagedCacheError as error:
                    context.warn(f"{error.message}; every file is read again")
                    base.forget_caches()
                    writer.discard()
                    parts.each(parts.ready, Part.give_up_lane)
                    self._tally = self._new_tally(missing)
                finally:
                    storing.close()
        except BaseException:
            self._close_indexes()
            raise
        finally:
            parts.close()
            base.forget_caches()
        if done.exit_code in (0, 3, 4) and context.alarm is None:
            done = locking.after_run(context, parts, self._started_ns, done)
            context.step("tidy up")
            parts.each([part for part in parts.committed if part.alarm is None], Part.tidy_up)
            done = retaining.after_run(self._order, context, parts, self._use.set_id, done)
        self._close_indexes()
        return done

    def _close_indexes(self) -> None:
        for part in self._parts.all:
            part.close_index()

    def _draft_of(self, base: basing.Base, *, reads_tree: bool) -> summary.Draft:
        base.reads_tree = reads_tree
        lead = self._parts.lead
        draft = summary.Draft(
            self._order, self._context, lead.place, self._use, self._session_id, self._started_ns, self._tally
        )
        draft.read_all_ns = base.read_all_ns or self._started_ns
        draft.settings = base.settings(self._use)
        if self._order.watched is not None and base.newest is not None:
            draft.know_owners(base.newest)
        return draft

    def _new_tally(self, missing: list[Problem]) -> Tally:
        tally = Tally(self._tell, self._context.warn, self._states, self._use.rules.tolerances)
        for problem in missing:
            tally.problem(problem.path, problem.kind, problem.message)
            tally.fail(problem.path, b"", problem.message)
        return tally

    def _store(
        self,
        storing: Storing,
        writer: FileCacheWriter,
        base: basing.Base,
        checkpoints: Checkpoints,
        draft: summary.Draft,
    ) -> events.Done:
        context = self._context
        context.step("scan, read and store")
        walk = storing.begin(writer, base, self._started_ns)
        checkpoints.walk, checkpoints.cache = walk, writer
        storing.engine.on_wait = checkpoints.turn
        try:
            # At once, not when nobody has the error any more: what snapshots lie on is unmounted next.
            with closing(walk.run()) as steps:
                for _ in steps:
                    storing.turn()
                    checkpoints.turn()
            storing.flush()
            while storing.engine.has_work:
                storing.engine.finish_step()
                checkpoints.turn()
            storing.engine.drain(lambda: None)
            storing.tell_files()
            is_whole = self._order.watched is None or not self._order.watched.since
            tell_walk(context, self._use, walk, self._tally, is_whole=is_whole)
            parts, permille = self._parts, self._order.tolerance.drop_permille
            draft.drop = sudden_drop(context, self._use, self._tally, parts.newest, permille)
        except DamagedCacheError:
            raise
        except BackupError as stop:
            if isinstance(stop, StoppedError) or self._parts.is_full(stop):
                return self._stop(stop, storing, checkpoints, draft)
            self._leave_cache(writer)
            raise
        root = walk.root.node if walk.root is not None else b""
        if not root:
            raise AssertionError("all is read, and the tree has no top")
        context.step("publish the index, count and measure what was stored, commit the snapshot")
        try:
            self._use.rules.grafts.see_that_all_stand()
            storing.refuse_nothing()
            self._finish(storing, draft, root)
        except BackupError:
            self._leave_cache(writer)
            raise
        self._keep_cache(writer, root, storing)
        self._warn_of_quotas()
        if draft.drop is not None:
            context.warn(draft.drop.message)
        is_odd = self._tally.beyond or self._lost is not None or draft.drop is not None
        return self._done(storing, draft, 3 if is_odd else 0)

    def _finish(self, storing: Storing, draft: summary.Draft, root: bytes) -> None:
        """Each destination gets its snapshot as soon as it has all blocks, whatever becomes of the others."""
        waiting = list(self._parts)
        while waiting:
            for part in [part for part in waiting if part.error is None and part.is_idle and part in self._parts.ready]:
                waiting.remove(part)
                new_bytes = storing.engine.new_bytes
                snapshot = draft.snapshot(root, new_bytes, part.stored_bytes, is_complete=True)
                self._parts.begin(part, partial(Part.finish, snapshot=snapshot))
            waiting = [part for part in waiting if part.error is None]
            if waiting:
                storing.engine.wait_for_upload()
        self._parts.wait()

    def _keep_cache(self, writer: FileCacheWriter, root: bytes, storing: Storing) -> None:
        """The snapshot stands: what fails now fails no run."""
        context = self._context
        try:
            writer.finish(root, storing.token)
        except (StateFullError, StateError, AccessError) as error:
            context.warn(f"{error.message}; the next run asks for all that is stored")
            writer.discard()
            return
        for part in self._parts.committed:
            part.adopt_cache(writer.path)

    def _leave_cache(self, writer: FileCacheWriter) -> None:
        """The run ends early: only with a checkpoint the next one has a use for its cache."""
        if any(part.has_checkpoint for part in self._parts.all):
            writer.keep_part()
        else:
            writer.discard()

    def _warn_of_quotas(self) -> None:
        parts = self._parts
        parts.each(parts.committed, Part.count_account)
        found = [warning for part in parts.committed for warning in part.space.warnings(part.held_bytes)]
        of_account = account.warning(self._order.account, parts.account_bytes)
        for warning in (*found, *([of_account] if of_account is not None else [])):
            self._context.warn(warning)

    def _stop(
        self, stop: BackupError, storing: Storing, checkpoints: Checkpoints, draft: summary.Draft
    ) -> events.Done:
        self._context.step("stop: keep what is stored as a partial snapshot")
        storing.engine.end_cancelling()
        try:
            checkpoints.make_last()
            # Who is behind has an older checkpoint, or none: then the next run ends its session.
            self._parts.each([part for part in self._parts.ready if part.has_checkpoint], Part.finish_partial)
        except BlocksLostError as error:
            # That a stop was asked for stays what the run ended by; the next one stores what is missing.
            self._context.warn(error.message)
        if not self._parts.committed:
            self._leave_cache(checkpoints.cache)
            raise stop
        checkpoints.cache.finish_as_is()
        stop.hint = stop.hint or "what was stored stays; run it again and it goes on from there"
        return self._done(storing, draft, stop.exit_code, stop)

    def _done(
        self, storing: Storing, draft: summary.Draft, exit_code: int, stop: BackupError | None = None
    ) -> events.Done:
        parts, error = self._parts, stop or (summary.look(self._tally, self._lost, draft.drop) if exit_code else None)
        if stop is None and parts.errors:
            error = parts.some()
            exit_code = error.exit_code
        result = summary.result(draft, parts, storing.engine.new_bytes, exit_code)
        if stop is not None and not isinstance(stop, StoppedError):
            mark_failed(result, stop)
        fields = error_fields(error) if error is not None else None
        return events.Done(exit_code=exit_code, result=result, warnings=self._context.warnings, error=fields)

    def _tell(self, problem: Problem, severity: events.Severity) -> None:
        self._context.tell(severity, problem.message, path=problem.path, verbosity=1)
