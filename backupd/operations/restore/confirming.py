"""What must be known or allowed before the first byte is written."""

from __future__ import annotations

import os

from backupd.errors import AnswerNeededError
from backupd.model.results import path_fields, shown
from backupd.operations.context import JobContext
from backupd.operations.restore.survey import Survey

_SHOWN_PATHS = 1000


def refuse_newer(survey: Survey, target: bytes) -> None:
    """End where files would have to be asked for and nobody can be. Raises AnswerNeededError."""
    if survey.newer:
        first = shown(_full(target, survey.newer[0]))
        more = f" and {len(survey.newer) - 1} more" if len(survey.newer) > 1 else ""
        raise AnswerNeededError(
            f"{first}{more} would be replaced although newer than the snapshot's",
            hint="--overwrite always (or --yes) replaces them, --overwrite if-newer leaves them as they are",
            context={"newer": [path_fields(_full(target, path))["path"] for path in survey.newer[:_SHOWN_PATHS]]},
        )


def confirm_deletion(context: JobContext, survey: Survey, target: bytes) -> list[tuple[bytes, bytes]]:
    """(directory, name) of what may be deleted; nothing where the user does not want it.

    Raises AnswerNeededError where it is neither confirmed nor can be asked.
    """
    if not survey.unmatched:
        return []
    count = len(survey.unmatched)
    name = os.fsdecode(os.path.basename(target.rstrip(b"/"))) or "/"
    paths = [shown(_full(target, directory + b"/" + one)) for directory, one in survey.unmatched[:_SHOWN_PATHS]]
    if count > _SHOWN_PATHS:
        paths.append(f"and {count - _SHOWN_PATHS:,} more")
    what = "1 entry" if count == 1 else f"{count:,} entries"
    question = f"The snapshot does not hold {what} in {shown(target)}. Type {shown(os.fsencode(name))} to delete"
    if context.ask(question, "typed", name, paths) == name:
        return survey.unmatched
    context.warn("nothing was deleted: it was not confirmed")
    return []


def _full(target: bytes, path: bytes) -> bytes:
    return target.rstrip(b"/") + b"/" + path
