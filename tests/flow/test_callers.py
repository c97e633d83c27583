"""Orders for an ordinary user: what he is shown besides the rights in a tree themselves."""

from __future__ import annotations

from pathlib import Path

import pytest

from backupd.errors import SetNotFoundError
from backupd.model.orders import Caller, Selection, SnapshotListOrder, SnapshotLsOrder, Unlock
from backupd.seal.slot import secret_to_text
from backupd.settings.host import host_name
from tests.support.machine import Machine
from tests.support.small_repository import Node, SmallRepository, directory

CALLER = Caller(uid=1000, gid=1000, groups=[1000])


def test_snapshots_of_other_hosts_are_not_shown(tmp_path: Path) -> None:
    """In a repository that hosts share, number 1000 of one is someone else on the next: he must not get her files."""
    repository = SmallRepository(tmp_path / "place")
    repository.add(directory(home=directory(a=Node(b"mine"))), set_name="here", host=host_name())
    repository.add(directory(home=directory(a=Node(b"hers"))), set_name="there", host="elsewhere")
    machine = Machine(tmp_path / "home")
    place, unlock = str(repository.place), Unlock(secret=secret_to_text(repository.secret).encode())
    order = SnapshotListOrder(place=place, unlock=unlock)
    assert {one["set"] for one in machine.run(order).result["snapshots"]} == {"here", "there"}
    shown = machine.run(SnapshotListOrder(place=place, unlock=unlock, caller=CALLER)).result["snapshots"]
    assert [one["set"] for one in shown] == ["here"]
    hers = Selection(set_name="elsewhere:there", paths=[b"/home"])
    assert machine.run(SnapshotLsOrder(place=place, unlock=unlock, selection=hers)).items
    with pytest.raises(SetNotFoundError):
        machine.run(SnapshotLsOrder(place=place, unlock=unlock, selection=hers, caller=CALLER))
