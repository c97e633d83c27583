"""A check of all sets as one reply."""

from __future__ import annotations

import pytest

from backupd.errors import RepositoryNotFoundError
from backupd.store_errors import NoSnapshotError
from bkctl.checks import all_together
from bkctl.session import Reply, described

_EMPTY = NoSnapshotError("no snapshot in usb yet")


def test_sets_without_a_snapshot_are_told_and_fail_nothing() -> None:
    """Else a new set fails every check by cron, and nobody sees which damage is a real one."""
    empty = Reply(_EMPTY.exit_code, error=described(_EMPTY))
    good = Reply(0, {"skipped": []}, lines=["home: no problems."])
    whole = all_together([good, empty], ["home", "new"], ["idle"])
    assert whole.exit_code == 0
    assert whole.result is not None
    assert [one["set"] for one in whole.result["skipped"]] == ["idle", "new"]
    assert whole.lines[1:] == ["Skipped: idle: nothing is stored yet.", "Skipped: new: no snapshot in usb yet."]
    bad = Reply(20, {"skipped": []})
    assert all_together([bad, empty], ["home", "new"], []).exit_code == 20
    assert all_together([good], ["home"], []) == good
    with pytest.raises(RepositoryNotFoundError, match="no set has a snapshot yet: idle, new"):
        all_together([empty], ["new"], ["idle"])
