"""If these fail, a killed process leaves something that stops the next one, until someone removes it by hand."""

from __future__ import annotations

import os
from pathlib import Path

from backupd import durable_io


def test_what_a_dead_process_of_the_same_number_left_is_no_obstacle(tmp_path: Path) -> None:
    """In a container the job has the same process number each time."""
    path = tmp_path / "journal"
    Path(f"{path}.{os.getpid()}.tmp").write_bytes(b"torn")
    durable_io.replace(str(path), [b"whole"])
    assert path.read_bytes() == b"whole"
    assert os.listdir(tmp_path) == ["journal"]
