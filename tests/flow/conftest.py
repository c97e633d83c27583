"""What all these tests share: runs in this process, whose workers are forked."""

from __future__ import annotations

import pytest

from tests.support import quick_runs

workers_to_fork, quick_workers = quick_runs.workers_to_fork, quick_runs.quick_workers


@pytest.fixture(scope="module", autouse=True)
def _short_runs(quick_workers: None) -> None:
    """See tests/support/quick_workers.py."""
