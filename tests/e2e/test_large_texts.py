"""Texts of sets that take seconds to look through: whoever else asks the daemon does not wait for that."""

from __future__ import annotations

import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import pytest

from backupd.errors import SetNotFoundError
from backupd.model.api import Change, EditSet, Overview, SetChange, SetList
from backupd.model.filters import FilterText
from backupd.model.sets import SetText
from bkctl.daemon_client import DaemonClient
from tests.support.daemon import running_daemon

_PATTERNS = [f"/p{number}/{'[ab]*?' * 330}" for number in range(120)]
TEXT = SetText(name="large", sources=["/etc"], to=["usb"], filters=[FilterText(action="exclude", glob=_PATTERNS)])


def longest_wait(client: DaemonClient, asked: Future[Any]) -> tuple[float, float]:
    """Seconds that the longest answer to somebody else took, and that this one took."""
    began, longest = time.monotonic(), 0.0
    while not asked.done():
        before = time.monotonic()
        client.get("/v1/daemon", Overview)
        longest = max(longest, time.monotonic() - before)
    return longest, time.monotonic() - began


def test_others_are_answered_while_a_set_is_looked_through(tmp_path: Path) -> None:
    """And what was removed meanwhile does not come back by a change of it."""
    with running_daemon(tmp_path / "d") as daemon, ThreadPoolExecutor() as pool:
        daemon.good("destination", "add", "usb", "/usb")
        client = DaemonClient(str(daemon.socket), "")
        created = pool.submit(client.request, "POST", "/v1/sets", EditSet(text=TEXT), SetChange)
        longest, whole = longest_wait(client, created)
        assert created.result().change.changed
        assert longest < whole / 4
        other = msgspec.structs.replace(TEXT, unmatched="exclude")
        edited = pool.submit(client.request, "PUT", "/v1/sets/large", EditSet(text=other), SetChange)
        longest, whole = longest_wait(client, edited)
        assert edited.result().change.changed
        assert longest < whole / 4
        edited = pool.submit(client.request, "PUT", "/v1/sets/large", EditSet(text=TEXT), SetChange)
        time.sleep(whole / 10)
        client.request("DELETE", "/v1/sets/large", None, Change)
        with pytest.raises(SetNotFoundError, match="removed meanwhile"):
            edited.result()
        assert client.get("/v1/sets", SetList).sets == []
