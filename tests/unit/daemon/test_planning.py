"""Orders made of a set's text."""

from __future__ import annotations

from pathlib import Path

import pytest

from backupd.daemon.planning import unlocked
from backupd.errors import KeyMissingError
from backupd.model.orders import ReplicateOrder, Unlock
from backupd.model.secret_references import SecretReference
from backupd.model.sets import SetText


def test_a_set_with_a_password_is_copied_with_it(tmp_path: Path) -> None:
    """The daemon copies at night, when nobody types it; the catalog keeps none."""
    file = tmp_path / "password"
    file.write_text("letters\n")
    order = ReplicateOrder(place="/old", to="/new")
    text = SetText(name="docs", sources=["/home"], to=["old"], password=SecretReference(file=str(file)))
    assert unlocked(order, text).unlock.secret == b"letters"
    given = ReplicateOrder(place="/old", to="/new", unlock=Unlock(secret=b"typed"))
    assert unlocked(given, text) == given
    assert unlocked(order, SetText(name="docs", sources=["/home"], to=["old"])) == order
    file.unlink()
    with pytest.raises(KeyMissingError):
        unlocked(order, text)
