"""The flag that ends a run."""

from __future__ import annotations

import subprocess
import sys

import pytest

from backupd.cancel import Cancel
from backupd.errors import CancelledError, TerminatedError

_STORM = """
import os, signal, time
import pytest

from backupd.cancel import Cancel
from backupd.errors import TerminatedError
cancel = Cancel()
signal.signal(signal.SIGTERM, lambda *_: cancel.request(TerminatedError("ended")))
own = os.getpid()
if os.fork() == 0:
    end = time.monotonic() + 1
    while time.monotonic() < end:
        os.kill(own, signal.SIGTERM)
    os._exit(0)
end = time.monotonic() + 1
while time.monotonic() < end:
    cancel.request(TerminatedError("ended"))
print("lives")
"""


def test_the_first_request_counts() -> None:
    cancel = Cancel()
    cancel.check()
    cancel.request(CancelledError("first"))
    cancel.request(TerminatedError("second"))
    with pytest.raises(CancelledError, match="first"):
        cancel.check()
    assert cancel.is_requested


def test_signals_in_the_middle_of_a_request_hang_nothing() -> None:
    """The daemon's death and systemd both send SIGTERM: a job that waits for itself would hold its set for ever."""
    done = subprocess.run([sys.executable, "-c", _STORM], capture_output=True, timeout=60, check=False)
    assert done.stdout == b"lives\n", done.stderr
