"""Runs as each program of a test starts: what the test says by files below the programs' home.

A worker waits at the gate that a test may have closed (slow_set.gate); clocks are ahead where it has a fake one
(fake_clock.py); jobs watch sources as they do on macOS where it says so. New passwords of jobs are as cheap as those of
the test itself.
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

WATCHES_BY_EVENTS = "watches.events"
"""Name of a file below the programs' home; where it is, sources are watched as on macOS."""

_HOME = os.environ.get("HOME", "/")

if "backupd.worker" in sys.orig_argv:
    with suppress(OSError), open(os.path.join(_HOME, GATE), "rb") as _gate:
        fcntl.flock(_gate, fcntl.LOCK_SH)

if "backupd.job" in sys.orig_argv:
    from tests.support import cheap_passwords

    cheap_passwords.use()

if "backupd.job" in sys.orig_argv and os.path.exists(os.path.join(_HOME, WATCHES_BY_EVENTS)):
    from backupd.source import event_watching, watchers

    setattr(watchers, "OwnWatch", event_watching.EventWatch)  # noqa: B010 - the type of this system's own is another

if os.path.exists(os.path.join(_HOME, CLOCK_OFFSETS)):
    from tests.support.plugins import clock_offsets

    clock_offsets.follow(os.path.join(_HOME, CLOCK_OFFSETS))
