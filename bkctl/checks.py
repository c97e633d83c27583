"""Several jobs of one call: one document, its numbers added up, and the exit code that stands for all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from backupd.errors import RepositoryNotFoundError
from backupd.store_errors import NoSnapshotError
from bkctl.render.traffic import summed
from bkctl.runs import rank
from bkctl.session import Reply

_ADDED = ("snapshots", "blocks", "chunks", "bytes_read", "seconds", "files_hit_count")
_JOINED = ("problems", "files_hit", "skipped", "decisions", "given_up", "healed_objects")


_REPLICATED = ("snapshots", "bytes")


def replicated_together(replies: Sequence[Reply]) -> Reply:
    """One reply for the replications of several sets, each whole under `replications`; at least one is given."""
    worst = min(replies, key=lambda reply: rank(reply.exit_code))
    results = [reply.result for reply in replies if reply.result is not None]
    if len(replies) == 1 or not results:
        return worst
    result: dict[str, Any] = {**results[0], "set": None, "job": None, "repository": None}
    result["created"] = any(one["created"] for one in results)
    result["seconds"] = round(sum(one["seconds"] for one in results), 3)
    for group in _REPLICATED:
        result[group] = {name: sum(one[group][name] for one in results) for name in results[0][group]}
    costs = [one["traffic"] for one in results if "traffic" in one]
    if costs:
        result["traffic"] = {end: summed(cost[end] for cost in costs) for end in ("from", "to")}
    for name in ("copied", "failed", "skipped"):
        result[name] = [entry for one in results for entry in one[name]]
    result["replications"] = results
    return _joined(worst, result, replies)


def together(replies: Sequence[Reply]) -> Reply:
    """One reply for all checks, each whole under `checks`; at least one is given."""
    worst = min(replies, key=lambda reply: rank(reply.exit_code))
    results = [reply.result for reply in replies if reply.result is not None]
    if len(replies) == 1 or not results:
        return worst
    result: dict[str, Any] = {**results[0], "set": None, "job": None, "rebuilt": None, "healed": None}
    result["areas"] = None
    for name in _ADDED:
        result[name] = round(sum(one.get(name, 0) for one in results), 3)
    for name in _JOINED:
        result[name] = [entry for one in results for entry in one.get(name) or []]
    recorded = [one.get("recorded") or {} for one in results]
    result["recorded"] = {name: sum(one.get(name, 0) for one in recorded) for name in ("blocks", "chunks")}
    counted = [one["statistics"] for one in results if "statistics" in one]
    sums = {
        name: {unit: sum(one[name][unit] for one in counted) for unit in ("blocks", "bytes")}
        for name in ("recorded", "found")
    }
    result["statistics"] = {**sums, "agree": all(one["agree"] for one in counted)}
    covered = [one["coverage"] for one in results if "coverage" in one]
    oldest = [one["oldest"] for one in covered]
    result["coverage"] = {
        "days": max((one["days"] for one in covered), default=0),
        **{name: sum(one[name] for one in covered) for name in ("verified_bytes", "total_bytes", "never_bytes")},
        "oldest": None if not oldest or None in oldest else min(oldest),
    }
    costs = [one["traffic"] for one in results if "traffic" in one]
    if costs:
        result["traffic"] = summed(costs)
    result["checks"] = results
    return _joined(worst, result, replies)


def all_together(replies: Sequence[Reply], sets: Sequence[str], unstored: Sequence[str]) -> Reply:
    """The same of a check of all sets: those without a snapshot are told, and fail nothing.

    sets: the name of each reply's set. unstored: those for which there is no reply.
    Raises RepositoryNotFoundError where no set has a snapshot.
    """
    empty = [{"set": name, "reason": "nothing is stored yet"} for name in unstored]
    kept: list[Reply] = []
    for reply, name in zip(replies, sets, strict=True):
        error = reply.error or {}
        if error.get("code") == NoSnapshotError.code:
            empty.append({"set": name, "reason": error["message"]})
        else:
            kept.append(reply)
    empty.sort(key=lambda one: one["set"])
    names = ", ".join(dict.fromkeys(one["set"] for one in empty))
    if not kept:
        text = f"no set has a snapshot yet: {names}"
        raise RepositoryNotFoundError(text, hint="run a set first: bkctl backup --all", context={"skipped": empty})
    whole = together(kept)
    if not empty:
        return whole
    result = {**whole.result, "skipped": [*whole.result["skipped"], *empty]} if whole.result is not None else None
    lines = [*whole.lines, *(f"Skipped: {one['set']}: {one['reason']}." for one in empty)]
    return replace(whole, result=result, lines=lines)


_FREED = ("deleted", "rewritten", "removed", "before", "after")


def freed_together(replies: Sequence[Reply]) -> Reply:
    """One reply for all freeings, each whole under `freeings`; at least one is given."""
    worst = min(replies, key=lambda reply: rank(reply.exit_code))
    results = [reply.result for reply in replies if reply.result is not None]
    if len(replies) == 1 or not results:
        return worst
    result: dict[str, Any] = {**results[0], "set": None, "job": None, "retention": None, "target": None}
    result["statistics"] = None
    for name in ("freed_bytes", "planned_bytes", "seconds"):
        result[name] = round(sum(one[name] for one in results), 3)
    for group in _FREED:
        result[group] = {name: sum(one[group][name] for one in results) for name in results[0][group]}
    result["waiting"] = [entry for one in results for entry in one["waiting"]]
    costs = [one["traffic"] for one in results if "traffic" in one]
    if costs:
        result["traffic"] = summed(costs)
    result["freeings"] = results
    return _joined(worst, result, replies)


def _joined(worst: Reply, result: dict[str, Any], replies: Sequence[Reply]) -> Reply:
    return Reply(
        worst.exit_code,
        result,
        worst.error,
        list(dict.fromkeys(warning for reply in replies for warning in reply.warnings)),
        [line for reply in replies for line in reply.lines],
    )
