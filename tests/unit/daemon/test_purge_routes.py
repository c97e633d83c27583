"""Which set an order to purge is about: whose it is says who may, and its password opens what is meant."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from backupd.catalog.database import Database
from backupd.catalog.definitions import StoredDestination, StoredRepository, StoredSet
from backupd.clock import SystemClock
from backupd.daemon.definitions import Definitions
from backupd.daemon.gate import Peer
from backupd.daemon.purge_routes import plan_order
from backupd.model.purge_orders import PurgeOrder
from backupd.model.secret_references import SecretReference
from backupd.model.sets import DestinationText, OwnerText, SetText

SET, DISK, REPOSITORY = "b" + "1" * 32, "d" + "2" * 32, "r" + "3" * 32


@pytest.mark.parametrize(
    ("owner", "word", "name"),
    [
        (OwnerText(name="beta", after=["alpha"]), "home", SET),
        (OwnerText(name="beta", after=["alpha"]), "alpha:home", f"alpha:{SET}"),
        ("alpha", "alpha:home", "alpha:home"),
        ("alpha", "Alpha:home", "Alpha:home"),
    ],
)
def test_the_password_of_the_set_goes_with_it(tmp_path: Path, owner: str | OwnerText, word: str, name: str) -> None:
    """On the machine `beta`; a set that it does not own was stored from there by nobody."""
    (password := tmp_path / "password").write_text("of home\n")
    password.chmod(0o600)
    database = Database(str(tmp_path))
    known = Definitions(database, SystemClock())
    known.owners.name = "beta"
    text = SetText(
        name="home", sources=["/src"], to=["disk"], owner=owner, password=SecretReference(file=str(password))
    )
    known.sets = [StoredSet(id=SET, text=text, file=None, created_ns=0)]
    place = DestinationText(name="disk", place="/disk")
    known.destinations = [StoredDestination(id=DISK, text=place, file=None, created_ns=0)]
    if owner != "alpha":
        known.repositories = [
            StoredRepository(set_id=SET, destination_id=DISK, repository=REPOSITORY, stored_set_id=SET)
        ]
    peer = Peer(uid=0, gid=0, name="root", groups=[], roles=frozenset(["admin"]))
    asked = PurgeOrder(place="disk", set_names=[word], dry_run=True)
    try:
        made = asyncio.run(plan_order(known, asked, peer))
    finally:
        database.close()
    assert (made.set_names, made.unlock.secret) == ([name], b"of home")
