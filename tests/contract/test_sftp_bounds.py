"""What a directory behind SSH may take of this machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from backupd.store_errors import StoreAnswerError
from tests.support.servers.sshd import sshd
from tests.support.sftp_places import open_sftp_at


def test_an_object_that_is_too_large_for_memory(tmp_path: Path) -> None:
    """Else a server that says a file has gigabytes ends the daemon, and the backups of all its sets."""
    (tmp_path / "sshd").mkdir()
    with sshd(tmp_path / "sshd") as server:
        place = open_sftp_at(server, tmp_path / "place")
        with (tmp_path / "place/large").open("wb") as file:
            file.truncate((256 << 20) + 1)
        with pytest.raises(StoreAnswerError, match="over 268435456"):
            place.get("large")
        assert place.get("large", 256 << 20) == bytes(1)
        place.close()
