"""Runs as each program of a test starts: what the test says by files below the programs' home.

A worker waits at the gate that a test may have closed (slow_set.gate); clocks are ahead where it has a fake one
(fake_clock.py).
"""

from __future__ import annotations

import fcntl
import os
import sys
from contextlib import suppress

GATE = "workers.gate"
"""Name of the file below the programs' home; closed while somebody holds it locked."""

CLOCK_OFFSETS = "clock.offsets"
"""The same of how far the clocks are ahead (clock_offsets.py)."""

_HOME = os.environ.get("HOME", "/")

if "backupd.worker" in sys.orig_argv:
    with suppress(OSError), open(os.path.join(_HOME, GATE), "rb") as _gate:
        fcntl.flock(_gate, fcntl.LOCK_SH)

if os.path.exists(os.path.join(_HOME, CLOCK_OFFSETS)):
    from tests.support.plugins import clock_offsets

    clock_offsets.follow(os.path.join(_HOME, CLOCK_OFFSETS))
