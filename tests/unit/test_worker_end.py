"""How a worker process learns that its coordinator is gone."""

from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor

import pytest

from backupd.errors import StoppedError
from backupd.worker import _Gone


def test_several_threads_look_at_once() -> None:
    """A pool's members wait side by side; two that looked at one moment would have ended a restore with a defect."""
    ours, theirs = socket.socketpair()
    with ours, ThreadPoolExecutor(8) as threads:
        gone = _Gone(ours)

        def look(_: int) -> bool:
            return any(gone.is_requested for _ in range(3000))

        assert not any(threads.map(look, range(8)))
        theirs.close()
        assert gone.is_requested
        with pytest.raises(StoppedError):
            gone.check()
