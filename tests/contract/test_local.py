"""A directory as a store."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from backupd.destination.local import LocalDestination
from backupd.errors import DestinationError
from tests.contract.suite import Open, StoreContract


class TestLocal(StoreContract):
    """The contract, and what only a directory can suffer."""

    @pytest.fixture
    def open_place(self, tmp_path: Path) -> Open:
        """An empty directory."""
        return lambda tag: LocalDestination(str(tmp_path / "place"), tag, create=True)

    def test_a_fifo_in_the_place_of_an_object_hangs_nobody(self, open_place: Open, tmp_path: Path) -> None:
        """Else one planted name stops every restore and check for ever."""
        place = open_place("t")
        place.put("r1/keys/k", [b"1"])
        os.unlink(tmp_path / "place/r1/keys/k")
        os.mkfifo(tmp_path / "place/r1/keys/k")
        with pytest.raises(DestinationError, match="no file"):
            place.get("r1/keys/k")

    def test_temporary_names_of_a_dead_writer(self, open_place: Open, tmp_path: Path) -> None:
        """Else each killed run takes the space of a block for ever."""
        open_place("t").put("r1/keys/k", [b"1"])
        (tmp_path / "place/r1/tmp/dead-7").write_bytes(b"half a block")
        (tmp_path / "place/r1/tmp/alive-1").write_bytes(b"half a block")
        assert open_place("t").remove_temporaries("r1", "dead") == 1
        assert os.listdir(tmp_path / "place/r1/tmp") == ["alive-1"]

    def test_a_write_that_fails_for_any_reason_is_told(self, open_place: Open, tmp_path: Path) -> None:
        """Else what only later finds it missing has to: no write is swallowed where it fails."""
        place = open_place("t")
        (tmp_path / "place/r1").mkdir()
        (tmp_path / "place/r1/keys").write_bytes(b"no directory")
        with pytest.raises(DestinationError, match="r1/keys/k: "):
            place.put("r1/keys/k", [b"1"])
