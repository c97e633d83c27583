"""The daemon's catalog in the damage matrix (RELIABILITY H1): it answers, or says that it is damaged and what to do."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections import Counter
from pathlib import Path

import pytest

from backupd.catalog.database import Connection, Database
from backupd.catalog.definitions import (
    StoredDestination,
    StoredSet,
    destinations,
    new_id,
    put_destination,
    put_set,
    repositories,
    sets,
)
from backupd.errors import StateError
from backupd.model.sets import DestinationText, SetText
from tests.fault.conftest import Faults
from tests.support.damage_cases import MUTATIONS, Spot

_NAME = "catalog.sqlite"
_FEW = 3


def _fill(connection: Connection) -> None:
    for number in range(40):
        text = DestinationText(name=f"place-{new_id('x')}", place=f"/somewhere/{number}")
        put_destination(connection, StoredDestination(id=new_id("d"), text=text, file=None, created_ns=1))
        stored = SetText(name=f"set-{new_id('x')}", sources=[f"/home/{number}"], to=[text.name])
        put_set(connection, StoredSet(id=new_id("b"), text=stored, file=None, created_ns=1))


def _made(state: Path) -> Path:
    state.mkdir()
    database = Database(str(state))
    database.write(_fill).result()
    database.close()
    return state / _NAME


def test_a_damaged_catalog_answers_or_says_what_to_do(tmp_path: Path, faults: Faults) -> None:
    """Else after a disk error the daemon ends with a traceback, and nobody knows that moving one file away helps."""
    random, counted = faults.random(), Counter[str]()
    whole, foreign = _made(tmp_path / "whole"), _made(tmp_path / "foreign")
    other = tmp_path / "no catalog"
    other.write_bytes(random.randbytes(5000))
    for mutation, strike in MUTATIONS.items():
        for _ in range(faults.damages or _FEW):
            state = tmp_path / "state"
            shutil.rmtree(state, ignore_errors=True)
            state.mkdir()
            path = Path(shutil.copy(whole, state))
            os.link(whole.parent / "reserve", state / "reserve")
            strike(Spot(state, path, 0, path.stat().st_size, random, [foreign], [other], foreign))
            try:
                _use(state)
                counted["answered"] += 1
            except StateError as error:
                assert "move it away" in error.hint, mutation  # noqa: PT017 - which of many
                counted["told"] += 1
    print(dict(counted))  # noqa: T201 - counts for docs/reliability.md


def test_a_wrong_digit_in_a_row_is_damage_of_the_catalog(tmp_path: Path) -> None:
    """SQLite has no checksums: else a set whose text is no text any more ends the daemon as a defect of the program."""
    path = _made(tmp_path / "state")
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE sets SET text = replace(text, '{', 'z')")
    connection.close()
    with pytest.raises(StateError, match="damaged") as told:
        _use(path.parent)
    assert "move it away" in told.value.hint


def _use(state: Path) -> None:
    database = Database(str(state))
    try:
        for look in (sets, destinations, repositories):
            database.read(look).result()
        database.write(_fill).result()
    finally:
        database.close()
