"""Query parameters of the API: what each takes, as JSON Schema. The document shows it, the server counts by it."""

from __future__ import annotations

from typing import Any, get_args

from backupd.model.files import FileStateName
from backupd.model.jobs import TRANSITIONS, JobKind
from backupd.model.reports import ReportStatus, Severity

_SECONDS = {"type": "integer", "minimum": 0, "maximum": (1 << 63) - 1}
_STATES = "|".join(sorted(TRANSITIONS))
_FILE_STATES = "|".join(sorted(get_args(FileStateName)))


def _listed(words: tuple[str, ...], description: str) -> dict[str, Any]:
    """A list of known words, with commas between."""
    one = "|".join(sorted(words))
    return {"type": "string", "pattern": f"^({one})?(,({one}))*$", "description": description}


_OF_VERBS: dict[tuple[str, str], dict[str, Any]] = {
    ("job list", "set"): {"type": "string", "description": "A set's name or id."},
    ("job list", "status"): {
        "type": "string",
        "pattern": f"^({_STATES})?(,({_STATES}))*$",
        "description": "States, with commas between.",
    },
    ("job list", "since_seconds"): {**_SECONDS, "description": "Only jobs queued in so many last seconds."},
    ("job list", "after"): {
        "type": "string",
        "pattern": "^[0-9]{1,19}-j[0-9a-f]{4,}$",
        "description": "`next` of the page before.",
    },
    ("job log", "after"): {**_SECONDS, "description": "Number of a line; those after it are shown."},
    ("job log", "last"): {**_SECONDS, "description": "Only so many lines from the end on."},
    ("job files", "after"): {**_SECONDS, "description": "`next` of the page before, or 0."},
    ("job files", "limit"): {
        "type": "integer",
        "minimum": 1,
        "maximum": 1000,
        "default": 50,
        "description": "Once there are so many, no more are looked for; up to 999 written with them come too.",
    },
    ("job files", "states"): {
        "type": "string",
        "pattern": f"^({_FILE_STATES})?(,({_FILE_STATES}))*$",
        "description": "States, with commas between; empty: all.",
    },
    ("report list", "sets"): {"type": "string", "description": "Names or ids of sets, with commas between; none: all."},
    ("report list", "kind"): _listed(get_args(JobKind), "Kinds of jobs, with commas between; none: all."),
    ("report list", "status"): _listed(get_args(ReportStatus), "Statuses, with commas between; none: all."),
    ("report list", "destination"): {
        "type": "string",
        "description": "Names or ids of destinations, with commas between; none: all, and jobs without one.",
    },
    ("report list", "since"): {"type": "string", "description": "A span as 7d, or a time: jobs queued since then."},
    ("report list", "until"): {"type": "string", "description": "The same: jobs queued until then."},
    ("report list", "after"): {
        "type": "string",
        "pattern": "^[0-9]{1,19}-j[0-9a-f]{4,}(-d[0-9a-f]{4,})?$",
        "description": "`next` of the page before.",
    },
    ("report show", "severity"): _listed(get_args(Severity), "Severities of lines, with commas between; none: all."),
    ("report show", "after"): {**_SECONDS, "description": "Number of a line; those after it are shown."},
    ("config export", "set"): {
        "type": "array",
        "items": {"type": "string"},
        "description": "Names of sets; none: all.",
    },
    ("schedule list", "sets"): {"type": "string", "description": "Names of sets, with commas between; none: all."},
    ("schedule next", "sets"): {"type": "string", "description": "Names of sets, with commas between; none: all."},
    ("schedule next", "schedule"): {"type": "string", "description": "Name of one schedule; none: all."},
    ("schedule next", "count"): {
        "type": "integer",
        "minimum": 1,
        "maximum": 1000,
        "default": 20,
        "description": "So many runs.",
    },
    ("status show", "sets"): {"type": "string", "description": "Names of sets, with commas between; none: all."},
    ("status metrics", "sets"): {"type": "string", "description": "Names of sets, with commas between; none: all."},
    ("status show", "max_age_seconds"): {**_SECONDS, "description": "In place of what each set says."},
    ("status metrics", "max_age_seconds"): {**_SECONDS, "description": "In place of what each set says."},
}
_OF_ALL: dict[str, dict[str, Any]] = {
    "limit": {"type": "integer", "minimum": 1, "maximum": 1000, "default": 50, "description": "So many at most."}
}


def schema_of(verb: str, name: str) -> dict[str, Any]:
    """What a parameter takes; text where nobody said more."""
    return _OF_VERBS.get((verb, name)) or _OF_ALL.get(name) or {"type": "string"}


def is_repeated(verb: str, name: str) -> bool:
    """Whether it may be given several times."""
    return bool(schema_of(verb, name)["type"] == "array")
