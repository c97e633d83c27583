"""Examples that people copy work, and the page of settings knows every key."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from backupd.model.sets import ConfigDocument, DestinationText, SetText
from backupd.settings.config_documents import check, read
from backupd.settings.daemon_settings import DaemonSettings, QueueSettings, parse_settings

TOP = Path(__file__).parents[3]


def test_the_example_of_settings_is_read() -> None:
    path = TOP / "etc" / "backupd.yaml"
    found = parse_settings(path.read_text(), str(path)).value
    assert found.access["auditor"] == ["nagios"]
    assert found.queue == QueueSettings()


def test_the_example_of_sets_is_read() -> None:
    path = TOP / "etc" / "conf.d" / "example.yaml"
    destinations, sets, errors = check(read([ConfigDocument(name=str(path), text=path.read_text())]), {})
    assert errors == []
    assert [one.text.name for one in destinations] == ["usb", "nas", "off-site"]
    assert [one.text.name for one in sets] == ["home", "etc"]


@pytest.mark.parametrize("shape", [SetText, DestinationText, DaemonSettings, QueueSettings])
def test_every_key_is_explained(shape: type[msgspec.Struct]) -> None:
    """A key that no page names is a key that nobody uses."""
    text = (TOP / "docs" / "settings.md").read_text()
    assert [name for name in shape.__struct_fields__ if f"{name}`" not in text and f"`{name}." not in text] == []
