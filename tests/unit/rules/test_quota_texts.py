"""A quota that is none is refused where it is written: else the first run fails in the night, about something else."""

from __future__ import annotations

import pytest

from backupd.errors import ConfigError
from backupd.model.sets import DestinationText, SetText
from backupd.rules.definition_rules import check_destination, check_set


@pytest.mark.parametrize("word", ["0", "much", "9999999P", ""])
def test_what_is_no_quota_is_refused(word: str) -> None:
    place = DestinationText(name="disk", place="/disk", quota=word)
    with pytest.raises(ConfigError) as found:
        check_destination(place)
    assert found.value.context == {"at": ["quota"]}
    with pytest.raises(ConfigError):
        check_set(SetText(name="docs", sources=["/home"], to=["disk"], quota=word), {"disk": place})


def test_a_size_is_taken() -> None:
    assert check_destination(DestinationText(name="disk", place="/disk", quota="200G")).quota == "200G"
