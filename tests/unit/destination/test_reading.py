"""A place that a caller may not enter is read for him, step by step, and never written to."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from backupd.destination.local import LocalDestination
from backupd.destination.reading import ReadWithOwnRights
from backupd.errors import DestinationRefusedError
from backupd.model.orders import Caller
from backupd.rights import Rights
from tests.support.ordinary_user import run_as


@pytest.mark.root
def test_reads_with_own_rights_and_gives_them_up_again(tmp_path: Path) -> None:
    """Without it no ordinary user restores from root's place; if it kept the rights he would write as root."""
    place = tmp_path / "place"
    place.mkdir(mode=0o700)
    LocalDestination(str(place), "w").put("blocks/aa/one", [b"bytes"])

    def work() -> list[object]:
        rights = Rights(Caller(uid=31001, gid=31001, groups=[31001]))
        local = LocalDestination(str(place), "r")
        rights.lower()
        reading = ReadWithOwnRights(local, rights)
        found: list[object] = [reading.get("blocks/aa/one", 1, 2), reading.size("blocks/aa/one"), reading.size("none")]
        for info in reading.list("blocks/"):
            found += [info.name, os.geteuid()]
        found += [os.geteuid(), bool(reading.free_bytes()), reading.shown == str(place)]
        with pytest.raises(DestinationRefusedError):
            reading.put("a", [b""])
        with pytest.raises(DestinationRefusedError):
            reading.delete("blocks/aa/one")
        return found

    expected = [b"yt", 5, None, "blocks/aa/one", 31001, 31001, True, True]
    assert run_as(0, 0, [0], work) == expected
    assert (place / "blocks/aa/one").read_bytes() == b"bytes"
