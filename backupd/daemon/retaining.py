"""Retention after a backup: at each destination where the run was good, its own policy, by a job process of its own.

What fails here fails no backup: the snapshot stands, nothing was dropped, and the run says that one should look.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import msgspec

from backupd.catalog.definitions import StoredDestination, StoredRepository, StoredSet
from backupd.daemon.definitions import Definitions
from backupd.daemon.live_job import LiveJob
from backupd.daemon.outcome import GOOD, Outcome, fields, with_part
from backupd.errors import BackupError
from backupd.model.orders import RetentionOrder, Unlock
from backupd.model.places import inside
from backupd.model.retention import RetentionText, policy_of
from backupd.settings.secrets import read_secret
from backupd.sizes import count
from backupd.store_errors import RetentionFailedError

Converse = Callable[[LiveJob, RetentionOrder], Awaitable[Outcome]]


async def after_backup(
    converse: Converse,
    known: Definitions,
    job: LiveJob,
    stored: StoredSet,
    destination: StoredDestination,
    outcome: Outcome,
) -> Outcome:
    """How the run ended at a destination, with what retention made of it where the job asks for that.

    converse: carries an order out. Where it was not asked for, the run says by which command it is done.
    """
    request, repository = job.request.backup, known.repository(stored.id, destination.id)
    policy = policy_at(stored, destination)
    is_good = outcome.exit_code in GOOD and outcome.result is not None and job.ending is None
    if request is None or request.dry_run or repository is None or not is_good or policy.keep == "all":
        return outcome
    if not request.retention:
        return _with_command(outcome, stored.text.name)
    job.begin_step(f"retention at {destination.text.name}")
    try:
        found = await converse(job, await asyncio.to_thread(order_at, stored, destination, repository))
    except BackupError as error:
        found = Outcome.of(error)
    told = told_of(outcome, found, destination.text.name)
    if found.exit_code == 0:
        entry = told.result["runs"][0]["destinations"][0]["retention"] if told.result else {}
        left = f", {entry['left']} left to whoever frees space there" if entry["left"] else ""
        dropped = f"{count(entry['dropped'], 'older snapshot')} dropped"
        job.log("information", f"{dropped}, {entry['kept']} kept ({entry['policy']}){left}")
    else:
        job.log("warning", told.warnings[-1])
    return told


def policy_at(stored: StoredSet, destination: StoredDestination) -> RetentionText:
    """What holds for a set at a destination."""
    return policy_of(stored.text.retention, stored.text.retention_at, destination.text.name)


def order_at(stored: StoredSet, destination: StoredDestination, repository: StoredRepository) -> RetentionOrder:
    """The order to drop there what the set's policy does not keep. Raises KeyMissingError."""
    secret = read_secret(stored.text.password) if stored.text.password is not None else None
    return RetentionOrder(
        place=inside(destination.text.place, repository.repository),
        set_name=repository.stored_set_id,
        policy=policy_at(stored, destination),
        apply=True,
        unlock=Unlock(secret=secret),
        time_zone=stored.text.time_zone,
    )


async def retention_order(known: Definitions, order: RetentionOrder) -> RetentionOrder:
    """What a client asks for, with the policy that the set has: nobody drops by one of his own.

    Raises SetNotFoundError, DestinationNotFoundError, RepositoryNotFoundError, KeyMissingError.
    """
    stored = known.set(order.set_name)
    if order.apply:
        known.owners.refuse_others(stored, "apply the retention policy of")
    name = order.place or stored.text.to[0]
    destination = known.destination(name)
    repository = known.repository(stored.id, destination.id)
    if repository is None:
        raise known.owners.nothing_stored(stored, f"in {destination.text.name}")
    made = await asyncio.to_thread(order_at, stored, destination, repository)
    unlock = order.unlock if order.unlock.secret is not None else made.unlock
    return msgspec.structs.replace(made, apply=order.apply, plan=order.plan, unlock=unlock)


def told_of(outcome: Outcome, found: Outcome, destination: str) -> Outcome:
    """A good run at one destination, with how retention ended there. found: its end."""
    if found.exit_code == 0:
        result = found.result or {}
        entry = {
            "policy": result.get("policy_words", ""),
            "kept": result.get("kept_count", 0),
            "dropped": result.get("dropped_count", 0),
            "left": result.get("left_count", 0),
            "error": None,
        }
        warnings = [one for one in found.warnings if one not in outcome.warnings]
        told = with_part(outcome, destination, {"retention": entry})
        return msgspec.structs.replace(told, warnings=[*outcome.warnings, *warnings])
    reason = (found.error or {}).get("message", "")
    failed = RetentionFailedError(
        f"the backup is whole, but no older snapshot was dropped: {reason}", hint=(found.error or {}).get("hint", "")
    )
    entry = {"policy": "", "kept": 0, "dropped": 0, "left": 0, "error": found.error}
    told = with_part(outcome, destination, {"retention": entry}, failed.exit_code)
    return msgspec.structs.replace(
        told,
        exit_code=failed.exit_code,
        error=outcome.error or fields(failed),
        warnings=[*outcome.warnings, failed.message],
    )


def _with_command(outcome: Outcome, name: str) -> Outcome:
    runs = [
        {**run, "retention_command": f"bkctl retention apply {name}"}
        for run in (outcome.result or {}).get("runs") or []
    ]
    return msgspec.structs.replace(outcome, result={**(outcome.result or {}), "runs": runs})
