"""What the hostile tests share: the seed of the fault tests, printed and replayed by the same option."""

from __future__ import annotations

from tests.fault.conftest import faults

__all__ = ["faults"]
