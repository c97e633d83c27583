"""A thread that is another user wholly, in a process that stays root's."""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from backupd.command_errors import RunAsError
from backupd.errors import UsageError
from backupd.model.orders import Caller
from backupd.source import user_rights
from backupd.source.user_rights import OWN_RIGHTS, rights_of
from tests.support.ordinary_user import UID, directory_of_user, run_as, run_as_user

pytestmark = [pytest.mark.platform("linux"), pytest.mark.root]
USER = Caller(uid=UID, gid=UID, groups=[UID, 4321])
_PTRACE_SEIZE = 0x4206
_PR_SET_SECUREBITS, _NO_SETUID_FIXUP = 28, 4


def _ids() -> dict[str, str]:
    with open("/proc/thread-self/status") as file:
        rows = dict(line.rstrip("\n").split(":", 1) for line in file)
    return {name: " ".join(rows[name].split()) for name in ("Uid", "Gid", "Groups", "CapPrm", "CapEff")}


def test_one_thread_is_the_user_and_no_other() -> None:
    before = _ids()
    with rights_of(USER) as rights:
        assert rights.user == USER
        assert rights.do(_ids) == {
            "Uid": " ".join([str(UID)] * 4),
            "Gid": " ".join([str(UID)] * 4),
            "Groups": f"4321 {UID}",
            "CapPrm": "0" * 16,
            "CapEff": "0" * 16,
        }
        assert _ids() == before
        # Who is asked by that thread is asked on it.
        assert rights.do(lambda: rights.do(os.geteuid)) == UID
    assert "source" not in [thread.name for thread in threading.enumerate()]


def test_groups_count_and_what_goes_wrong_is_raised() -> None:
    with directory_of_user() as above, rights_of(USER) as rights:
        os.chown(above, 0, 0)
        above.chmod(0o711)
        for name, gid in (("ours", 4321), ("theirs", 4322)):
            (above / name).write_bytes(b"x")
            os.chown(above / name, 0, gid)
            (above / name).chmod(0o640)
        assert rights.do((above / "ours").read_bytes) == b"x"
        with pytest.raises(PermissionError):
            rights.do((above / "theirs").read_bytes)
        with pytest.raises(UsageError, match="no more"):
            rights.do(_refuse)
        numbers = iter([1])
        assert rights.do(next, numbers) == 1
        with pytest.raises(StopIteration):
            rights.do(next, numbers)
        assert (above / "theirs").read_bytes() == b"x"


def _refuse() -> None:
    raise UsageError("no more")


def test_a_defect_is_raised_and_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    with rights_of(USER) as rights:
        with pytest.raises(ZeroDivisionError):
            rights.do(lambda: 1 // 0)
        rights._thread.join()  # type: ignore[attr-defined]  # noqa: SLF001
        with pytest.raises(AssertionError):
            rights.do(os.geteuid)


def test_the_user_sees_nothing_of_the_process_and_may_not_end_it() -> None:
    with rights_of(USER) as rights:
        thread, process = rights.do(threading.get_native_id), os.getpid()
        tried: list[tuple[str, Callable[[], object]]] = [
            ("memory", lambda: os.open(f"/proc/{process}/mem", os.O_RDONLY)),
            ("memory of the thread", lambda: os.open(f"/proc/{process}/task/{thread}/mem", os.O_RDONLY)),
            ("descriptors", lambda: os.listdir(f"/proc/{process}/task/{thread}/fd")),
            ("environment", lambda: os.open(f"/proc/{process}/task/{thread}/environ", os.O_RDONLY)),
            ("tracing", lambda: _trace(thread)),
            ("a signal", lambda: os.kill(process, 0)),
        ]

        def attempt() -> list[str]:
            done = []
            for name, action in tried:
                try:
                    action()
                except PermissionError:
                    continue
                done.append(name)
            return done

        assert run_as(UID, UID, [UID, 4321], attempt) == []


def _trace(thread: int) -> None:
    library = ctypes.CDLL(None, use_errno=True)
    if library.ptrace(_PTRACE_SEIZE, thread, None, None) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def _refusal(user: Caller) -> str:
    try:
        with rights_of(user):
            return ""
    except RunAsError as error:
        return f"{error.message}; {error.hint}"


def _refusal_with_kept_capabilities() -> str:
    ctypes.CDLL(None).prctl(_PR_SET_SECUREBITS, _NO_SETUID_FIXUP, 0, 0, 0)
    return _refusal(USER)


def test_it_is_refused_where_it_can_not_be_or_is_not_safe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "can't become user 0" in str(run_as_user(lambda: _refusal(Caller(uid=0, gid=0, groups=[]))))
    assert "securebits" in str(run_as(0, 0, [], _refusal_with_kept_capabilities))
    (tmp_path / "suid_dumpable").write_text("1\n")
    monkeypatch.setattr(user_rights, "_DUMPABLE", str(tmp_path / "suid_dumpable"))
    with pytest.raises(RunAsError, match="suid_dumpable"), rights_of(USER):
        pass
    monkeypatch.setattr("platform.machine", lambda: "vax")
    with pytest.raises(RunAsError, match="vax"), rights_of(USER):
        pass
    assert "source" not in [thread.name for thread in threading.enumerate()]


def test_nobody_named_is_nobody_else() -> None:
    with rights_of(None) as rights:
        assert rights is OWN_RIGHTS
        assert rights.do(threading.current_thread) is threading.current_thread()
