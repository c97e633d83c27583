"""The zone: a time understood in the wrong one restores hours too early or too late."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from backupd.errors import UsageError
from backupd.settings.zone import find_zone


@pytest.mark.parametrize("given", ["Europe/Berlin", ":Europe/Berlin", "/usr/share/zoneinfo/Europe/Berlin"])
def test_a_name_counts_before_tz_and_tz_before_the_system(given: str) -> None:
    assert str(find_zone("America/New_York", {"TZ": given})) == "America/New_York"
    assert str(find_zone(None, {"TZ": given})) == "Europe/Berlin"
    assert find_zone("UTC", {"TZ": given}) is UTC


@pytest.mark.parametrize("given", ["", "No/Such", "../../etc/passwd"])
def test_without_a_good_one_the_systems_is_taken(given: str) -> None:
    now = datetime(2026, 7, 1, tzinfo=find_zone(None, {"TZ": given}))
    assert now.utcoffset() is not None


@pytest.mark.parametrize("name", ["No/Such", "../../etc/passwd", "", "Europe"])
def test_a_zone_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(UsageError):
        find_zone(name, {})
