"""Which destinations of a set are stored to at once, and how a run at several ended at each; pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from backupd.catalog.definitions import StoredDestination
from backupd.daemon.outcome import GOOD, Outcome, fields
from backupd.errors import RollbackError, SkippedError
from backupd.model.places import is_url
from backupd.model.sets import CONCURRENT, SetText
from backupd.model.traffic import Traffic
from backupd.store_errors import (
    ABSENT_CODES,
    BlocksLostError,
    StoredAgainError,
    StoreLaggingError,
    StoreSlowError,
    error_of,
)

_FILLED_LATER = (StoreLaggingError.code, StoreSlowError.code, BlocksLostError.code)


def groups(
    text: SetText, destinations: Sequence[StoredDestination], *, is_dry: bool
) -> Iterator[Sequence[StoredDestination]]:
    """Destinations that are stored to from one reading of the sources, in the set's order; a dry run looks at each."""
    size = 1 if is_dry or text.mode == "sequential" else text.max_concurrent or CONCURRENT[-1]
    for at in range(0, len(destinations), size):
        yield destinations[at : at + size]


def step_name(group: Sequence[StoredDestination]) -> str:
    """For the log."""
    names = [destination.text.name for destination in group]
    return f"destination {names[0]}" if len(names) == 1 else f"destinations {', '.join(names)}"


def split(outcome: Outcome, group: Sequence[StoredDestination]) -> dict[str, Outcome]:
    """How a run ended at each destination, by its id."""
    runs = (outcome.result or {}).get("runs") or []
    if len(group) == 1 or not runs:
        # It failed at all of them, at each for a reason of its own.
        context = (outcome.error or {}).get("context") or {}
        own = [(context.get("places") or {}).get(str(number)) for number in range(len(group))]
        return {
            destination.id: _failed(outcome, error, number) if error is not None else outcome
            for number, (destination, error) in enumerate(zip(group, own, strict=True))
        }
    return {
        destination.id: _at_one(outcome, runs[0], entry)
        for destination, entry in zip(group, runs[0]["destinations"], strict=True)
    }


def allowed(destination: StoredDestination, outcome: Outcome) -> Outcome:
    """The same, but passed over where the destination is away and may be."""
    error = outcome.error or {}
    is_its_own = (error.get("context") or {}).get("destination") in (None, destination.text.name)
    if destination.text.absent != "skip" or error.get("code") not in ABSENT_CODES or not is_its_own:
        return outcome
    return Outcome.of(SkippedError(f"{destination.text.name} is absent: {error.get('message', '')}"))


def near_first(group: Sequence[StoredDestination], ended: Mapping[str, Outcome]) -> dict[str, Outcome]:
    """How a job ended at each destination so far, first at those of a group."""
    return {**{one.id: ended[one.id] for one in group}, **ended}


def laggards(group: Sequence[StoredDestination], ended: Mapping[str, Outcome]) -> list[StoredDestination]:
    """Those of a group that lack what another has, and can be filled from it now."""
    return [one for one in group if (ended[one.id].error or {}).get("code") in _FILLED_LATER]


class Siblings(NamedTuple):
    """Destinations that have a job's snapshot, in the set's order, with how the job ended there."""

    near: dict[str, Outcome]
    """Directories of this machine."""
    far: dict[str, Outcome]


def earlier(destinations: Sequence[StoredDestination], ended: Mapping[str, Outcome]) -> Siblings:
    """Those that can give a snapshot to a destination that comes after them."""
    good = [one for one in destinations if one.id in ended and ended[one.id].exit_code in GOOD]
    near = {one.id: ended[one.id] for one in good if not is_url(one.text.place)}
    return Siblings(near, {one.id: ended[one.id] for one in good if one.id not in near})


def is_of_sources(outcome: Outcome) -> bool:
    """Whether a run ended because its sources can't be read."""
    return str((outcome.error or {}).get("code", "")).startswith("source.") and outcome.exit_code not in GOOD


def snapshot_of(outcome: Outcome) -> str:
    """Id of the snapshot that a run left, empty where it tells of none."""
    runs = (outcome.result or {}).get("runs") or [{}]
    return str(runs[0].get("snapshot") or "")


def is_shut(destination: StoredDestination, outcome: Outcome) -> bool:
    """Whether a copy to a destination failed for what would be said of a backup there, too: its store, space, past."""
    error = outcome.error or {}
    is_its_own = (error.get("context") or {}).get("destination") == destination.text.name
    code = str(error.get("code", ""))
    return code == RollbackError.code or (is_its_own and code.startswith(("destination.", "space.", "proxy.")))


def caught_up(
    copied: Outcome, sibling: Outcome, destination: StoredDestination, before: Outcome | None = None
) -> Outcome:
    """How a run ended at a destination that was filled from another one. copied: how the filling ended.

    before: how the run ended there that made it necessary.
    """
    told = (copied.result or {}).get("traffic")
    if copied.exit_code not in GOOD:
        own = [Traffic.of(told["to"])] if told else copied.traffic[1:]
        return msgspec.structs.replace(copied, result=None, traffic=own)
    error = before.error if before is not None else None
    if error is not None and error["code"] == BlocksLostError.code:
        again = StoredAgainError.after(error["message"])
        copied = msgspec.structs.replace(copied, exit_code=again.exit_code, error=fields(again))
    (run, *_) = (sibling.result or {})["runs"]
    size = (copied.result or {})["bytes"]
    entry = {
        "name": destination.text.name,
        "verdict": "good",
        "stored_bytes": size["copied"],
        "held_bytes": size["held"],
        "error": None,
        **({"traffic": told["to"]} if told else {}),
    }
    # What became of the other destination's store is not told of this one.
    has_problems = bool(run["problems"]["count"])
    exit_code = max(3 if has_problems else 0, copied.exit_code)
    result = {**(sibling.result or {}), "runs": [{**run, "exit": exit_code, "destinations": [entry]}]}
    error = sibling.error if has_problems else copied.error
    return Outcome(exit_code=exit_code, result=result, error=error, warnings=copied.warnings)


def _failed(outcome: Outcome, error: dict[str, Any], number: int) -> Outcome:
    """number: of the destination in the group."""
    exit_code = error_of(error["code"], error["message"], error["hint"]).exit_code
    own = outcome.traffic[number : number + 1]
    return msgspec.structs.replace(outcome, exit_code=exit_code, result=None, error=error, traffic=own)


def _at_one(outcome: Outcome, run: dict[str, Any], entry: dict[str, Any]) -> Outcome:
    error = entry["error"]
    if error is not None:
        exit_code = error_of(error["code"], error["message"], error["hint"]).exit_code
    elif outcome.was_stopped:
        exit_code, error = outcome.exit_code, outcome.error
    else:
        exit_code = 3 if run["problems"]["count"] else 0
        error = outcome.error if exit_code == outcome.exit_code else None
    result = None
    if entry["verdict"] == "good":
        result = {**(outcome.result or {}), "runs": [{**run, "exit": exit_code, "destinations": [entry]}]}
    own = [Traffic.of(entry["traffic"])] if result is None and "traffic" in entry else []
    return msgspec.structs.replace(outcome, exit_code=exit_code, result=result, error=error, traffic=own)
