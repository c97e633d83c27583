"""A backup over SFTP comes back: the whole way, worker processes and all."""

from __future__ import annotations

import os
from pathlib import Path

from backupd.model.orders import BackupOrder, Limits, RestoreOrder, Selection
from tests.support.compare import compare_trees
from tests.support.machine import Machine
from tests.support.servers.sshd import sshd
from tests.support.sftp_places import right_access


def test_a_backup_over_sftp_comes_back(tmp_path: Path) -> None:
    """To and from a server that gives the fewest connections that sshd allows."""
    (tmp_path / "sshd").mkdir()
    source = tmp_path / "source"
    (source / "deep").mkdir(parents=True)
    (source / "deep/large").write_bytes(os.urandom(40 << 20))
    for number in range(50):
        (source / f"file{number}").write_bytes(os.urandom(1000))
    with sshd(tmp_path / "sshd", ["MaxSessions 1"]) as server:
        place = f"sftp://{server.user}@127.0.0.1:{server.port}{tmp_path}/place"
        machine = Machine(tmp_path / "machine")
        limits = Limits(jobs=2, polite=False)
        access = right_access(server)
        for _ in range(2):
            outcome = machine.run(
                BackupOrder(place=place, sources=[bytes(source)], set_name="documents", limits=limits, access=access)
            )
            assert outcome.done.exit_code == 0, outcome.result
        selection = Selection(set_name="documents")
        machine.run(RestoreOrder(place=place, selection=selection, to=bytes(tmp_path / "target"), access=access))
    assert compare_trees(source, tmp_path / "target" / str(source)[1:]) == []
    assert list((tmp_path / "place").glob("*/tmp/*")) == []
