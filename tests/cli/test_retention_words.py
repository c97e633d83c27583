"""Words of retention, pins and tags: what is kept is what was typed."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pytest

from backupd.errors import UsageError
from backupd.model.retention import RetentionRule, RetentionText
from bkctl.policies import given_policy
from tests.cli.program import Bkctl

NOTHING: dict[str, Any] = {
    "keep_all": False, "days": None, "jobs": None, "daily": (), "weekly": (), "monthly": (), "quarterly": (),
    "yearly": (), "date": (), "keep_tag": (),
}  # fmt: skip


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("given", "made"),
    [
        ({}, None),
        ({"keep_all": True}, RetentionText(keep="all")),
        ({"keep_all": True, "keep_tag": ("a",)}, RetentionText(keep="all", keep_tags=["a"])),
        ({"days": 30, "jobs": 5}, RetentionText(days=30, jobs=5)),
        ({"daily": ("7",)}, RetentionText(rules=[RetentionRule(daily=7)])),
        ({"weekly": ("4", "sat:4", "odd=mon,fri:4")}, RetentionText(rules=[
            RetentionRule(weekly=4), RetentionRule(weekly=4, when="sat"),
            RetentionRule(weekly=4, when="mon,fri", name="odd"),
        ])),
        ({"monthly": ("last-fri:3",)}, RetentionText(rules=[RetentionRule(monthly=3, when="last-fri")])),
        ({"quarterly": ("jan,jul/1:4",)}, RetentionText(rules=[RetentionRule(quarterly=4, when="jan,jul/1")])),
        ({"yearly": ("a=b=w1/mon:7",)}, RetentionText(rules=[RetentionRule(yearly=7, when="w1/mon", name="a=b")])),
        ({"date": ("2026-12-24", "2027-01-01")},
         RetentionText(rules=[RetentionRule(dates=[date(2026, 12, 24), date(2027, 1, 1)])])),
    ],
    ids=str,
)  # fmt: skip
def test_options_become_a_policy(given: dict[str, Any], made: RetentionText | None) -> None:
    """A rule read wrongly keeps other days than its writer counts on."""
    assert given_policy({**NOTHING, **given}) == made


@pytest.mark.parametrize(
    "given",
    [
        {"keep_all": True, "days": 7},
        {"keep_all": True, "daily": ("7",)},
        {"daily": ("",)},
        {"weekly": ("sat",)},
        {"weekly": ("sat:",)},
        {"weekly": ("4:sat",)},
        {"yearly": ("jan/1:1000",)},
        {"monthly": ("1:-3",)},
        {"monthly": ("1:³",)},
        {"date": ("24.12.2026",)},
    ],
    ids=str,
)
def test_what_is_no_rule_is_refused(given: dict[str, Any]) -> None:
    """A rule passed over in silence keeps nothing."""
    with pytest.raises(UsageError):
        given_policy({**NOTHING, **given})


def test_once_drops_by_what_it_is_told_alone(bkctl: Bkctl) -> None:
    """Without the options everything stays."""
    assert bkctl.order("once", "src", "--to", "./p").get("retention") is None
    order = bkctl.order("once", "src", "--to", "./p", "--keep-days", "30", "--keep-jobs", "5")
    assert order["retention"] == {"days": 30, "jobs": 5}
    assert bkctl("once", "src", "--to", "./p", "--keep-days", "0", "--json") == 2


def test_pins_and_tags_reach_the_snapshot_that_is_named(bkctl: Bkctl) -> None:
    """Another one pinned, and the one that was meant goes."""
    pin = bkctl.order("snapshot", "pin", "docs", "s4f1c0", "--from", "./p", "--host", "h", "--reason", "the move")
    assert (pin["verb"], pin["reason"]) == ("pin", "the move")
    assert (pin["selection"]["set_name"], pin["selection"]["as_of"]) == ("docs", "s4f1c0")
    assert pin["selection"]["host_name"] == "h"
    pin = bkctl.order("snapshot", "pin", "docs", "--as-of", "2026-11-20", "--from", "./p")
    assert pin["selection"]["as_of"] == "2026-11-20"
    unpin = bkctl.order("snapshot", "unpin", "s4f1c0", "--from", "./p")
    assert (unpin["verb"], unpin["selection"]["set_name"]) == ("unpin", "s4f1c0")
    unpin = bkctl.order("snapshot", "unpin", "docs", "--as-of", "latest", "--from", "./p")
    assert unpin["selection"]["as_of"] == "latest"
    words = ("docs", "s4f1c0", "why=up=grade", "who=me", "--remove", "old", "--from", "./p")
    tag = bkctl.order("snapshot", "tag", *words)
    assert (tag["tags"], tag["untag"]) == ({"why": "up=grade", "who": "me"}, ["old"])
    assert (tag["selection"]["set_name"], tag["selection"]["as_of"]) == ("docs", "s4f1c0")
    tag = bkctl.order("snapshot", "tag", "docs", "a=b", "--as-of", "latest", "--from", "./p")
    assert tag["selection"]["as_of"] == "latest"
    assert bkctl("snapshot", "pin", "/etc/hosts", "--from", "./p", "--json") == 2


@pytest.mark.parametrize(
    "words",
    [
        ("retention", "apply", "docs", "--dry-run", "--apply", "p1234"),
        ("retention", "set", "docs", "--keep-all", "--days", "7"),
        ("retention", "set", "docs", "--days", "7", "--default"),
        ("retention", "set", "docs", "--dry-run"),
    ],
    ids=" ".join,
)
def test_words_that_contradict_are_refused_before_a_daemon_is_asked(bkctl: Bkctl, words: tuple[str, ...]) -> None:
    """Which of the two was meant, nobody knows."""
    assert bkctl(*words, "--socket", "/nowhere", "--json") == 2
    assert bkctl.document()["error"]["code"] == "usage.invalid"
