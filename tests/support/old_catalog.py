"""A daemon's state of an earlier version of the catalog, large enough that bringing it up takes a while."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

from backupd.catalog.database import Connection, Database
from backupd.catalog.definitions import StoredDestination, StoredSet, new_id, put_destination, put_set
from backupd.catalog.migrations import STEPS
from backupd.model.sets import DestinationText, SetText

RUNS = 20_000
_NAME = "catalog.sqlite"


class OldCatalog:
    """Made once, put in place as often as needed."""

    def __init__(self, above: Path) -> None:
        """Make it in a directory of its own."""
        self._kept = above
        above.mkdir()
        old = Database(str(above), STEPS[:1])
        old.write(_fill, above / "place").result()
        old.close()

    def put(self, state: Path) -> None:
        """The state directory holds this catalog and none other."""
        state.mkdir(mode=0o700, exist_ok=True)
        for path in state.glob(f"{_NAME}*"):
            path.unlink()
        shutil.copy(self._kept / _NAME, state / _NAME)


def version(state: Path, scratch: Path) -> int:
    """Of the catalog as it lies there, looked at in a copy."""
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    for path in state.glob(f"{_NAME}*"):
        shutil.copy(path, scratch)
    connection = sqlite3.connect(scratch / _NAME)
    (found,) = connection.execute("PRAGMA user_version").fetchone()
    connection.close()
    return int(found)


def faults(state: Path) -> list[str]:
    """What is wrong with a catalog that was brought up; nobody works on it."""
    connection = sqlite3.connect(state / _NAME)
    try:
        whole = [row for (row,) in connection.execute("PRAGMA integrity_check") if row != "ok"]
        (number,) = connection.execute("PRAGMA user_version").fetchone()
        (runs,) = connection.execute("SELECT COUNT(*) FROM runs").fetchone()
        (newest,) = connection.execute("SELECT COUNT(*) FROM newest_runs").fetchone()
    finally:
        connection.close()
    found = (number, runs, newest)
    return whole if found == (len(STEPS), RUNS, 1) else [*whole, f"version, runs, newest runs: {found}"]


def _fill(connection: Connection, place: Path) -> None:
    destination = StoredDestination(
        id=new_id("d"), text=DestinationText(name="place", place=str(place)), file=None, created_ns=1
    )
    stored = StoredSet(
        id=new_id("b"), text=SetText(name="docs", sources=["/nowhere"], to=["place"]), file=None, created_ns=1
    )
    put_destination(connection, destination)
    put_set(connection, stored)
    rows = (
        (f"j{number:032x}", stored.id, destination.id, "place", "backup", "completed", None, 0, number, number, "{}")
        for number in range(RUNS)
    )
    connection.executemany("INSERT INTO runs VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
