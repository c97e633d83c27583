"""Before a run's walk: what links lead to, where its set follows them."""

from __future__ import annotations

from backupd.model.orders import BackupOrder
from backupd.model.results import Problem
from backupd.operations.backup.following import Tops, find_targets, told
from backupd.operations.backup.setting import SetUse, with_followed
from backupd.operations.context import JobContext


def followed(
    order: BackupOrder, context: JobContext, use: SetUse, missing: list[Problem]
) -> tuple[SetUse, list[Problem]]:
    """The set with what its links lead to, and the problems with what that went wrong at. missing: those so far."""
    if not order.follow_links:
        return use, missing
    context.step("look where links lead")
    rules = use.rules
    tops = Tops(rules.sources, rules.named, rules.places, rules.one_file_system)
    found = rules.rights.do(find_targets, tops, rules.choosing, context.cancel.check)
    if found.links:
        context.tell("information", told(found))
    return with_followed(use, found), [*missing, *found.problems]
