"""Directories: a key or a state that others can write to, or that vanishes unsaid, is a lost backup."""

from __future__ import annotations

import os
import pwd
import stat
from pathlib import Path

import pytest

from backupd.errors import AccessError, BackupError
from backupd.settings.directories import discard, ensure, find


def mode(path: str) -> int:
    return stat.S_IMODE(os.stat(path).st_mode)


def test_defaults_lie_below_home_and_state_is_private(tmp_path: Path) -> None:
    found = find({"HOME": str(tmp_path)})
    assert found.config == f"{tmp_path}/.config/backupd"
    assert found.data == f"{tmp_path}/.local/share/backupd"
    assert found.state == f"{tmp_path}/.local/state/backupd"
    assert found.cache == f"{tmp_path}/.cache/backupd"
    assert not found.is_temporary
    assert mode(found.state) == 0o700
    assert not os.path.exists(found.data)
    discard(found)
    assert os.path.isdir(found.state)


def test_xdg_variables_count_when_absolute(tmp_path: Path) -> None:
    environ = {"HOME": str(tmp_path), "XDG_STATE_HOME": f"{tmp_path}/s", "XDG_DATA_HOME": "relative"}
    found = find(environ)
    assert found.state == f"{tmp_path}/s/backupd"
    assert found.data == f"{tmp_path}/.local/share/backupd"


def test_without_home_the_account_is_asked(tmp_path: Path) -> None:
    found = find({"XDG_STATE_HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)})
    assert found.data == f"{pwd.getpwuid(os.geteuid()).pw_dir}/.local/share/backupd"


def test_a_state_that_cannot_be_is_replaced_by_a_private_one_and_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    found = find({"HOME": f"{tmp_path}/file", "TMPDIR": str(tmp_path)})
    assert found.is_temporary
    top = os.path.dirname(found.state)
    assert os.path.dirname(top) == str(tmp_path)
    assert (mode(top), mode(found.state)) == (0o700, 0o700)
    discard(found)
    assert not os.path.exists(top)


def test_a_cache_that_cannot_be_lies_in_the_state(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    found = find({"HOME": str(tmp_path), "XDG_CACHE_HOME": f"{tmp_path}/file"})
    assert not found.is_temporary
    assert found.cache == f"{found.state}/cache"


def test_directories_that_others_can_write_to_are_refused_with_the_mend(tmp_path: Path) -> None:
    path = f"{tmp_path}/a/b"
    assert ensure(path) == path
    assert (mode(f"{tmp_path}/a"), mode(path)) == (0o700, 0o700)
    os.chmod(path, 0o770)
    with pytest.raises(AccessError) as caught:
        ensure(path)
    assert caught.value.hint == f"chmod go-w {path}"


@pytest.mark.root
def test_root_never_trusts_or_fills_a_users_directories(tmp_path: Path) -> None:
    os.mkdir(tmp_path / "anna")
    os.chown(tmp_path / "anna", 12345, 12345)
    with pytest.raises(AccessError, match="12345"):
        ensure(f"{tmp_path}/anna")
    found = find({"HOME": f"{tmp_path}/anna", "XDG_STATE_HOME": f"{tmp_path}/s", "XDG_CACHE_HOME": f"{tmp_path}/s"})
    assert not found.data.startswith(str(tmp_path))


def test_a_file_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BackupError, match="file"):
        ensure(f"{tmp_path}/file")
    with pytest.raises(BackupError):
        ensure(f"{tmp_path}/file/below")
