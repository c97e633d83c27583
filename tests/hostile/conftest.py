"""What the hostile tests share: the seed of the fault tests, replayed by the same option, and forked workers."""

from __future__ import annotations

from tests.fault.conftest import faults, quick_workers, workers_to_fork

__all__ = ["faults", "quick_workers", "workers_to_fork"]
