"""When a watched set runs next, and what its run need not look at."""

from __future__ import annotations

import msgspec
import pytest

from backupd.catalog.definitions import StoredSet
from backupd.daemon.continuous import _Watched
from backupd.model.events import Changed
from backupd.model.sets import SetText
from backupd.rules.continuous import Pace

_DAY = 86_400.0


@pytest.fixture
def watched() -> _Watched:
    text = SetText(name="docs", sources=["/srv"], to=["usb"], continuous=True)
    stored = StoredSet(id="b1", text=text, file=None, created_ns=0)
    return _Watched(stored, b"", Pace(30, 600, 60))


def test_once_a_day_it_looks_at_everything_though_nothing_is_told(watched: _Watched) -> None:
    """What another machine changed on a network file system nobody tells."""
    assert watched.due is None
    watched.note(0.0, Changed(is_lost=True))
    assert watched.due == 30
    assert watched.take(30.0).since == b""
    assert watched.due == 30 + _DAY
    watched.note(1000.0, Changed(directories=[b"/srv/a"]))
    taken = watched.take(1030.0)
    assert (taken.since != b"", taken.directories) == (True, [b"/srv/a"])
    assert watched.due == 30 + _DAY, "a run that looked at little puts it off no further"
    whole = watched.take(30 + _DAY)
    assert (whole.since, whole.token != taken.token) == (b"", True)
    assert watched.due == 30 + 2 * _DAY


def test_what_is_told_is_bounded(watched: _Watched) -> None:
    """It stands in an order, and in the catalog."""
    watched.note(0.0, Changed())
    watched.take(60.0)
    watched.note(100.0, Changed(directories=[b"/" + b"%05d" % number * 50 for number in range(2000)]))
    taken = watched.take(200.0)
    assert (taken.since, taken.directories) == (b"", [])
    assert len(msgspec.msgpack.encode(taken)) < 1000


def test_where_only_a_part_is_watched_all_is_looked_at(watched: _Watched) -> None:
    """Of what lies beside `paths` nothing is told."""
    watched.is_partly_watched = True
    watched.note(0.0, Changed())
    watched.take(60.0)
    watched.note(100.0, Changed(directories=[b"/srv/a"]))
    assert watched.take(200.0).since == b""
