"""Examples that people copy work, and the page of settings knows every key."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from backupd.model.bandwidth import BandwidthText, RuleText
from backupd.model.notices import ContactText, NoticeText
from backupd.model.sets import ConfigDocument, DestinationText, SetText
from backupd.settings.config_documents import check, check_noticed, read
from backupd.settings.daemon_settings import DaemonSettings, QueueSettings, parse_settings
from backupd.settings.mail import MailSettings

TOP = Path(__file__).parents[3]


def test_the_example_of_settings_is_read() -> None:
    path = TOP / "etc" / "backupd.yaml"
    found = parse_settings(path.read_text(), str(path)).value
    assert found.access["auditor"] == ["nagios"]
    assert found.queue == QueueSettings()
    mail = path.read_text().partition("# smtp:")[2].partition("\n\n")[0].splitlines()
    smtp = parse_settings("\n".join(["smtp:", *(line[2:] for line in mail if line)]), "example").value.smtp
    assert (smtp.host, smtp.security, smtp.used_port) == ("mail.example.org", "starttls", 587)
    # What is commented out there works, too, once somebody takes the signs away.
    lines = path.read_text().partition("# bandwidth:")[2].partition("\n\n")[0].splitlines()
    rules = parse_settings("\n".join(["bandwidth:", *(line[2:] for line in lines if line)]), "example").value.bandwidth
    assert [rule.name for rule in rules.rules] == ["office hours"]


def test_the_example_of_sets_is_read() -> None:
    path = TOP / "etc" / "conf.d" / "example.yaml"
    destinations, sets, errors = check(read([ConfigDocument(name=str(path), text=path.read_text())]), {})
    assert errors == []
    assert [one.text.name for one in destinations] == ["usb", "nas", "off-site"]
    assert [one.text.name for one in sets] == ["home", "people", "etc", "shop"]


@pytest.mark.parametrize("shape", [SetText, DestinationText, DaemonSettings, QueueSettings, BandwidthText])
def test_every_key_is_explained(shape: type[msgspec.Struct]) -> None:
    """A key that no page names is a key that nobody uses."""
    text = (TOP / "docs" / "settings.md").read_text()
    assert [name for name in shape.__struct_fields__ if f"{name}`" not in text and f"`{name}." not in text] == []


@pytest.mark.parametrize("shape", [NoticeText, ContactText, MailSettings])
def test_every_key_of_notices_is_explained(shape: type[msgspec.Struct]) -> None:
    text = (TOP / "docs" / "notices.md").read_text()
    assert [name for name in shape.__struct_encode_fields__ if f"`{name}`" not in text] == []


def test_the_example_of_notices_is_read() -> None:
    path = TOP / "etc" / "conf.d" / "notices.yaml"
    found = read([ConfigDocument(name=str(path), text=path.read_text())])
    notices, contacts, errors = check_noticed(found, ["home"])
    assert errors == []
    assert [one.text.name for one in notices] == ["admins", "daily", "home-check", "chat", "phone"]
    assert [one.text.name for one in contacts] == ["anna", "ben"]


def test_every_key_of_a_rule_is_explained() -> None:
    """The same of rules of bandwidth, whose keys are words of Python in part."""
    text = (TOP / "docs" / "settings.md").read_text()
    names = [field.encode_name for field in msgspec.structs.fields(RuleText)]
    assert [name for name in names if f"rules[].{name}`" not in text] == []
