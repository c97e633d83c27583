"""Rules of bandwidth in backupd.yaml: what is wrong is told with its line, what names nothing is told, too."""

from __future__ import annotations

import pytest

from backupd.errors import ConfigError
from backupd.settings.bandwidth import rules_of, unknown_destinations
from backupd.settings.daemon_settings import parse_settings

GOOD = """bandwidth:
  mode: shared
  rules:
    - name: office
      rate: 20 Mbit/s
      days: [mon, fri]
      from: "08:00"
      to: "18:00"
    - name: always
      rate: 2 MiB/s
      destinations: [off-site]
"""


def test_rules_are_read() -> None:
    """Off by default; in the order of the text."""
    assert rules_of(parse_settings("", "f").value.bandwidth) == []
    rules = rules_of(parse_settings(GOOD, "f").value.bandwidth)
    assert [(rule.name, rule.bytes_a_second) for rule in rules] == [("office", 2_500_000), ("always", 2 << 20)]


@pytest.mark.parametrize(
    ("good", "bad", "said"),
    [
        ("mode: shared", "mode: common", "f, line 2"),
        ("20 Mbit/s", "20 Mb/s", "f, line 5: '20 Mb/s' is no rate"),
        ("rate: 20", "rat: 20", "f, line 5"),
        ("[mon, fri]", "[mon, freitag]", "f, line 6"),
        ('"08:00"', '"8 h"', "f, line 7: '8 h' is no time of day"),
        ('"18:00"', "18:00", "f, line 8"),
        ("name: always", "name: office", "f, line 9: two rules are called office"),
        ("rate: 2 MiB/s", "zone: Europe/Wien", "f, line 9"),
        ("rate: 2 MiB/s", "rate: 2 MiB/s\n      zone: Europe/Wien", "f, line 11: 'Europe/Wien' is no time zone"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(good: str, bad: str, said: str) -> None:
    """A limit that is passed over in silence is found out by whoever pays for the line."""
    with pytest.raises(ConfigError) as caught:
        parse_settings(GOOD.replace(good, bad), "f")
    assert said in caught.value.message


def test_there_are_64_rules_at_most() -> None:
    """More than the table of rates has room for must not be taken and then not kept."""
    rules = "".join(f"    - {{name: r{number}, rate: 2 MiB/s}}\n" for number in range(65))
    with pytest.raises(ConfigError, match="line 67: there are over 64 rules"):
        parse_settings(f"bandwidth:\n  rules:\n{rules}", "f")


def test_a_destination_that_is_none_is_told() -> None:
    """After a renaming the rule would limit nothing, and nobody would know."""
    text = parse_settings(GOOD, "f").value.bandwidth
    assert unknown_destinations(text, ["off-site"]) == []
    (told,) = unknown_destinations(text, ["offsite"])
    assert "always" in told
    assert "off-site" in told
