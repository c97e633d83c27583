"""What a purge tells: the plan, and what became of it."""

from __future__ import annotations

from typing import Any

from backupd.model.results import path_fields
from backupd.operations.context import JobContext
from backupd.operations.places import OpenPlace
from backupd.operations.purge.choosing import Wish
from backupd.operations.purge.survey import Survey
from backupd.operations.snapshots import identify
from backupd.snapshot.notes import NOTHING

_MOST_PATHS = 100
"""Named of each snapshot; all are counted."""


def document(context: JobContext, place: OpenPlace, survey: Survey) -> dict[str, Any]:
    """The plan as a result, nothing done yet."""
    wishes = survey.wishes
    rewritten = sum(wish.action == "rewrite" for wish in wishes)
    return {
        "changed": False,
        "dry_run": True,
        "plan": survey.plan,
        "place": place.address,
        "repository": place.repository.text_id,
        "is_whole": False,
        "sets": [{"id": set_id, "name": _name(survey, set_id)} for set_id in survey.sets],
        "counts": {
            "dropped": len(wishes) - rewritten,
            "rewritten": rewritten,
            "kept": survey.kept,
            "files": sum(wish.files for wish in wishes),
        },
        "bytes": {
            "source": sum(wish.bytes for wish in wishes),
            "stored": survey.stored_bytes,
            "shared": survey.shared_bytes,
        },
        "snapshots": [_snapshot(context, survey, wish) for wish in wishes],
        "freed_bytes": 0,
        "deleted": {"blocks": 0, "bytes": 0},
        "waiting": [],
        "evidence": None,
    }


def _name(survey: Survey, set_id: str) -> str | None:
    names = [wish.snapshot.set_name for wish in survey.wishes if "b" + wish.snapshot.set_id.hex() == set_id]
    return names[-1] if names else None


def _snapshot(context: JobContext, survey: Survey, wish: Wish) -> dict[str, Any]:
    return {
        **identify(wish.snapshot, context.zone),
        "action": wish.action,
        "pinned": survey.notes.get(wish.snapshot.id, NOTHING).is_pinned,
        "incomplete": not wish.snapshot.is_complete,
        "files": wish.files,
        "bytes": wish.bytes,
        "paths": [path_fields(path) for path, _ in wish.left_out[:_MOST_PATHS]],
    }
