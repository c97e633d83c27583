"""When a watched set runs."""

from __future__ import annotations

import pytest

from backupd.errors import ConfigError
from backupd.model.sets import ContinuousText
from backupd.rules.continuous import Pace, check_continuous, pace_of, text_of

_NEVER = float("-inf")


@pytest.mark.parametrize(
    ("first", "last", "began", "due"),
    [
        (100, 100, _NEVER, 130),
        (100, 120, _NEVER, 150),
        (100, 690, _NEVER, 700),
        (100, 100, 90, 150),
        (100, 5000, 4990, 5050),
    ],
)
def test_after_a_quiet_time_but_not_for_ever_and_not_too_often(
    first: float, last: float, began: float, due: float
) -> None:
    """A log that is always written would put the run off for ever."""
    assert Pace(30, 600, 60).due(first, last, began) == due


def test_true_means_the_defaults() -> None:
    """As FEATURES writes it: `continuous: true`."""
    text = text_of(True)
    assert text is not None
    assert pace_of(text) == Pace(30, 600, 60)
    assert text_of(False) is None


@pytest.mark.parametrize(
    ("text", "says", "at"),
    [
        (ContinuousText(quiet="x"), "'x' is no duration", "quiet"),
        (ContinuousText(quiet="0s"), "quiet is 0s", "quiet"),
        (ContinuousText(longest="8d"), "longest is 8d", "longest"),
        (ContinuousText(quiet="1h"), "longest is 10m, and quiet 1h", "longest"),
        (ContinuousText(shortest="9d"), "shortest is 9d", "shortest"),
        (ContinuousText(paths=["/home"]), "/home lies in no source", "paths"),
        (ContinuousText(paths=["/srv2"]), "/srv2 lies in no source", "paths"),
    ],
)
def test_what_can_not_be_is_refused(text: ContinuousText, says: str, at: str) -> None:
    """With the place of what is wrong."""
    with pytest.raises(ConfigError) as caught:
        check_continuous("docs", text, ["/srv", "/home/anna"])
    assert says in caught.value.message
    assert caught.value.context["at"] == ["continuous", at]


def test_paths_of_the_sources_are_taken() -> None:
    check_continuous("docs", ContinuousText(paths=["/srv", "/home/anna/work"], shortest="0s"), ["/srv", "/home/anna"])
    assert text_of(ContinuousText(paths=["/srv"])) == ContinuousText(paths=["/srv"])
