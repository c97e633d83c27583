"""From documents to changes: what is planned wrongly is backed up wrongly, or no longer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import count, permutations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from backupd.catalog.definitions import StoredDestination, StoredNotice, StoredSet
from backupd.daemon.config_plan import Known, Plan, Way, plan
from backupd.errors import BackupError
from backupd.model.notices import NoticeText
from backupd.model.secret_references import SecretReference
from backupd.model.sets import ConfigDocument, ConfigText, DestinationText, OwnerText, SetText
from backupd.rules.notice_rules import shown_text
from backupd.settings.config_documents import read
from backupd.settings.host import host_name
from backupd.settings.policy_file import parse_policy

USB = DestinationText(name="usb", place="/usb")
NOTHING = Known([], [], frozenset())
_numbers = count(1)


def make(
    known: Known,
    *sets: SetText,
    file: str = "f.yaml",
    kept: bool = True,
    prune: bool = False,
    notices: Sequence[NoticeText] = (),
    policy: str = "",
) -> tuple[Plan, list[BackupError]]:
    text = msgspec.yaml.encode(ConfigText(destinations=[USB], sets=list(sets), notices=list(notices))).decode()
    rules = parse_policy(policy, "p")
    way = Way(kept, prune, rules, new_id=lambda letter: f"{letter}{next(_numbers):032x}", now_ns=1)
    return plan(read([ConfigDocument(name=file, text=text)], rules), known, way)


def after(known: Known, made: Plan) -> Known:
    sets = {one.id: one for one in [*known.sets, *made.sets]}
    destinations = {one.id: one for one in [*known.destinations, *made.destinations]}
    return Known(list(sets.values()), list(destinations.values()), made.left)


def a_set(name: str, **settings: object) -> SetText:
    return msgspec.structs.replace(SetText(name=name, sources=["/src"], to=["usb"]), **settings)


def by_name(known: Known) -> dict[str, StoredSet]:
    return {one.text.name: one for one in known.sets}


def test_a_file_taken_away_disables_and_put_back_enables_the_same_set() -> None:
    """Another id would be another backup: all would be stored again, and the old snapshots lost from sight."""
    known = after(NOTHING, make(NOTHING, a_set("home"), a_set("etc"))[0])
    gone = after(known, make(known, a_set("etc"))[0])
    home = by_name(gone)["home"]
    assert (home.text.enabled, home.file, home.id) == (False, "f.yaml", by_name(known)["home"].id)
    assert gone.left == {home.id}
    assert by_name(gone)["etc"] == by_name(known)["etc"]
    back = after(gone, make(gone, a_set("home"), a_set("etc"))[0])
    assert by_name(back) == by_name(known)
    assert not back.left


def test_a_file_takes_over_what_was_made_by_command() -> None:
    """Who exports his sets into conf.d goes on with them."""
    known = after(NOTHING, make(NOTHING, a_set("home"), kept=False)[0])
    made, errors = make(known, a_set("home"))
    assert not errors
    assert made.changes["set/home"] == {"kept_in": {"from": None, "to": "f.yaml"}}
    assert by_name(after(known, made))["home"].id == by_name(known)["home"].id


def test_prune_disables_only_what_was_made_by_command() -> None:
    known = after(NOTHING, make(NOTHING, a_set("kept"))[0])
    known = after(known, make(known, a_set("a"), a_set("b"), kept=False)[0])
    made, errors = make(known, a_set("b"), kept=False, prune=True)
    assert not errors
    assert made.changes == {"set/a": {"enabled": {"from": True, "to": False}}}
    assert make(after(known, made), a_set("b"), kept=False, prune=True)[0].changes == {}


def test_a_command_can_not_change_what_a_file_keeps() -> None:
    """At the next reload the file would win, and the change be gone."""
    known = after(NOTHING, make(NOTHING, a_set("home"))[0])
    assert make(known, a_set("home"), kept=False) == (Plan(left=frozenset()), [])
    [error] = make(known, a_set("home", max_age="1d"), kept=False)[1]
    assert (error.code, error.exit_code) == ("config.kept_in_file", 17)
    gone = after(known, make(known)[0])
    made, errors = make(gone, a_set("home", max_age="1d"), kept=False)
    assert not errors
    assert by_name(after(gone, made))["home"].file is None


def test_a_name_that_differs_in_case_alone_is_taken() -> None:
    known = after(NOTHING, make(NOTHING, a_set("home"))[0])
    [error] = make(known, a_set("Home"))[1]
    assert (error.code, error.exit_code) == ("name.taken", 17)


def test_a_destination_is_not_moved_around_the_source_of_another_set() -> None:
    """That set would store what it has just stored, each time more."""
    old = StoredDestination(id="d1", text=DestinationText(name="usb", place="/old"), file=None, created_ns=0)
    user = StoredSet(id="b1", text=a_set("other", sources=["/usb/data"]), file=None, created_ns=0)
    [error] = make(Known([user], [old], frozenset()), a_set("home"), kept=False)[1]
    assert "/usb/data lies in usb" in error.message


def test_whose_history_a_set_goes_on_with_is_said_where_nobody_can_tell() -> None:
    """Else its new owner would begin a second one."""
    known = replace(after(NOTHING, make(NOTHING, a_set("home", owner="a" * 32))[0]), here="alpha")
    [error] = make(known, a_set("home", owner="beta"))[1]
    assert (error.code, error.hint.endswith("`after: []`")) == ("config.invalid", True)
    assert error.message.startswith("f.yaml, line")
    own = replace(known, own={one.id for one in known.sets})
    [made] = make(own, a_set("home", owner="beta"))[0].sets
    assert made.text.owner == OwnerText(name="beta", after=["alpha"])


_names = st.sampled_from(["a", "b", "c", "d"])
_sets = st.dictionaries(_names, st.tuples(st.sampled_from([None, "1d", "2d"]), st.booleans()))


@given(before=_sets, now=_sets, kept_before=st.booleans(), prune=st.booleans())
def test_the_same_again_changes_nothing_and_ids_survive(
    before: dict[str, tuple[str | None, bool]],
    now: dict[str, tuple[str | None, bool]],
    kept_before: bool,
    prune: bool,
) -> None:
    """A playbook that says `changed` each night is one that nobody reads."""
    texts = [[a_set(n, max_age=age, enabled=on) for n, (age, on) in one.items()] for one in (before, now)]
    first, _ = make(NOTHING, *texts[0], kept=kept_before)
    known = after(NOTHING, first)
    second, errors = make(known, *texts[1], kept=kept_before, prune=prune and not kept_before)
    assert not errors
    done = after(known, second)
    assert {one.id for one in known.sets} <= {one.id for one in done.sets}
    assert {name: by_name(done)[name].text.max_age for name in now} == {name: age for name, (age, _) in now.items()}
    again, _ = make(done, *texts[1], kept=kept_before, prune=prune and not kept_before)
    assert again.changes == {}
    assert not again.sets


def test_an_address_that_is_not_shown_whole_is_judged_as_it_is() -> None:
    """Else what is exported, changed by a word and applied again sends in the clear what nobody allowed."""
    whole = NoticeText(name="hook", url="http://example.org/T0ken", allow_plaintext=True)
    stored = StoredNotice(id="n1", text=whole, file=None, created_ns=1)
    known = Known([], [], frozenset(), notices=[stored])
    shown = msgspec.structs.replace(shown_text(whole), on=["digest"])
    made, errors = make(known, kept=False, notices=[shown])
    assert not errors
    assert [one.text for one in made.notices] == [msgspec.structs.replace(whole, on=["digest"])]
    made, [error] = make(known, kept=False, notices=[msgspec.structs.replace(shown, allow_plaintext=False)])
    assert "unencrypted" in error.message
    assert "T0ken" not in error.message
    assert made.notices == []


def test_locks_that_need_each_other_hold_in_whatever_order_they_stand() -> None:
    """Brought one by one, the first would not fit what the second is about to change."""
    known = after(NOTHING, make(NOTHING, a_set("home"), kept=False)[0])
    locks = ("max_concurrent: {lock: 2}", "mode: {lock: concurrent}", "compression: {lock: best}")
    for order in permutations(locks):
        made, errors = make(known, policy=f"sets: {{{', '.join(order)}}}")
        assert (errors, made.against_policy) == ([], [])
        home = by_name(after(known, made))["home"].text
        assert (home.mode, home.max_concurrent, home.compression) == ("concurrent", 2, "best")


def test_what_a_set_can_not_follow_holds_up_no_other_lock() -> None:
    """It is told, once, and the rest holds as if it did not stand there."""
    known = after(NOTHING, make(NOTHING, a_set("home", encryption="none"), kept=False)[0])
    known = replace(known, stored={by_name(known)["home"].id})
    locks = ("max_concurrent: {lock: 2}", "encryption: {lock: default}", "mode: {lock: concurrent}")
    for order in permutations(locks):
        made, _ = make(known, policy=f"sets: {{{', '.join(order)}}}")
        (told,) = made.against_policy
        assert told.startswith("home: encryption is none since")
        home = by_name(after(known, made))["home"].text
        assert (home.mode, home.max_concurrent, home.encryption) == ("concurrent", 2, "none")


def test_a_set_whose_file_was_taken_away_follows_the_policy_too() -> None:
    """It is switched on again some day, and would be as nobody may have it."""
    known = after(NOTHING, make(NOTHING, a_set("home"))[0])
    made, _ = make(known, policy="sets: {compression: {lock: best}}")
    assert made.changes["set/home"] == {
        "enabled": {"from": True, "to": False},
        "compression": {"from": "fast", "to": "best"},
    }
    (home,) = made.sets
    assert (home.text.enabled, home.text.compression) == (False, "best")


def test_a_text_with_an_owner_is_the_same_on_every_machine() -> None:
    """From Git to all: applied again it changes nothing; a new owner goes on with what the one before stored."""
    for here in ("alpha", "beta"):
        known = replace(after(NOTHING, make(NOTHING, a_set("home", owner="alpha"))[0]), here=here)
        again, errors = make(known, a_set("home", owner="alpha"))
        assert (again.changes, again.warnings, errors) == ({}, [], [])
        made = make(known, a_set("home", owner="beta"))[0]
        assert made.changes == {
            "set/home": {"owner": {"from": "alpha", "to": {"name": "beta", "after": ["alpha"]}}}
        }
        assert made.warnings == ["home belongs to beta from now on: no other machine runs it"]
        moved = replace(after(known, made), here=here)
        assert not make(moved, a_set("home", owner="beta"))[0].changes
        assert not make(moved, moved.sets[0].text)[0].changes, "and so does what was exported there"


def test_what_only_the_owner_has_is_missed_by_no_other_machine() -> None:
    """One text for all: the password file lies on the machine that runs the set."""
    missing = {
        owner: read([ConfigDocument(name="f", text=_with_password(owner))], ()).missing
        for owner in ("another-machine", host_name())
    }
    assert missing["another-machine"] == []
    assert "/nowhere/password" in missing[host_name()][0]


def _with_password(owner: str) -> str:
    text = a_set("home", owner=owner, encryption="password", password=SecretReference(file="/nowhere/password"))
    return msgspec.yaml.encode(ConfigText(destinations=[USB], sets=[text])).decode()
