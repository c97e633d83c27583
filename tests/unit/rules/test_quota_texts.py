"""A quota that is none is refused where it is written: else the first run fails in the night, about something else."""

from __future__ import annotations

import msgspec
import pytest

from backupd.errors import ConfigError
from backupd.model.sets import DestinationText, PoolText, ProxyText, SetText
from backupd.rules.definition_rules import check_destination, check_set


@pytest.mark.parametrize("word", ["0", "much", "9999999P", ""])
def test_what_is_no_quota_is_refused(word: str) -> None:
    place = DestinationText(name="disk", place="/disk", quota=word)
    with pytest.raises(ConfigError) as found:
        check_destination(place)
    assert found.value.context == {"at": ["quota"]}
    with pytest.raises(ConfigError):
        check_set(SetText(name="docs", sources=["/home"], to=["disk"], quota=word), {"disk": place})


def _pool(**more: object) -> DestinationText:
    text = DestinationText(name="both", pool=PoolText(kind="mirror", members=["disk", "nas"]))
    return msgspec.structs.replace(text, **more)


def test_what_is_no_quota_is_refused_of_a_pool() -> None:
    assert check_destination(_pool(quota="200G")).quota == "200G"
    with pytest.raises(ConfigError) as found:
        check_destination(_pool(quota="much"))
    assert found.value.context == {"at": ["quota"]}


@pytest.mark.parametrize(
    ("field", "value"), [("proxy", "direct"), ("proxy", ProxyText(url="http://p:1")), ("removable", True)]
)
def test_what_belongs_to_members_is_refused_of_a_pool(field: str, value: object) -> None:
    """Who writes it there would believe that it holds: it was read and ignored."""
    with pytest.raises(ConfigError, match=field) as found:
        check_destination(_pool(**{field: value}))
    assert (found.value.context, "members" in found.value.hint) == ({"at": [field]}, True)


def test_a_size_is_taken() -> None:
    assert check_destination(DestinationText(name="disk", place="/disk", quota="200G")).quota == "200G"
