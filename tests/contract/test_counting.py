"""The contract once more with all calls counted: who counts changes nothing of what a store promises."""

from __future__ import annotations

from pathlib import Path

import pytest

from backupd.destination.meter import Meter
from backupd.destination.stores import open_store
from tests.contract.suite import Open, StoreContract


class TestCounted(StoreContract):
    """A directory, opened as a job opens it."""

    many = 100

    @pytest.fixture
    def open_place(self, tmp_path: Path) -> Open:
        """An empty directory."""
        meter = Meter()
        return lambda tag: open_store(str(tmp_path / "place"), tag, create=True, meter=meter)
