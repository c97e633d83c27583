"""What the model's tests share with the fault tests: the seed, printed and replayed by the same option."""

from __future__ import annotations

from tests.fault.conftest import faults

__all__ = ["faults"]
