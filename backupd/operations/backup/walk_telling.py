"""What is told of a whole walk, besides the problems of single entries."""

from __future__ import annotations

from backupd.model.results import shown
from backupd.operations.backup.setting import SetUse
from backupd.operations.backup.tally import Tally
from backupd.operations.backup.walk import TreeWalk
from backupd.operations.context import JobContext

_MOST_TOLD = 20


def tell_walk(context: JobContext, use: SetUse, walk: TreeWalk, tally: Tally, *, is_whole: bool) -> None:
    """Files of running databases, what the set only flags, and where all was looked at rules that nothing was about."""
    warn_of_live_files(context, use, walk)
    if tally.flagged:
        count = f"{tally.flagged:,} entries are" if tally.flagged > 1 else "1 entry is"
        first = tally.first_flagged
        path = f": {shown(first.path)}: {first.message}" if first is not None else ""
        more = f", and {tally.flagged - 1:,} more" * (tally.flagged > 1)
        context.warn(f"{count} flagged, and a rule of the set says that this is no failure{path}{more}")
    if not is_whole:
        return
    for rule in use.rules.choosing.unmatched_rules[:_MOST_TOLD]:
        context.tell("information", f"no file or directory was met that the filter {rule.label} is about")
    for label in use.rules.tolerances.unmatched[:_MOST_TOLD]:
        context.tell("information", f"nothing was met that the tolerance rule {label} is about")


def warn_of_live_files(context: JobContext, use: SetUse, walk: TreeWalk) -> None:
    """Of what is no whole database when it is read file by file; nothing of what a stream of the set stores."""
    for path, message in walk.live.examples(use.rules.stream_kinds):
        context.tell("information", message, path=path, verbosity=1)
    for warning in walk.live.sentences(use.rules.stream_kinds):
        context.warn(warning)
