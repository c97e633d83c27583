"""Commands around a set's runs: which of them when, in a process of their own, and what their end means for the run.

Before the run `pre`; after it, while the job counts as running still, `success` or `failure`, then `finally`; and
`post` once the job's end is in the catalog and notices of it were handed out, for it may power the machine off.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import msgspec

from backupd.catalog import command_results
from backupd.catalog import jobs as rows
from backupd.catalog.database import Database
from backupd.catalog.definitions import StoredDestination, StoredSet
from backupd.clock import Clock
from backupd.command_errors import CommandFailedError, CommandSkippedError
from backupd.daemon.child import ChildJob
from backupd.daemon.command_facts import told_of, warned, with_commands
from backupd.daemon.definitions import Definitions
from backupd.daemon.fs_snapshots import FsSnapshots
from backupd.daemon.live_job import LiveJob
from backupd.daemon.outcome import Outcome
from backupd.daemon.unbegun import Keep, keep_unbegun
from backupd.errors import BackupError
from backupd.model.command_orders import CommandOrder
from backupd.model.commands import CommandText, When
from backupd.model.events import Done, Failed, Item
from backupd.model.jobs import ended_state
from backupd.model.steering import CancelRequest
from backupd.operations.programs.groups import signal_group
from backupd.rules.command_rules import ends_run
from backupd.rules.names import short

_STOPPING_SECONDS = 10.0
"""For what follows a run that the end of the daemon cut short."""
_GOOD, _SKIPPED = (0, 3), 75

Check = Callable[[LiveJob, StoredSet, Sequence[StoredDestination]], Awaitable[None]]

_log = logging.getLogger("backupd.jobs")


class FollowUp:
    """What follows the end of a job: nothing."""

    async def after_interruption(self, job: LiveJob, outcome: Outcome) -> Outcome:
        """Of a job that ended with a former daemon; before its end is noted. How it ended then."""
        return outcome

    async def after_end(self, job: LiveJob, outcome: Outcome) -> Outcome:
        """What comes last: the end of the job is in the catalog. How it ended then."""
        return outcome


class RunCommands(FollowUp):
    """All on the event loop."""

    def __init__(self, database: Database, known: Definitions, clock: Clock, environment: Mapping[str, str]) -> None:
        """environment: of job processes."""
        self._database, self._known, self._clock, self._environment = database, known, clock, environment
        self.fs_snapshots = FsSnapshots(clock, environment)
        self.is_stopping: Callable[[], bool] = lambda: False
        """Whether the daemon ends."""
        self.hand_out: Callable[[str], Awaitable[None]] | None = None
        """Waits until what is told of the end of a job was handed out."""

    def begin(self, state: str, is_stopping: Callable[[], bool]) -> RunCommands:
        """Remove what runs of a former daemon left standing. state: directory. is_stopping: whether this one ends."""
        self.is_stopping = is_stopping
        self.fs_snapshots.sweep(state)
        return self

    async def around(
        self,
        job: LiveJob,
        stored: StoredSet,
        destinations: Sequence[StoredDestination],
        run: Callable[[], Awaitable[Outcome]],
        check: Check,
        keep: Keep,
    ) -> Outcome:
        """Have a run made with the commands of its set before and after it. Raises BackupError.

        destinations: those that are checked first, and where it is kept how a run ended that was not begun.
        """
        began_ns = self._clock.now_ns()
        request = job.request.backup
        if request is not None and not request.dry_run and stored.text.fs_snapshot != "off":
            # After the commands before the run, for these bring data into a state to be read.
            run = partial(self._with_snapshots, job, stored, destinations, run, check, keep)
        if request is not None and request.dry_run and stored.text.fs_snapshot != "off":
            return await self.fs_snapshots.looked_for(job, stored, run)
        if not stored.text.commands or request is None or request.dry_run:
            return await run()
        if any(one.when == "pre" for one in stored.text.commands):
            await check(job, stored, destinations)
        job.around = stored
        ended = await self._before(job, stored)
        outcome = ended if ended is not None else await self._made(run)
        goes_on = job.goes_on(was_stopped=outcome.was_stopped)
        if ended is not None:
            await keep_unbegun(keep, job, stored, destinations, ended, began_ns)
        # They are told, too, what became of the commands before the run.
        known = with_commands(job.stored, outcome, job.commands)
        await self._after(job, stored, known, ("finally",) if goes_on else _kinds_after(outcome))
        await self._note(job)
        return with_commands(job.stored, outcome, job.commands)

    async def _with_snapshots(
        self,
        job: LiveJob,
        stored: StoredSet,
        destinations: Sequence[StoredDestination],
        run: Callable[[], Awaitable[Outcome]],
        check: Check,
        keep: Keep,
    ) -> Outcome:
        # A snapshot costs space for as long as it stands.
        await check(job, stored, destinations)
        return await self.fs_snapshots.around(job, stored, destinations, run, keep)

    async def after_interruption(self, job: LiveJob, outcome: Outcome) -> Outcome:
        """What a former daemon could not run any more: all that undoes what was done before the run, but no `post`."""
        request = job.request.backup
        stored = self._known.find_set(job.stored.set_id)
        if stored is None or request is None or request.dry_run or job.stored.kind != "backup":
            return outcome
        await self._after(job, stored, outcome, ("failure", "finally"))
        return with_commands(job.stored, outcome, job.commands)

    async def after_end(self, job: LiveJob, outcome: Outcome) -> Outcome:
        """What comes last: the end of the job is in the catalog. How it ended then."""
        stored = job.around
        posts = [one for one in stored.text.commands if one.when == "post"] if stored is not None else []
        if stored is None or not posts:
            return outcome
        if self.hand_out is not None:
            await self.hand_out(job.stored.id)
        if self.is_stopping():
            _log.warning("job %s: backupd is stopped, and runs no post commands", job.stored.id)
            return outcome
        await self._carry_out(job, stored, posts, outcome, is_ended=True)
        last = with_commands(job.stored, outcome, job.commands)
        kept = job.stored
        kept.exit_code, kept.result, kept.error = last.exit_code, last.result, last.error
        kept.warnings = list(dict.fromkeys([*kept.warnings, *last.warnings]))
        kept.state = ended_state(last.exit_code, last.problem_count)
        job.end_step()
        copy, found = msgspec.structs.replace(kept), list(job.commands)
        noted = self._database.write_always(command_results.note_end, copy, found, warned(job.stored, found))
        await asyncio.wrap_future(noted)
        await self._flush(job)
        return last

    async def _before(self, job: LiveJob, stored: StoredSet) -> Outcome | None:
        """How the run ended before it was begun; None: it may be made."""
        commands = [one for one in stored.text.commands if one.when == "pre"]
        if not commands:
            return None
        if job.ending is None:
            began_ns = self._clock.now_ns()
            await self._carry_out(job, stored, commands, None)
            job.checked_ns += self._clock.now_ns() - began_ns
        if job.ending is not None:
            return Outcome.interrupted("stopped before anything was read")
        texts = {one.name: one for one in commands}
        for found in job.commands:
            what = f"the command {found['name']} before the run: {found['message']}"
            end = ends_run(texts[found["name"]], found["status"])
            if end == "skip":
                return Outcome.of(CommandSkippedError(f"{stored.text.name} is skipped by {what}"))
            if end == "fail":
                hint = f"bkctl job log {short(job.stored.id)} shows what it said"
                return Outcome.of(CommandFailedError(f"{stored.text.name}: {what}; nothing was read", hint=hint))
        return None

    async def _made(self, run: Callable[[], Awaitable[Outcome]]) -> Outcome:
        try:
            return await run()
        except BackupError as error:
            return Outcome.of(error)

    async def _after(self, job: LiveJob, stored: StoredSet, outcome: Outcome, kinds: Sequence[When]) -> None:
        commands = [one for kind in kinds for one in stored.text.commands if one.when == kind]
        if commands:
            await self._carry_out(job, stored, commands, outcome)

    async def _note(self, job: LiveJob) -> None:
        found = list(job.commands)
        if found:
            noted = self._database.write_always(command_results.note, job.stored.id, found, warned(job.stored, found))
            await asyncio.wrap_future(noted)

    async def _carry_out(
        self,
        job: LiveJob,
        stored: StoredSet,
        commands: Sequence[CommandText],
        outcome: Outcome | None,
        *,
        is_ended: bool = False,
    ) -> None:
        """Run them in a process; what became of each is in the job's list then. is_ended: nobody else writes its log.

        A process that dies does not keep the job from its end: the command under way dies with it, others are not run.
        """
        told = told_of(job.stored, stored, self._names(job, stored), outcome)
        order = CommandOrder(place="", commands=list(commands), environment=told)
        former, done = job.ending if outcome is not None else None, len(job.commands)
        try:
            child = await ChildJob.start(order, self._environment)
        except BackupError as error:
            self._give_up(job, commands, error.message)
            return
        job.child = child
        timer = asyncio.create_task(self._end_when_stopping(child)) if outcome is not None else None
        under_way: dict[str, Any] = {}
        try:
            if job.ending is not former and job.ending is not None:
                await child.send(job.ending)
            async for event in child.events():
                if isinstance(event, Done | Failed):
                    break
                if not isinstance(event, Item):
                    job.hear(event)
                    continue
                under_way = event.item if "group" in event.item else {}
                if "command" in event.item:
                    job.commands.append(event.item["command"])
                if is_ended:
                    await self._flush(job)
        finally:
            job.child = None
            if timer is not None:
                timer.cancel()
            ending = await child.end()
            if under_way:
                # Its process was killed, and could not end it.
                await asyncio.to_thread(signal_group, under_way["group"], under_way["uid"], signal.SIGKILL)
        left = commands[len(job.commands) - done :]
        if left:
            self._give_up(job, left, ending.error().message)

    def _give_up(self, job: LiveJob, commands: Sequence[CommandText], why: str) -> None:
        """The first of them was under way, perhaps."""
        for number, command in enumerate(commands):
            job.log("warning", f"{command.name}: {why}")
            found: dict[str, Any] = {"name": command.name, "when": command.when}
            found["status"] = "not_run" if number else "failed"
            job.commands.append({**found, "exit": None, "seconds": 0.0, "message": why})

    async def _end_when_stopping(self, child: ChildJob) -> None:
        """A daemon that is stopped does not wait an hour for them."""
        while not self.is_stopping():
            await asyncio.sleep(0.2)
        await asyncio.sleep(_STOPPING_SECONDS)
        await child.send(CancelRequest(signal="term"))

    def _names(self, job: LiveJob, stored: StoredSet) -> list[str]:
        wanted = job.request.backup.to if job.request.backup is not None else []
        return [one.text.name for one in self._known.destinations if one.id in wanted] or list(stored.text.to)

    async def _flush(self, job: LiveJob) -> None:
        """A full disk keeps the log of what comes last short, and nothing else."""
        lines = job.take_unwritten()
        with suppress(BackupError):
            await asyncio.wrap_future(self._database.write_always(rows.add_log, job.stored.id, lines))


def _kinds_after(outcome: Outcome) -> tuple[When, ...]:
    if outcome.exit_code == _SKIPPED:
        return ("finally",)
    return ("success" if outcome.exit_code in _GOOD else "failure", "finally")
