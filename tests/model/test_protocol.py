"""The protocol keeps every commit and every chunk whatever the order of steps; broken ones are found out."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.fault.conftest import Faults
from tests.model.histories import RottenTurns, play
from tests.model.world import HOUR, BrokenError, Protocol


def test_nothing_is_lost_on_a_store_that_lists_at_once(faults: Faults) -> None:
    """Else a cleaner on one host takes from another's running backup what it relies on."""
    assert play(faults, faults.sequences, Protocol()) > faults.sequences


def test_nothing_is_lost_where_listings_lag(faults: Faults) -> None:
    """The same on a store that shows what is new up to an hour later, with one cleaner."""
    assert play(faults, faults.sequences, Protocol(), HOUR) > faults.sequences


def test_nothing_is_lost_where_records_rot(faults: Faults) -> None:
    """Else a repair of what nobody can read has more deleted than was before."""
    assert play(faults, faults.sequences // 2, Protocol(), machine=RottenTurns) > faults.sequences // 2


def test_nothing_is_lost_where_records_rot_and_listings_lag(faults: Faults) -> None:
    """The same where what is listed is not all."""
    assert play(faults, faults.sequences // 2, Protocol(), HOUR, machine=RottenTurns) > faults.sequences // 2


_SHOW_SOON = ("minds_lists", "looks_twice", "spares_last_copies", "replaces_before_drop")
_SHOW_LATE = {
    "deleted_lists_hold": 0.0,
    "minds_damage": 0.0,
    "cleaner_waits": 0.0,
    "indexes_before_checkpoint": 0.0,
    "posts_keeps": 0.0,
    "obeys_standing_list": 0.0,
    "posts_before_loading": 0.0,
    "settles_before_second_look": HOUR,
}
"""Rules that need more histories, and how far listings lag where it shows; test_races.py has the other rules."""
_MOST = 6000


@pytest.mark.parametrize("broken", _SHOW_SOON)
def test_a_broken_protocol_is_found_out(broken: str, faults: Faults) -> None:
    """A model that finds nothing wrong with anything shows nothing."""
    with pytest.raises(BrokenError):
        play(faults, _MOST, replace(Protocol(), **{broken: False}))


@pytest.mark.nightly
def test_more_broken_protocols_are_found_out(faults: Faults) -> None:
    """The same, which takes minutes."""
    for broken, lag_seconds in _SHOW_LATE.items():
        with pytest.raises(BrokenError):
            play(faults, _MOST, replace(Protocol(), **{broken: False}), lag_seconds)
        print(f"{broken}: found")  # noqa: T201 - with -s, and where the next one is not found
