"""Planted faults name lines of the program: who moves such a line moves what is planted there, too."""

from __future__ import annotations

import pytest

from tests.fault.planted import FAULTS, Planted
from tests.support.machine import TOP


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_planted_fault_finds_its_line(fault: Planted) -> None:
    """Else a release says that all faults are noticed, and this one was not in the program."""
    assert (TOP / fault.file).read_text(encoding="utf-8").count(fault.old) == 1
    assert fault.new != fault.old
