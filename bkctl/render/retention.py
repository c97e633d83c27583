"""What `retention …` and `snapshot pin` print, and several places' answers as one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from backupd.model.api import SetView
from backupd.model.retention import joined_plan, policy_of
from backupd.model.retention_words import meaning, policy_words
from backupd.sizes import count
from backupd.store_errors import error_of
from bkctl.runs import rank
from bkctl.session import Reply, described
from bkctl.text import escape, moment, table

_SOME = "destination.some"


def policies(found: SetView) -> list[dict[str, Any]]:
    """What holds for a set at each of its destinations, as JSON output shows it."""
    text = found.text
    shown = []
    for name in text.to:
        policy = policy_of(text.retention, text.retention_at, name)
        origin = "destination" if name in text.retention_at else "set" if text.retention is not None else "default"
        shown.append(
            {
                "destination": name,
                "policy": msgspec.to_builtins(policy),
                "words": policy_words(policy),
                "meaning": meaning(policy),
                "origin": origin,
            }
        )
    return shown


def policy_lines(sets: Sequence[Mapping[str, Any]]) -> list[str]:
    """A line for each destination, and what it means where that differs."""
    rows = [
        (one["set"], at["destination"], at["words"], "" if at["origin"] != "default" else "default")
        for one in sets
        for at in one["destinations"]
    ]
    lines = table(rows, ("SET", "DESTINATION", "KEEPS", ""))
    if len(sets) == 1:
        lines += dict.fromkeys(at["meaning"] for at in sets[0]["destinations"])
    return lines or ["No set yet."]


def retention_together(set_name: str, names: Sequence[str], replies: Sequence[Reply], *, is_dry: bool) -> Reply:
    """One reply for all destinations of a set; at least one is given."""
    entries: list[dict[str, Any]] = []
    for name, reply in zip(names, replies, strict=True):
        entries.append({"destination": name, "error": reply.error, **(reply.result or {})})
    good = [entry for entry in entries if "plan" in entry]
    plan = joined_plan([entry["plan"] for entry in good]) if len(good) == len(entries) else None
    result = {
        "changed": any(entry["changed"] for entry in good),
        "diff": {},
        "dry_run": is_dry,
        "set": set_name,
        "plan": plan,
        "kept_count": sum(entry["kept_count"] for entry in good),
        "dropped_count": sum(entry["dropped_count"] for entry in good),
        "left_count": sum(entry["left_count"] for entry in good),
        "destinations": entries,
    }
    return _joined(replies, result, list(_retention_lines(result)))


def left_words(left: int) -> str:
    """What a login that may only add leaves."""
    return f"{count(left, 'snapshot')} left to whoever frees space there: this login may only add"


def noted_together(names: Sequence[str], replies: Sequence[Reply], *, is_text: bool) -> Reply:
    """One reply for all places of a snapshot; the first one has a result."""
    first = replies[0].result or {}
    entries = [
        {"name": name, "changed": bool((reply.result or {}).get("changed")), "error": reply.error}
        for name, reply in zip(names, replies, strict=True)
    ]
    result = {**first, "changed": any(one["changed"] for one in entries), "destinations": entries}
    return _joined(replies, result, list(_noted_lines(result)) if is_text else [])


def _joined(replies: Sequence[Reply], result: dict[str, Any], lines: list[str]) -> Reply:
    """All good: 0. Some not: 4, but where something is damaged its own code."""
    worst = min(replies, key=lambda reply: rank(reply.exit_code))
    warnings = list(dict.fromkeys(warning for reply in replies for warning in reply.warnings))
    exit_code, error = worst.exit_code, worst.error
    bad = [reply for reply in replies if reply.result is None]
    if bad and len(bad) < len(replies) and error is not None and error["code"].startswith("destination."):
        some = error_of(_SOME, f"done at {len(replies) - len(bad)} of {len(replies)} destinations; {error['message']}")
        some.hint = error["hint"]
        exit_code, error = some.exit_code, described(some)
    return Reply(exit_code, result if len(bad) < len(replies) else None, error, warnings, lines)


def _retention_lines(result: Mapping[str, Any]) -> Iterator[str]:
    is_dry = result["dry_run"]
    for entry in result["destinations"]:
        name = escape(entry["destination"])
        if "plan" not in entry:
            yield f"{name}: {escape((entry['error'] or {}).get('message', ''))}"
            continue
        yield f"{name}: {escape(entry['policy_words'])}, in {escape(entry['zone'])}"
        shown = entry["snapshots"] if is_dry else [one for one in entry["snapshots"] if not one["kept"]]
        word = "drop" if is_dry else "left" if entry["left_count"] else "dropped"
        rows = [
            (one["short"], moment(one["time"]), "keep" if one["kept"] else word, "; ".join(one["reasons"]))
            for one in shown
        ]
        yield from (f"  {line}" for line in table(rows, ("ID", "TIME", "", "WHY")))
        would = "would be dropped" if is_dry else "dropped"
        yield f"  {count(entry['dropped_count'], 'snapshot')} {would}, {entry['kept_count']:,} kept"
        if entry["left_count"]:
            yield f"  {left_words(entry['left_count'])}"
    if is_dry and result["dropped_count"] and result["plan"]:
        yield f"Just this: bkctl retention apply {escape(result['set'])} --apply {result['plan']} --yes"
    if result["changed"]:
        yield "What only they held takes its space until `bkctl free` gives it back."


def _noted_lines(result: Mapping[str, Any]) -> Iterator[str]:
    snapshot = result["snapshot"]
    words = [f"{key}={value}" for key, value in result["tags"].items()]
    pinned = f"pinned{': ' if result['reason'] else ''}{result['reason']}" if result["pinned"] else "not pinned"
    yield f"{snapshot['short']} of {escape(snapshot['set'])}: {escape('; '.join([pinned, *words]))}"
    for one in result["destinations"]:
        if one["error"] is not None:
            yield f"  {escape(one['name'])}: {escape(one['error']['message'])}"
