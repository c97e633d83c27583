"""Whose figures are shown: of this set, in this repository, at this destination, and the newest."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from backupd.catalog.definitions import StoredDestination, StoredRepository, StoredSet
from backupd.catalog.jobs import StoredRun
from backupd.daemon import area_figures
from backupd.model.areas import Area, Savings, SetAreas, Statistics
from backupd.model.sets import DestinationText, SetText

_SET = StoredSet(id="b1", text=SetText(name="home", sources=["/home"], to=["usb"]), file=None, created_ns=0)
_USB = StoredDestination(id="d1", text=DestinationText(name="usb", place="/usb"), file=None, created_ns=0)
_THERE = [StoredRepository(set_id="b1", destination_id="d1", repository="r1", stored_set_id="b9")]


def _areas(files: int, of: str = "b9") -> SetAreas:
    data = Area(files=files, source_bytes=100, plain_bytes=80, compressed_bytes=30, stored_bytes=35)
    older = Area(files=1, source_bytes=10, plain_bytes=5, compressed_bytes=6, stored_bytes=7)
    return SetAreas(set="home", set_id=of, snapshot="s1", data=data, retention=older)


def _run(as_of_ns: int = 5, files: int = 3, **more: Any) -> StoredRun:
    """A freeing."""
    found = Statistics(repository=more.pop("repository", "r1"), as_of_ns=as_of_ns, stored_bytes=1)
    found = msgspec.structs.replace(found, sets=[_areas(1, "b8"), _areas(files, more.pop("of", "b9"))])
    fields = {
        "job_id": "j1", "set_id": "b1", "destination_id": "d1", "destination_name": "usb", "kind": "free",
        "state": "completed", "snapshot": None, "exit_code": 0, "started_ns": 1, "finished_ns": as_of_ns,
        "facts": {"statistics": msgspec.to_builtins(found) | {"as_of": "as people read it"}},
    }  # fmt: skip
    return StoredRun(**{**fields, **more})


def _newest(*runs: StoredRun, snapshot: str | None = "s1") -> Any:
    return area_figures.newest(runs, _THERE, _SET, _USB, snapshot)


def test_the_newest_count_of_this_set() -> None:
    """Another set's job counts all that its repository holds."""
    found = _newest(_run(5, 3), _run(9, 4, set_id="b2", kind="check"), _run(7, 5))
    assert (found.as_of_ns, found.data.files, found.retention.files, found.is_current) == (9, 4, 1, True)
    assert found.savings == Savings(deduplication_bytes=25, compression_bytes=49)
    assert not _newest(_run(), snapshot="s2").is_current


@pytest.mark.parametrize(
    "run",
    [
        _run(repository="r2"),
        _run(destination_id="d2"),
        _run(of="b7"),
        _run(facts={}),
        _run(facts={"statistics": {"repository": "r1"}}),
        _run(facts={"statistics": [1, "two"]}),
    ],
    ids=["another repository", "another disk", "without this set", "not counted", "half", "of another version"],
)
def test_what_is_not_known_is_not_nothing(run: StoredRun) -> None:
    """Who replaced a disk would read the figures of the old one."""
    assert _newest(run) is None
    assert area_figures.newest([_run()], [], _SET, _USB, "s1") is None
