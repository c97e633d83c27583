"""Runs that begin by themselves are skipped where a condition of their set is not met."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import msgspec

from backupd.catalog.definitions import StoredDestination, StoredSet
from backupd.clock import Clock
from backupd.daemon import surroundings
from backupd.daemon.hanging import Asking
from backupd.daemon.live_job import LiveJob
from backupd.daemon.outcome import Outcome
from backupd.daemon.shortcuts import views_of, with_paths
from backupd.daemon.surroundings import SUPPLIES, Network
from backupd.daemon.unbegun import Keep, keep_unbegun
from backupd.errors import BackupError, SkippedError
from backupd.model.conditions import ConditionsText
from backupd.model.places import lies_in
from backupd.model.sets import SetText
from backupd.model.shortcuts import ALL_USERS, shortcuts_among
from backupd.model.status import Finding
from backupd.settings.user_directories import HOMES
from backupd.source.mounts import read_mounts

_SECONDS = 5.0
"""How long file systems are waited for: a share whose server is gone never answers."""


class Met(NamedTuple):
    """How conditions stand; sentences without a full stop."""

    unmet: list[str]
    untold: list[str]
    """What could not be found out; it keeps no run from being made."""
    away: list[str]
    """Paths that are not there, or on which nothing is mounted."""


class Conditions:
    """Looks how conditions stand. On the event loop."""

    def __init__(self, environment: Mapping[str, str], supplies: str = SUPPLIES) -> None:
        """environment: in which programs are asked. supplies: where Linux shows what feeds the machine."""
        self._environment, self._supplies = environment, supplies
        self._asking = Asking()

    async def look(self, text: ConditionsText) -> Met:
        """How those of a set stand."""
        met = Met([], [], [])
        if not text.battery:
            is_on_battery = await surroundings.on_battery(self._environment, self._supplies)
            if is_on_battery is None:
                met.untold.append("whether the machine is on battery can't be told here")
            elif is_on_battery:
                met.unmet.append("the machine is on battery")
        if text.networks or not text.metered:
            found = await surroundings.network(self._environment, with_wifi=bool(text.networks))
            _judge_network(text, found, met)
        if text.present or text.mounted:
            try:
                missing = await self._missing(text)
                met.unmet.extend(missing.values())
                met.away.extend(missing)
            except TimeoutError:
                met.away.extend([*text.present, *text.mounted])
                met.unmet.append(f"{' or '.join(met.away)} does not answer")
            except (BackupError, OSError) as error:
                reason = error.message if isinstance(error, BackupError) else error.strerror
                met.untold.append(f"what is mounted can't be told here: {reason}")
        return met

    async def _missing(self, text: ConditionsText) -> dict[str, str]:
        """The paths that are not as they have to be, with what is wrong. Raises TimeoutError, BackupError, OSError."""
        key = (*text.present, "", *text.mounted)
        return await self._asking.answered(key, partial(_missing, text.present, text.mounted), _SECONDS)


async def untold(sets: Iterable[SetText], environment: Mapping[str, str]) -> list[str]:
    """A sentence for each condition of sets that can't be told here, and so keeps no run from being made."""
    found: list[str] = []
    conditions = Conditions(environment)
    told: dict[tuple[bool, ...], list[str]] = {}
    for one in sets:
        if one.conditions is not None:
            asked = (one.conditions.battery, one.conditions.metered, bool(one.conditions.networks))
            if asked not in told:
                # Paths tell by themselves, or after a while.
                met = await conditions.look(msgspec.structs.replace(one.conditions, present=[], mounted=[]))
                told[asked] = met.untold
            found += [f"{one.name}: {line}" for line in told[asked]]
    return found


async def findings(sets: Iterable[SetText], environment: Mapping[str, str]) -> list[Finding]:
    """For `doctor`: what of the conditions of sets can't be told here."""
    mend = "nothing to do if that is meant; else have NetworkManager run, or take it out: bkctl set edit SET"
    return [
        Finding(check="conditions", verdict="look", message=f"{line}; it runs all the same", mend=mend)
        for line in await untold(sets, environment)
    ]


