"""How many random cases: the count of the fault tests, by the same option."""

from __future__ import annotations

from tests.fault.conftest import faults

__all__ = ["faults"]
