"""Conditions that can't be meant are refused when a set is made, not found at night."""

from __future__ import annotations

import pytest

from backupd.errors import ConfigError
from backupd.model.conditions import ConditionsText
from backupd.rules.condition_rules import check_conditions


@pytest.mark.parametrize(
    ("text", "says", "at"),
    [
        (ConditionsText(networks=["Home", " "]), "is no name of a network", ["networks", 1]),
        (ConditionsText(networks=["a\nb"]), "networks: 'a\\?b' is no name", ["networks", 0]),
        (ConditionsText(networks=["x" * 257]), "is no name of a network", ["networks", 0]),
        (ConditionsText(networks=["x"] * 65), "65 of networks", ["networks"]),
        (ConditionsText(present=["/there", "here"]), "'here' is no absolute path", ["present", 1]),
        (ConditionsText(mounted=["/a\0b"]), "'/a\\?b' is no absolute path", ["mounted", 0]),
        (ConditionsText(mounted=["/\udcff"]), "is not UTF-8", ["mounted", 0]),
    ],
)
def test_what_is_no_condition_is_refused(text: ConditionsText, says: str, at: list[object]) -> None:
    with pytest.raises(ConfigError, match=says) as refused:
        check_conditions("home", text)
    assert refused.value.context["at"] == ["conditions", *at]


def test_what_is_one_is_taken() -> None:
    check_conditions("home", None)
    check_conditions("home", ConditionsText(networks=["Büro 5 GHz", "x" * 256], present=["/media/usb"], mounted=["/"]))
