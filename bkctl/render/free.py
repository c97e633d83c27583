"""What `free` prints."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from backupd.sizes import count, format_bytes, format_seconds
from bkctl.render.figures import joined
from bkctl.text import escape, moment, table

_SHORT_ID = 9
_MOST_NAMED = 5


def free_lines(result: Mapping[str, Any]) -> Iterator[str]:
    """What was freed, what is held, what waits and until when."""
    before, after = result["before"], result["after"]
    if result["target"] is not None:
        yield from _target_lines(result["target"], is_dry=result["dry_run"])
        if result["dry_run"]:
            return
    elif not any(waiting["what"] == "set" for waiting in result["waiting"]):
        yield _policy_line(result.get("retention"), is_dry=result["dry_run"])
    if result["dry_run"]:
        planned = result["planned_bytes"]
        yield f"{format_bytes(planned)} of {format_bytes(before['stored_bytes'])} can be freed; nothing was changed."
        yield _held(before)
        yield from _waits(result)
        return
    deleted, rewritten = result["deleted"], result["rewritten"]
    facts = [
        f"{count(deleted['blocks'], 'block')} deleted",
        f"{count(rewritten['blocks'], 'block')} written anew" * bool(rewritten["blocks"]),
        format_seconds(result["seconds"]),
    ]
    yield f"{format_bytes(max(0, result['freed_bytes']))} freed: {joined(facts)}."
    yield f"{_held(after)} {format_bytes(after['stored_bytes'])} are stored now."
    yield from _waits(result)
    if rewritten["put_off"]:
        yield f"{count(rewritten['put_off'], 'block')} could not be written anew: there is too little room for copies."


def _policy_line(retained: Mapping[str, Any] | None, *, is_dry: bool) -> str:
    """What the set's policy drops before anything is freed. retained: None: no policy says what goes."""
    if retained is None:
        return f"No snapshot {'would be' if is_dry else 'was'} dropped: no policy of the set says so."
    policy = f"the set's policy ({retained['policy']})"
    if retained.get("left"):
        left = count(retained["left"], "snapshot")
        return f"{left} left that {policy} does not keep: this login may not drop them; who may, frees the space."
    if not retained["dropped"]:
        was = "would be" if is_dry else "was"
        return f"No snapshot {was} dropped: {policy} keeps all there are ({retained['kept']:,})."
    named = [one[:_SHORT_ID] for one in retained.get("oldest_dropped", ())][:_MOST_NAMED]
    more = retained["dropped"] - len(named)
    which = ", ".join(named) + (f" and {more:,} more" if named and more else "")
    would = "would be dropped" if is_dry else "dropped"
    text = f"{count(retained['dropped'], 'snapshot')} {would} by {policy}, {retained['kept']:,} kept"
    return f"{text}: {which}." if which else f"{text}."


def _waits(result: Mapping[str, Any]) -> Iterator[str]:
    """What is held back, until when, and what gives it free then."""
    for waiting in result["waiting"]:
        # What is locked says it in its own words, for more than one day.
        until = f" (until {waiting['until']})" if waiting["until"] and waiting["what"] != "lock" else ""
        yield f"Waits{until}: {waiting['reason']}."
    if result["waiting"]:
        yield "What waits is given free by the same command after that."


def _held(held: Mapping[str, int]) -> str:
    return (
        f"The newest snapshots need {format_bytes(held['data_bytes'])}, "
        f"older ones {format_bytes(held['retention_bytes'])} besides."
    )


_HOLDERS = {
    "newest": "the newest complete snapshot",
    "other_sets": "snapshots of other sets",
    "future": "snapshots dated in the future",
    "pinned": "pinned snapshots",
    "tagged": "snapshots with a tag that the policy keeps",
    "writer": "snapshots that a run under way builds on",
    "unfinished": "unfinished runs",
}


def _target_lines(target: Mapping[str, Any], *, is_dry: bool) -> Iterator[str]:
    """The plan as a table, what it misses and why, and how it is carried out."""
    dead = format_bytes(target["dead_bytes"])
    rows = [("", "", "", "no snapshot needs it", dead, dead)]
    rows += [
        (one["short"], moment(one["time"]), escape(one["set"]), _why(one), *_bytes_of(one)) for one in target["drops"]
    ]
    yield from table(rows, ("ID", "TIME", "SET", "WHY", "GIVES", "IN ALL"))
    beyond = sum(one["kept_by_policy"] for one in target["drops"])
    word = "would be dropped" if is_dry else "dropped"
    count_text = count(len(target["drops"]), "snapshot")
    asked = f" of {format_bytes(target['target_bytes'])}" if target["target_bytes"] is not None else ""
    yield (
        f"{count_text} {word}, {beyond:,} of them for the target alone: "
        f"{format_bytes(max(0, target['planned_bytes']))}{asked}."
    )
    if target["short_bytes"]:
        yield f"{format_bytes(target['short_bytes'])} are missing, and nothing else may be dropped. What stays:"
        for one in target["held_by"]:
            yield f"  {_HOLDERS[one['reason']]} ({one['snapshots']:,}): {format_bytes(max(0, one['bytes']))}"
    if is_dry and target["planned_bytes"]:
        yield f"Nothing was changed. Just this: {escape(target['apply_command'])}"


def _why(drop: Mapping[str, Any]) -> str:
    reasons = escape("; ".join(drop["reasons"]))
    if not drop["kept_by_policy"]:
        return reasons
    return f"oldest; policy: {reasons}" if reasons else "oldest"


def _bytes_of(drop: Mapping[str, Any]) -> tuple[str, str]:
    return format_bytes(max(0, drop["bytes"])), format_bytes(max(0, drop["sum_bytes"]))
