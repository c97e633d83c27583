"""Whose a set is: the same text applied again says nothing new, and a new owner knows whose history it goes on with."""

from __future__ import annotations

import msgspec
import pytest

from backupd.errors import ConfigError
from backupd.model.sets import OwnerText, SetText
from backupd.rules.definition_rules import check_set
from backupd.rules.owner_rules import Owner, is_same, shown, succeeding

ID, OTHER = "0123456789abcdef" * 2, "f" * 32


def text(owner: Owner | None) -> SetText:
    return SetText(name="home", sources=["/src"], to=["usb"], owner=owner)


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        (None, "alpha", "alpha"),
        (None, "beta", OwnerText(name="beta", after=["alpha"])),
        ("alpha", "beta", OwnerText(name="beta", after=["alpha"])),
        (OwnerText(name="beta", after=["alpha"]), "beta", OwnerText(name="beta", after=["alpha"])),
        (OwnerText(name="beta", after=["alpha"]), "gamma", OwnerText(name="gamma", after=["beta", "alpha"])),
        (OwnerText(name="beta", after=["alpha"]), "alpha", OwnerText(name="alpha", after=["beta"])),
        (OwnerText(name="alpha", id=ID), "Alpha", OwnerText(name="Alpha", id=ID)),
        (OwnerText(name="alpha", id=ID), OwnerText(name="alpha", id=OTHER), OwnerText(name="alpha", id=OTHER)),
        ("alpha", OwnerText(name="beta", after=[]), OwnerText(name="beta", after=[])),
        (ID, OTHER, OwnerText(id=OTHER, after=["alpha"])),
        (ID, "beta", OwnerText(name="beta", after=["alpha"])),
        (ID, "alpha", "alpha"),
        ("omega", "beta", OwnerText(name="beta", after=["alpha", "omega"])),
        ("beta", None, None),
    ],
)
def test_a_new_owner_goes_on_after_the_one_before(old: Owner | None, new: Owner | None, found: Owner | None) -> None:
    """On the machine `alpha`, whose set it was where not `beta` had it, whatever it was called then."""
    here = "" if shown(old) == "beta" else "alpha"
    made = succeeding(text(new), text(old), here)
    assert made.owner == found
    assert succeeding(text(new), made, here).owner == found, "the same text again changes nothing"
    assert succeeding(made, made, "beta") == made


def test_an_id_is_taken_out_of_a_file_and_nowhere_else() -> None:
    """A text that is applied says what it is about; a file is all that there is."""
    old = text(OwnerText(name="alpha", id=ID, after=["omega"]))
    assert succeeding(text("alpha"), old, "").owner == old.owner
    assert succeeding(text("alpha"), old, "", is_whole=True).owner == OwnerText(name="alpha", after=["omega"])


def test_of_another_machine_only_what_the_text_says_is_known() -> None:
    """Of one that is told by its id alone nobody knows how its snapshots are called: a second history would begin."""
    assert succeeding(text("beta"), text("omega"), "").owner == OwnerText(name="beta", after=["omega"])
    told = OwnerText(id=ID, after=["omega"])
    assert succeeding(text("beta"), text(told), "").owner == OwnerText(name="beta", after=["omega"])
    for new in ("beta", OTHER):
        with pytest.raises(ConfigError, match="id alone") as caught:
            succeeding(text(new), text(ID), "")
        assert "after: []" in caught.value.hint
    anew = text(OwnerText(name="beta", after=[]))
    assert succeeding(anew, text(ID), "") == anew


def test_sixteen_former_owners_are_told_of() -> None:
    """A set that goes back and forth between many machines has no text that only grows."""
    made = text("m0")
    for number in range(1, 40):
        made = succeeding(text(f"m{number}"), made, "")
    assert isinstance(made.owner, OwnerText)
    assert made.owner.after == [f"m{number}" for number in range(38, 22, -1)]
    assert check_set(made, {"usb": None}) == made


@pytest.mark.parametrize(
    "owner",
    [
        "",
        "alpha.example.org",
        "a b",
        "a/b",
        "x" * 65,
        "alpha\n",
        OwnerText(),
        OwnerText(id="12ab"),
        OwnerText(name="alpha", id=ID.upper()),
        OwnerText(name="alpha", after=[""]),
        OwnerText(name="alpha", after=["a:b"]),
        OwnerText(name="alpha", after=["m"] * 17),
    ],
)
def test_what_names_no_machine_is_refused(owner: Owner) -> None:
    """A set whose owner is nobody would run nowhere."""
    with pytest.raises(ConfigError, match="owner") as caught:
        check_set(text(owner), {"usb": None})
    assert caught.value.context == {"at": ["owner"]}


def test_an_owner_has_one_spelling() -> None:
    """Else a text that says the same in other words would be a change each time."""
    made = check_set(text(OwnerText(name="alpha")), {"usb": None})
    assert made.owner == "alpha"
    assert b"owner: alpha" in msgspec.yaml.encode(made)
    assert (shown(ID), shown(OwnerText(name="alpha", id=ID)), shown(None)) == (ID[:8], "alpha", "")
    assert not is_same("alpha", None)
    assert not is_same(ID, "alpha"), "of a name alone nobody knows the id"
