"""What a name means that a set's text gives: found out once, so that a new name of a machine moves no set."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from pathlib import Path

import pytest

from backupd.catalog.database import Database
from backupd.catalog.definitions import StoredSet
from backupd.daemon.owners import Owners, left_out, nothing_runs, refuse_host
from backupd.errors import SetNotFoundError
from backupd.model.sets import OwnerText, SetText
from backupd.rules.owner_rules import Owner
from backupd.store_errors import OtherOwnerError

ID, OTHER = "a" * 32, "b" * 32


@pytest.fixture
def database(tmp_path: Path) -> Generator[Database, None, None]:
    made = Database(str(tmp_path))
    yield made
    made.close()


def a_set(owner: Owner | None, *, enabled: bool = True) -> StoredSet:
    text = SetText(name="home", sources=["/src"], to=["usb"], owner=owner, enabled=enabled)
    return StoredSet(id="b" + "1" * 32, text=text, file=None, created_ns=0)


def on(database: Database, name: str, host_id: str, owner: Owner | None) -> Owners:
    """A daemon that has been started on such a machine, with a set of that owner."""
    owners = Owners(database)
    owners.name, owners.id = name, host_id
    asyncio.run(owners.learn([a_set(owner)]))
    return owners


@pytest.mark.parametrize(
    ("owner", "is_own"),
    [(None, True), ("alpha", True), ("ALPHA", True), ("beta", False), (ID, True), (OTHER, False)],
)
def test_a_name_or_an_id_says_whose_a_set_is(database: Database, owner: Owner | None, is_own: bool) -> None:
    owners = on(database, "alpha", ID, owner)
    assert owners.is_own(a_set(owner)) is is_own
    assert owners.view(a_set(owner)).is_here is is_own
    assert not owners.runs(a_set(owner, enabled=False))
    if is_own:
        owners.refuse_others(a_set(owner), "run")
    else:
        with pytest.raises(OtherOwnerError, match="which alone can run it") as caught:
            owners.refuse_others(a_set(owner), "run")
        assert (caught.value.exit_code, caught.value.hint[-27:]) == (17, "set edit home --owner alpha")


def test_with_an_id_the_id_decides(database: Database) -> None:
    """Two machines of one name."""
    owners = on(database, "alpha", ID, None)
    assert owners.is_own(a_set(OwnerText(name="other", id=ID)))
    assert [owners.view(a_set(one)).name for one in (ID, OTHER)] == ["alpha", OTHER[:8]]
    assert not owners.is_own(a_set(OwnerText(name="alpha", id=OTHER)))


def test_a_machine_keeps_its_sets_when_it_is_renamed_and_gets_no_others(database: Database) -> None:
    """Each is a start of the daemon with one catalog."""
    assert on(database, "alpha", ID, "alpha").is_own(a_set("alpha"))
    assert on(database, "gamma", ID, "alpha").is_own(a_set("alpha"))
    owners = on(database, "gamma", ID, "gamma")
    assert owners.is_own(a_set("gamma"))
    assert on(database, "gamma", ID, "beta").is_own(a_set("beta")) is False
    owners = on(database, "beta", ID, "beta")
    assert not owners.is_own(a_set("beta")), "the other machine may run it still"
    assert owners.warnings([a_set("beta")])[0].endswith("bkctl set edit home --owner beta")
    assert on(database, "beta", ID, "beta").warnings([a_set(None), a_set("delta")]) == []


def test_where_the_id_cannot_be_read_nothing_is_kept(database: Database) -> None:
    """Else a machine with a damaged file of its id would lose its sets for good."""
    assert on(database, "alpha", "", "alpha").is_own(a_set("alpha"))
    assert not on(database, "alpha", "", "beta").is_own(a_set("beta"))
    assert on(database, "alpha", ID, "alpha").is_own(a_set("alpha"))


def test_a_machine_that_moved_goes_on_and_a_renamed_copy_of_it_does_not(database: Database) -> None:
    """Both have the catalog, and ids of their own."""
    on(database, "alpha", ID, "alpha")
    assert on(database, "alpha", OTHER, "alpha").is_own(a_set("alpha"))
    assert not on(database, "copy", OTHER, "alpha").is_own(a_set("alpha"))


@pytest.mark.parametrize("owner", ["alpha", ID, OwnerText(name="alpha", id=ID)])
def test_it_does_so_whatever_the_text_says_of_it(database: Database, owner: Owner) -> None:
    """Else its backups end on new hardware, and nobody is told; a copy that was renamed is told why it has none."""
    on(database, "alpha", ID, owner)
    for host_id in (OTHER, "c" * 32):
        moved = on(database, "alpha", host_id, owner)
        assert (moved.is_own(a_set(owner)), moved.warnings([a_set(owner)])) == (True, [])
    copy = on(database, "copy", OTHER, owner)
    assert not copy.is_own(a_set(owner))
    (warning,) = copy.warnings([a_set(owner)])
    assert "was moved or copied to this one" in warning
    assert warning.endswith("bkctl set edit home --owner copy")
    assert not on(database, "alpha", OTHER, "alpha2").warnings([a_set("alpha2")])


@pytest.mark.parametrize(
    ("word", "said", "hint"),
    [
        ("alhpa:home", "no machine called 'alhpa' is known to home", "there is alpha:home, omega:home"),
        ("alpha:hom", "no set is called 'hom'", "set list"),
        ("OMEGA:home", "here the set is meant", "leave the machine out: home"),
    ],
)
def test_of_host_and_set_it_is_said_which_is_unknown(database: Database, word: str, said: str, hint: str) -> None:
    owner = OwnerText(name="alpha", after=["omega"])
    owners = on(database, "alpha", ID, owner)
    with pytest.raises(SetNotFoundError, match=said) as caught:
        refuse_host(word, [a_set(owner)], owners)
    assert hint in caught.value.hint
    refuse_host("home", [], owners)


def test_what_a_run_of_all_leaves_out_is_said_with_why(database: Database) -> None:
    """Nothing to run is no reason to look for sets that are there."""
    owners = on(database, "alpha", ID, None)
    off, other = a_set(None, enabled=False), a_set("beta")
    assert left_out([a_set(None)], owners) == []
    left = left_out([off, other], owners)
    assert [one.owner for one in left] == [None, "beta"]
    said = nothing_runs(left, "alpha")
    assert (said.exit_code, said.message.partition(": ")[2]) == (10, "home is disabled, home belongs to beta")
    assert said.hint == "bkctl set enable home lets it run"
    assert nothing_runs(left[1:], "alpha").hint.endswith("bkctl set edit home --owner alpha")
