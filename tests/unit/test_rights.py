"""A job for an ordinary user: what it may do is that user's, but for the steps that are the daemon's."""

from __future__ import annotations

from pathlib import Path

import pytest

from backupd.errors import RoleError
from backupd.model.orders import Caller
from backupd.rights import Rights
from tests.support.ordinary_user import run_as

UID = 31001


def _caller(uid: int = UID) -> Caller:
    return Caller(uid=uid, gid=32001, groups=[32001, 32002])


def _can_read(path: Path) -> bool:
    try:
        path.read_bytes()
    except PermissionError:
        return False
    return True


@pytest.mark.root
def test_lowered_rights_are_the_callers(tmp_path: Path) -> None:
    """Else a restore writes as root wherever its caller points."""
    closed, shared = tmp_path / "closed", tmp_path / "shared"
    closed.write_bytes(b"root's")
    closed.chmod(0o600)
    shared.mkdir()
    shared.chmod(0o777)
    for above in (tmp_path, *tmp_path.parents[:-1]):
        above.chmod(above.stat().st_mode | 0o011)

    def work() -> list[object]:
        rights = Rights(_caller())
        before = _can_read(closed)
        rights.lower()
        lowered = _can_read(closed)
        with rights.raised():
            raised = _can_read(closed)
            with rights.raised():
                pass
            still = _can_read(closed)
        after = _can_read(closed)
        made = shared / "made"
        made.write_bytes(b"")
        return [before, lowered, raised, still, after, made.stat().st_uid, made.stat().st_gid]

    assert run_as(0, 0, [0], work) == [True, False, True, True, False, UID, 32001]


@pytest.mark.root
def test_a_failure_does_not_leave_rights_raised(tmp_path: Path) -> None:
    """A place that can't be read is an everyday error; what is done after it must not be done as root."""
    closed = tmp_path / "closed"
    closed.touch(0o600)

    def work() -> bool:
        rights = Rights(_caller())
        rights.lower()
        try:
            with rights.raised():
                raise OSError
        except OSError:
            return _can_read(closed)

    assert run_as(0, 0, [0], work) is False


@pytest.mark.root
def test_only_root_can_work_for_others() -> None:
    """A user's own daemon that acted for another one would act with the wrong rights; for that very user it works."""

    def work() -> list[str]:
        Rights(_caller()).lower()
        Rights(None).lower()
        try:
            Rights(_caller(31002)).lower()
        except RoleError as error:
            return [error.code, error.hint]
        return []

    expected = ["access.role", "run backupd as root, or as the user who restores"]
    assert run_as(UID, 32001, [32001], work) == expected
