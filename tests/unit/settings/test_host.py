"""Host and state ids: a changed one makes another set of the same directory, and a full read."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest

from backupd.errors import UsageError
from backupd.settings.host import Host, read_host


def test_ids_stay_and_a_new_state_has_new_ones(tmp_path: Path) -> None:
    first = read_host(f"{tmp_path}/one")
    assert read_host(f"{tmp_path}/one") == first
    other = read_host(f"{tmp_path}/two")
    assert len({first.host_id, first.state_id, other.host_id, other.state_id}) == 4
    assert (first.name, first.boot_id) == (other.name, other.boot_id)
    assert first.name
    assert "." not in first.name
    assert stat.S_IMODE(os.stat(tmp_path / "one" / "host.id").st_mode) == 0o600


def test_two_that_start_at_once_get_one_id(tmp_path: Path) -> None:
    found: list[Host] = []
    threads = [threading.Thread(target=lambda: found.append(read_host(f"{tmp_path}/s"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1
    assert sorted(os.listdir(tmp_path / "s")) == ["host.id", "state.id"]


def test_a_damaged_id_is_not_quietly_drawn_anew(tmp_path: Path) -> None:
    read_host(str(tmp_path))
    (tmp_path / "host.id").write_text("")
    with pytest.raises(UsageError):
        read_host(str(tmp_path))
