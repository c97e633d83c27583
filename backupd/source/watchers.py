"""By what this system's sources are watched: the one place that knows."""

from __future__ import annotations

import sys

if sys.platform == "linux":
    from backupd.source.watching import TreeWatch as OwnWatch
else:
    from backupd.source.event_watching import EventWatch as OwnWatch

__all__ = ["OwnWatch"]
