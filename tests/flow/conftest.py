"""What all these tests share: runs in this process, whose workers are forked."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="module", autouse=True)
def _short_runs(quick_workers: None) -> None:
    """See tests/support/quick_workers.py."""