class RunConditions:
    """All on the event loop."""

    def __init__(self, clock: Clock, environment: Mapping[str, str]) -> None:
        """environment: in which programs are asked."""
        self._clock, self._environment, self._conditions = clock, environment, Conditions(environment)

    async def mind(
        self,
        job: LiveJob,
        stored: StoredSet,
        destinations: Sequence[StoredDestination],
        run: Callable[[], Awaitable[Outcome]],
        keep: Keep,
    ) -> Outcome:
        """Have a run made, or skip it. Who asks for one by hand gets it, and hears what is not met.

        Where a source is away nobody gets one: what is there in its place would be stored as if all had been deleted.

        destinations: where it is kept that it was skipped. Raises what `run` raises.
        """
        text, request, began_ns = stored.text.conditions, job.request.backup, self._clock.now_ns()
        if text is None or request is None or job.ending is not None:
            return await run()
        met = await self._conditions.look(text)
        warnings = list(met.untold)
        is_by_itself = request.schedule is not None or request.watched is not None
        is_source_away = await self._is_source_among(met.away, stored.text)
        if met.unmet and (is_by_itself or is_source_away):
            hint = f"by hand it runs all the same: bkctl backup {stored.text.name}"
            if is_source_away:
                option = "--if-mounted" if {*met.away} & {*text.mounted} else "--if-present"
                hint = f"plug in or mount what the set backs up, or: bkctl set edit {stored.text.name} {option} ''"
            skipped = Outcome.of(SkippedError(f"{stored.text.name} is skipped: {'; '.join(met.unmet)}", hint=hint))
            await keep_unbegun(keep, job, stored, [] if request.dry_run else destinations, skipped, began_ns)
            return skipped
        if met.unmet:
            warnings.append(f"by itself {stored.text.name} would be skipped now: {'; '.join(met.unmet)}")
        for line in warnings:
            job.log("warning", line)
        job.checked_ns += self._clock.now_ns() - began_ns
        outcome = await run()
        return msgspec.structs.replace(outcome, warnings=[*warnings, *outcome.warnings])

    async def _is_source_among(self, paths: Sequence[str], text: SetText) -> bool:
        """Whether one of the paths is a source, lies in one, or holds one."""
        if not paths:
            return False
        sources = with_paths(text, await views_of(text, self._environment)).sources
        if any(word.endswith(f"@{ALL_USERS}") for word in shortcuts_among(text.sources, []).words):
            # Who is away with all homes is none of the users that are found.
            sources = [*sources, HOMES]
        return any(lies_in(path, one) or lies_in(one, path) for path in paths for one in sources)


def _judge_network(text: ConditionsText, found: Network | None, met: Met) -> None:
    if found is None:
        met.untold.append("which network the machine is in can't be told here: NetworkManager does not answer (nmcli)")
        return
    if text.networks and not found.names & set(text.networks):
        there = f"connected is {', '.join(sorted(found.names))}" if found.names else "nothing is connected"
        met.unmet.append(f"{' or '.join(text.networks)} is not connected; {there}")
    if not text.metered and found.is_metered is None:
        met.untold.append("whether the network is metered can't be told here: NetworkManager does not know")
    elif not text.metered and found.is_metered:
        met.unmet.append("the network is metered")


def _missing(present: Iterable[str], mounted: Iterable[str]) -> dict[str, str]:
    """Raises BackupError for a table of mounts that can't be read."""
    # A file system that is mounted at its first use is, after this.
    found = {path: f"{path} is not there" for path in present if not os.path.exists(path)}
    there = {path: os.path.isdir(os.path.join(path, ".")) for path in mounted}
    points = {mount.path for mount in read_mounts()} if there else set()
    for path, is_there in there.items():
        is_point = os.fsencode(os.path.realpath(path)) in points if points else os.path.ismount(path)
        if not (is_there and is_point):
            found[path] = f"nothing is mounted on {path}"
    return found
