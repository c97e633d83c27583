"""What a job cost, as a person reads it and as several jobs add up."""

from __future__ import annotations

from typing import Any

import msgspec

from backupd.model.traffic import Requests, Traffic
from bkctl.checks import replicated_together, together
from bkctl.render.traffic import traffic_lines
from bkctl.session import Reply

QUIET = Traffic(requests=Requests(put=40, get=3, list=11), sent_bytes=1_288_490_189, received_bytes=4 << 20)
TRIED = Traffic(
    requests=Requests(put=200, size=14),
    sent_bytes=5,
    repeated={"destination.busy": 2, "destination.unreachable": 1},
    waited_seconds=75.0,
    held_back_seconds=3.0,
)


def fields(traffic: Traffic) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.to_builtins(traffic)
    return found


def test_one_place_is_one_line() -> None:
    """The line that says whether the store is worth its money, or is about to fail."""
    assert list(traffic_lines({"traffic": fields(QUIET)})) == ["Requests: 54, sent 1.2 GiB, received 4.0 MiB"]
    run = {"destinations": [{"name": "nas", "traffic": fields(TRIED)}]}
    assert list(traffic_lines({"runs": [run]})) == [
        "Requests: 214 (3 repeated), sent 5 B, received 0 B, 1 min 15 s waited before trying again, "
        "3.0 s held back by limits"
    ]


def test_several_places_are_told_apart() -> None:
    entries = [{"name": "usb", "traffic": fields(QUIET)}, {"name": "away"}, {"name": "nas", "traffic": fields(TRIED)}]
    lines = list(traffic_lines({"runs": [{"destinations": entries}]}))
    assert [line.partition(" (")[0].partition(",")[0] for line in lines] == ["usb: requests: 54", "nas: requests: 214"]
    copied = {"from": "usb", "to": "nas", "traffic": {"from": fields(QUIET), "to": fields(TRIED)}}
    assert [line.partition(":")[0] for line in traffic_lines(copied)] == ["usb", "nas"]
    assert list(traffic_lines({"from": "usb", "to": "nas"})) == []


def test_jobs_of_one_call_add_up() -> None:
    """Else `check --all` tells the costs of its first set as those of all."""
    checks = [Reply(0, {"traffic": fields(one)}) for one in (QUIET, TRIED)]
    result = together(checks).result or {}
    assert result["traffic"] == fields(QUIET.plus(TRIED))
    counts = {"snapshots": {"copied": 1}, "bytes": {"copied": 1}, "created": True, "seconds": 1.0}
    lists: dict[str, Any] = {"copied": [], "failed": [], "skipped": []}
    costs = ({"from": QUIET, "to": TRIED}, {"from": QUIET, "to": QUIET})
    copies = [Reply(0, {**counts, **lists, "traffic": msgspec.to_builtins(one)}) for one in costs]
    result = replicated_together(copies).result or {}
    assert result["traffic"] == {"from": fields(QUIET.plus(QUIET)), "to": fields(TRIED.plus(QUIET))}
