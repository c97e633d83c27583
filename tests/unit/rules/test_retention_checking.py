"""Policies as they come in: what would keep nothing, or not what its writer thinks, must not be taken."""

from __future__ import annotations

from datetime import date
from typing import Any

import msgspec
import pytest

from backupd.errors import ConfigError
from backupd.model.retention import DEFAULT, KEEP_ALL, RetentionRule, RetentionText, joined_plan, policy_of
from backupd.model.retention_words import meaning, policy_words
from backupd.rules.retention.checking import check_policy, check_retention
from backupd.rules.retention.plan_ids import plan_id
from backupd.store_errors import EmptyPolicyError


def policy(**fields: Any) -> RetentionText:
    return msgspec.convert(fields, RetentionText)


@pytest.mark.parametrize(
    "fields", [{}, {"rules": []}, {"keep_tags": ["why"]}], ids=["nothing", "no rules", "tags alone"]
)
def test_a_policy_that_keeps_nothing_is_refused(fields: dict[str, Any]) -> None:
    """All but the newest snapshot would go, on a typing error."""
    with pytest.raises(EmptyPolicyError) as caught:
        check_policy(policy(**fields))
    assert caught.value.exit_code == 2
    assert caught.value.code == "retention.empty_policy"


@pytest.mark.parametrize(
    ("fields", "at"),
    [
        ({"days": 0}, ["days"]),
        ({"days": 366}, ["days"]),
        ({"days": -1}, ["days"]),
        ({"jobs": 0}, ["jobs"]),
        ({"jobs": 366}, ["jobs"]),
        ({"keep": "all", "days": 7}, ["keep"]),
        ({"keep": "all", "rules": [{"daily": 7}]}, ["keep"]),
        ({"days": 7, "keep_tags": ["=x"]}, ["keep_tags"]),
        ({"days": 7, "keep_tags": ["a\nb"]}, ["keep_tags"]),
        ({"rules": [{}]}, ["rules", 0]),
        ({"rules": [{"daily": 7}, {"daily": 7, "weekly": 4}]}, ["rules", 1]),
        ({"rules": [{"daily": 0}]}, ["rules", 0, "daily"]),
        ({"rules": [{"daily": 366}]}, ["rules", 0, "daily"]),
        ({"rules": [{"daily": 7, "when": "sat"}]}, ["rules", 0, "when"]),
        ({"rules": [{"daily": 7, "count": 3}]}, ["rules", 0, "count"]),
        ({"rules": [{"daily": 7, "name": ""}]}, ["rules", 0, "name"]),
        ({"rules": [{"daily": 7, "name": "x" * 65}]}, ["rules", 0, "name"]),
        ({"rules": [{"daily": 7, "name": "a\x1b[0m"}]}, ["rules", 0, "name"]),
        ({"rules": [{"weekly": 4, "when": "saturday"}]}, ["rules", 0, "when"]),
        ({"rules": [{"weekly": 4, "when": ""}]}, ["rules", 0, "when"]),
        ({"rules": [{"weekly": 4, "when": "sat," * 100}]}, ["rules", 0, "when"]),
        ({"rules": [{"monthly": 3, "when": 32}]}, ["rules", 0, "when"]),
        ({"rules": [{"monthly": 3, "when": 0}]}, ["rules", 0, "when"]),
        ({"rules": [{"monthly": 3, "when": "fifth-sun"}]}, ["rules", 0, "when"]),
        ({"rules": [{"monthly": 3, "when": "²"}]}, ["rules", 0, "when"]),
        ({"rules": [{"quarterly": 4, "when": "1"}]}, ["rules", 0, "when"]),
        ({"rules": [{"quarterly": 4, "when": "jan,feb,mar,apr,may/1"}]}, ["rules", 0, "when"]),
        ({"rules": [{"quarterly": 4, "when": "jan/"}]}, ["rules", 0, "when"]),
        ({"rules": [{"yearly": 7, "when": "w54/mon"}]}, ["rules", 0, "when"]),
        ({"rules": [{"yearly": 7, "when": "w1"}]}, ["rules", 0, "when"]),
        ({"rules": [{"yearly": 7, "when": "w1/1"}]}, ["rules", 0, "when"]),
        ({"rules": [{"yearly": 7, "when": "jan,feb/1"}]}, ["rules", 0, "when"]),
        ({"rules": [{"dates": []}]}, ["rules", 0, "dates"]),
        ({"rules": [{"dates": ["2026-12-24"], "when": "1"}]}, ["rules", 0, "dates"]),
        ({"rules": [{"dates": ["2026-12-24"], "count": 0}]}, ["rules", 0, "count"]),
        ({"rules": [{"daily": 1}] * 65}, ["rules"]),
    ],
    ids=str,
)
def test_what_makes_no_sense_is_refused_where_it_stands(fields: dict[str, Any], at: list[str | int]) -> None:
    """A rule that is passed over keeps nothing of what its writer counts on."""
    with pytest.raises(ConfigError) as caught:
        check_policy(policy(**fields))
    assert caught.value.context["at"] == at
    assert caught.value.exit_code == 2


