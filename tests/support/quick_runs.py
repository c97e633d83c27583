"""Fixtures for tests of many short runs in this process: their workers are forked (quick_workers.py)."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Generator
from pathlib import Path

import pytest

from tests.support.quick_workers import QuickWorkers


@pytest.fixture(scope="session")
def workers_to_fork() -> Generator[QuickWorkers, None, None]:
    """Started once, where a test wants them."""
    with tempfile.TemporaryDirectory(prefix="w") as folder:
        # Other users' programs are started by what lies there, too.
        os.chmod(folder, 0o755)
        workers = QuickWorkers(Path(folder))
        yield workers
        workers.close()


@pytest.fixture(scope="module")
def quick_workers(workers_to_fork: QuickWorkers) -> Generator[None, None, None]:
    """Workers of operations in this process are forked while the tests of a module run."""
    with workers_to_fork.in_use():
        yield
