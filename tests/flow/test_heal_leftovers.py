"""What a killed healing leaves at the members is removed by the next one."""

from __future__ import annotations

from pathlib import Path

from backupd.cancel import Cancel
from backupd.clock import SystemClock
from backupd.destination.stores import canonical
from backupd.model.destination_orders import DestinationHealOrder
from backupd.model.places import pool_place
from backupd.operations import destination_heal
from backupd.operations.context import JobContext
from backupd.repository import identity
from backupd.settings import directories
from backupd.settings.writer_mark import WriterMark
from tests.support.pools import POOL_ID, local_members, open_pool, pool_access

_REPOSITORY = "r" + "0" * 32
_OTHER = "r" + "1" * 32


def _heal(tmp_path: Path) -> None:
    order = DestinationHealOrder(
        place=pool_place(POOL_ID), access=pool_access("mirror", local_members(tmp_path, 2), copies=2)
    )
    environ = {"HOME": str(tmp_path), "XDG_STATE_HOME": str(tmp_path / "state")}
    context = JobContext(order, SystemClock(), Cancel(), environ, directories.find(environ), lambda _: None)
    assert destination_heal.run(order, context).exit_code == 0
    marks = Path(context.directories.state) / "writers"
    assert not [*marks.iterdir()], "nobody is at work"


def test_temporary_names_of_a_killed_healing_are_removed(tmp_path: Path) -> None:
    """Else each kill leaves up to a block for each member, and nobody ever removes it."""
    store = open_pool(pool_access("mirror", local_members(tmp_path, 2), copies=2))
    for repository in (_REPOSITORY, _OTHER):
        store.put(f"{repository}/repository.json", [b"{}"])
    store.close()
    _heal(tmp_path)
    state = directories.find({"HOME": str(tmp_path), "XDG_STATE_HOME": str(tmp_path / "state")}).state
    dead = WriterMark(state, identity.place_tag(canonical(pool_place(POOL_ID))), "f" * 32)
    with dead:
        dead.keep()
    left = [tmp_path / "m1" / folder / "tmp" / ("f" * 32 + "-1") for folder in (_REPOSITORY, _OTHER)]
    others = left[0].with_name("0" * 32 + "-1")
    for path in (*left, others):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"half a block")
    _heal(tmp_path)
    assert [path.exists() for path in (*left, others)] == [False, False, True]