def test_a_policy_has_one_spelling() -> None:
    """Else `config apply` of the same text would change something each time."""
    written = policy(
        keep_tags=["why", "why"],
        rules=[
            {"weekly": 4, "when": "Sun, sat,sun"},
            {"monthly": 3, "when": 1},
            {"monthly": 3, "when": "last-FRI"},
            {"quarterly": 4, "when": "oct,jan/31"},
            {"yearly": 7, "when": "W01/Mon"},
            {"dates": ["2027-01-01", "2026-12-24", "2027-01-01"]},
            {"yearly": 7},
        ],
    )
    checked = check_policy(written)
    assert [rule.when for rule in checked.rules] == ["sat,sun", "1", "last-fri", "jan,oct/31", "w1/mon", None, None]
    assert checked.rules[5].dates == [date(2026, 12, 24), date(2027, 1, 1)]
    assert checked.keep_tags == ["why"]
    assert check_policy(checked) == checked


def test_a_destination_may_have_a_policy_of_its_own() -> None:
    """The archive keeps what the fast disk drops; a policy for a place where nothing is stored is a typing error."""
    general, at = check_retention("home", policy(days=30), {"archive": policy(keep="all")}, ["usb", "archive"])
    assert policy_of(general, at, "archive") == KEEP_ALL
    assert policy_of(general, at, "usb") == policy(days=30)
    assert policy_of(None, {}, "usb") == DEFAULT == RetentionText(days=7)
    with pytest.raises(ConfigError) as caught:
        check_retention("home", None, {"attic": policy(days=30)}, ["usb"])
    assert caught.value.context["at"] == ["retention_at", "attic"]
    with pytest.raises(EmptyPolicyError) as empty:
        check_retention("home", policy(), {}, ["usb"])
    assert empty.value.context["at"] == ["retention"]
    with pytest.raises(ConfigError) as nested:
        check_retention("home", None, {"usb": policy(rules=[{"daily": 0}])}, ["usb"])
    assert nested.value.context["at"] == ["retention_at", "usb", "rules", 0, "daily"]


def test_policies_in_words() -> None:
    """What `set create` promises for deleted files is read once, and believed."""
    assert policy_words(policy(days=7, keep_tags=["why"])) == "days 7, tag why"
    rules = [{"daily": 7}, {"weekly": 4}, {"name": "new year", "yearly": 7}, {"dates": ["2026-12-24"], "count": 1}]
    assert policy_words(policy(rules=rules)) == "daily 7, weekly sat 4, new year 7, dates 2026-12-24 1"
    assert policy_words(policy(rules=[{"dates": ["2026-12-24"]}])) == "dates 2026-12-24"
    assert "by hand" in meaning(KEEP_ALL)
    assert "for 7 days after the first backup without it" in meaning(DEFAULT)
    assert "until 1 backup without it" in meaning(policy(jobs=1))
    assert "(daily 7)" in meaning(policy(rules=[{"daily": 7}]))


def test_a_plan_has_an_id_that_changes_with_it() -> None:
    """`--apply PLAN` of another plan would drop what nobody was shown."""
    assert plan_id("a", "b") == plan_id("a", "b")
    assert len({plan_id("a", "b"), plan_id("ab"), plan_id("b", "a")}) == 3
    assert joined_plan(["pabc"]) == "pabc"
    assert joined_plan(["pabc", "pdef"]) != joined_plan(["pdef", "pabc"])


def test_a_rule_reads_the_same_from_yaml_and_json() -> None:
    """A day is a day in YAML, and text in JSON."""
    from_yaml = msgspec.convert({"dates": [date(2026, 12, 24)]}, RetentionRule)
    assert from_yaml == msgspec.json.decode(b'{"dates": ["2026-12-24"]}', type=RetentionRule)
    assert msgspec.json.encode(from_yaml) == b'{"dates":["2026-12-24"]}'
