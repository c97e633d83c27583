"""What root lays down: read with its lines, held against what each option can be, of two files the machine's first."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest

from backupd.errors import BackupError, ConfigError, KeptInFileError
from backupd.model.retention import RetentionRule, RetentionText
from backupd.model.sets import ConfigDocument, SetText
from backupd.rules.definition_rules import check_set
from backupd.rules.option_policy import by_policy, filled, refuse
from backupd.settings import config_documents
from backupd.settings.daemon_settings import parse_settings
from backupd.settings.policy_file import parse_policy, read_policies, with_policy


@pytest.mark.parametrize(
    ("text", "says", "hint"),
    [
        ("sets: {name: {lock: x}}", "p, line 1: name: no option of sets", ""),
        ("destinations: {place: {lock: /x}}", "p, line 1: place: no option of destinations", ""),
        ("sets:\n  compresion: {lock: best}", "p, line 2: compresion: no option of sets", "did you mean compression?"),
        ("sets: {compression: {lock: x}}", "p, line 1: compression: Invalid enum value 'x'", ""),
        ("sets: {quota: {lock: x}}", "p, line 1: quota: 'x' is no size", "write a number with a unit"),
        ("sets: {verify: {lock: 900%}}", "p, line 1: verify: '900%' is no share", ""),
        ("sets: {retention: {lock: {days: 0}}}", "p, line 1: retention:", ""),
        ("destinations: {retry_for: {lock: 9x}}", "p, line 1: retry_for: '9x' is no duration", ""),
        ("settings: {queue.jobs: {lock: 2}}", "queue.jobs: 'jobs' is not known", "did you mean jobs_at_once?"),
        ("settings: {queue.jobs_at_once: {lock: 99}}", "p, line 1: queue.jobs_at_once: jobs_at_once is 99", "1 to 64"),
        ("settings: {queue..x: {lock: 99}}", "p, line 1: queue..x: ", ""),
        ("settings: {'': {lock: 99}}", "p, line 1: : ", ""),
        ("sets: {compression: {}}", "p, line 1: compression has one of lock, preset, allow", "{lock: VALUE}"),
        ("sets: {compression: {allow: []}}", "p, line 1: compression has one of lock, preset, allow", ""),
        ("sets: {compression: {lock: best, preset: best}}", "compression has one of lock, preset, allow", ""),
        ("sets: {compression: {allow: [best, x]}}", "p, line 1: compression: Invalid enum value 'x'", ""),
        ("set: {compression: {lock: best}}", "p, line 1: 'set' is not known here", "did you mean sets?"),
        ("sets: {compression: {forbid: best}}", "'forbid' is not known here", "known here: lock, preset, allow"),
    ],
)
def test_a_rule_that_can_hold_of_nothing_is_refused(text: str, says: str, hint: str) -> None:
    """Else root believes that something is locked which is not."""
    with pytest.raises(ConfigError) as caught:
        parse_policy(text, "p")
    assert says in caught.value.message
    assert hint in (caught.value.hint or "")


@pytest.mark.parametrize(
    "text",
    [
        "sets: {encryption: {allow: [default, password]}}",
        "sets: {cipher: {preset: aes-256-gcm}}",
        "sets: {max_concurrent: {lock: 2}}",
        "sets: {quota: {lock: null}}",
        "sets: {schedules: {preset: [{name: nightly, daily: '02:00'}]}}",
        "destinations: {proxy: {lock: direct}}",
        "settings: {smtp: {lock: {host: mail.example.org, from: a@example.org}}}",
        "settings: {access.admin: {lock: [root]}}",
        "",
    ],
)
def test_options_that_need_others_can_be_laid_down(text: str) -> None:
    """A cipher needs `encryption: custom` in a set, not in a rule."""
    assert len(parse_policy(text, "p")) == bool(text)


def test_one_spelling_of_a_value_is_as_good_as_another() -> None:
    """A retention written otherwise, yet the same, is no breach: by command as in a document."""
    rules = parse_policy("sets: {retention: {lock: {rules: [{weekly: 4, when: 'SAT'}]}}}", "p")

    def set_of(when: str) -> SetText:
        retention = RetentionText(rules=[RetentionRule(weekly=4, when=when)])
        return SetText(name="docs", sources=["/etc"], to=["usb"], retention=retention)

    def check(text: SetText) -> SetText:
        return check_set(text, {"usb": None})

    def faults(when: str) -> list[str]:
        written = msgspec.json.encode({"sets": [set_of(when)]}).decode()
        found = config_documents.read([ConfigDocument(name="d", text=written)], rules)
        return [one.message for one in config_documents.check(found, {"usb": None})[2]]

    for when in ("SAT", "sat", "Sat"):
        assert by_policy(set_of(when), "sets", rules, None, check) == check(set_of(when))
        assert faults(when) == []
    with pytest.raises(KeptInFileError, match="docs: retention is locked to"):
        by_policy(set_of("sun"), "sets", rules, None, check)
    assert "retention is locked to" in faults("sun")[0]


def test_the_first_of_those_allowed_stands_where_nobody_chose() -> None:
    """The default of the program may be none of them."""
    rules = parse_policy("sets: {compression: {allow: [best, normal]}}", "p")
    text = SetText(name="docs", sources=["/etc"], to=["usb"])
    assert filled(text, "sets", rules, lambda option: False).compression == "best"
    with pytest.raises(KeptInFileError, match="may be best, normal alone by p, line 1, and can't be fast"):
        refuse(filled(text, "sets", rules, lambda option: True), "sets", rules)


def test_of_two_files_the_machines_holds(tmp_path: Path) -> None:
    """What root of the machine laid down no settings directory of a user's takes away."""
    machine, own = tmp_path / "machine.yaml", tmp_path / "conf"
    own.mkdir()
    machine.write_text("sets: {compression: {lock: best}}")
    (own / "policy.yaml").write_text("sets: {compression: {lock: none}, heal: {lock: true}}")
    found = {rule.option: rule for rule in read_policies(str(own), str(machine))}
    assert {name: rule.values for name, rule in found.items()} == {"compression": ["best"], "heal": [True]}
    assert found["compression"].origin == f"{machine}, line 1"
    assert read_policies(str(tmp_path / "none"), str(tmp_path / "none.yaml")) == []


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_file_that_others_may_write_lays_nothing_down(tmp_path: Path, mode: int) -> None:
    """Else whoever is in its group gives the daemon orders."""
    (tmp_path / "policy.yaml").write_text("sets: {compression: {lock: best}}")
    os.chmod(tmp_path / "policy.yaml", mode)
    with pytest.raises(ConfigError) as caught:
        read_policies(str(tmp_path), str(tmp_path / "none.yaml"))
    assert "chmod" in (caught.value.hint or "")


def test_nor_does_one_of_another_user(tmp_path: Path) -> None:
    """A user who may write to the settings directory is not root."""
    (tmp_path / "policy.yaml").write_text("sets: {compression: {lock: best}}")
    os.chown(tmp_path / "policy.yaml", 65534, 65534)
    with pytest.raises(ConfigError, match="others may write to it"):
        read_policies(str(tmp_path), str(tmp_path / "none.yaml"))


def test_settings_that_say_otherwise_are_told_with_both_places() -> None:
    """Where it stands, and where it is laid down."""
    rules = parse_policy("settings: {queue.jobs_at_once: {lock: 1}}", "policy.yaml")
    assert with_policy(parse_settings("logs: {keep: 30d}", "b.yaml"), rules).value.queue.jobs_at_once == 1
    with pytest.raises(KeptInFileError) as caught:
        with_policy(parse_settings("queue:\n  jobs_at_once: 3", "b.yaml"), rules)
    assert caught.value.message == (
        "b.yaml, line 2: queue.jobs_at_once is locked to 1 by policy.yaml, line 1, and can't be 3"
    )
    assert isinstance(caught.value, BackupError)
