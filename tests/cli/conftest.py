"""bkctl at hand."""

from __future__ import annotations

import pytest

from tests.cli.program import Bkctl


@pytest.fixture
def bkctl(capfdbinary: pytest.CaptureFixture[bytes]) -> Bkctl:
    return Bkctl(capfdbinary)
