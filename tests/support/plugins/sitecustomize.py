"""Runs as each program of a test starts: a worker waits at the gate that a test may have closed (slow_set.gate)."""

from __future__ import annotations

import fcntl
import os
import sys
from contextlib import suppress

GATE = "workers.gate"
"""Name of the file below the programs' home; closed while somebody holds it locked."""

if "backupd.worker" in sys.orig_argv:
    with suppress(OSError), open(os.path.join(os.environ.get("HOME", "/"), GATE), "rb") as _gate:
        fcntl.flock(_gate, fcntl.LOCK_SH)
