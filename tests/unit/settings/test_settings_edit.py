"""`config set` changes one value; a comment lost or another value changed would be the administrator's loss."""

from __future__ import annotations

import pytest

from backupd.errors import ConfigError, UsageError
from backupd.settings.settings_edit import with_value

TEXT = """# ours
access:   # who
  operator: [anna]  # for now
  auditor:
    - nagios
queue:
  # two disks
  jobs_at_once: 2 # at once
"""


@pytest.mark.parametrize(
    ("text", "key", "value", "expected"),
    [
        ("", "time_zone", "UTC", "time_zone: UTC\n"),
        ("# nothing yet", "queue.jobs_at_once", "3", "# nothing yet\nqueue:\n  jobs_at_once: 3\n"),
        (TEXT, "queue.jobs_at_once", "3", TEXT.replace("once: 2 #", "once: 3 #")),
        (TEXT, "access.operator", "[anna, bob]", TEXT.replace("[anna]", "[anna, bob]")),
        (TEXT, "access.admin", "[root]", TEXT.replace("  operator", "  admin: [root]\n  operator")),
        (TEXT, "time_zone", "UTC", TEXT + "time_zone: UTC\n"),
        ("queue:\ntime_zone: UTC\n", "queue.jobs_at_once", "3", "queue: {jobs_at_once: 3}\ntime_zone: UTC\n"),
        ("access: {admin: [a]}\n", "access.auditor", "[b]", "access: {admin: [a], auditor: [b]}\n"),
        ("time_zone: 'UTC' # ü\n", "time_zone", "Europe/Berlin", "time_zone: Europe/Berlin # ü\n"),
    ],
)
def test_one_value_is_changed_and_all_else_kept(text: str, key: str, value: str, expected: str) -> None:
    assert with_value(text, key, value, "f") == expected


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        (TEXT, "access.auditor", "[root]"),
        (TEXT, "queue", "a: b"),
        ("{time_zone: UTC}\n", "time_zone", "UTC"),
        ("time_zone: >\n  UTC\n", "time_zone", "Europe/Berlin"),
        ("time_zone: UTC\n...\n", "queue.jobs_at_once", "3"),
        ("a: [", "time_zone", "UTC"),
    ],
)
def test_what_needs_a_person_is_refused(text: str, key: str, value: str) -> None:
    """Text written over several lines is left alone; the hint says to edit the file."""
    with pytest.raises(ConfigError) as caught:
        with_value(text, key, value, "/etc/x.yaml")
    assert "/etc/x.yaml" in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize(("key", "value"), [("a..b", "1"), ("", "1"), ("a", "[1"), ("a", "1\nb: 2")])
def test_what_is_no_key_or_value_is_refused(key: str, value: str) -> None:
    with pytest.raises(UsageError):
        with_value(TEXT, key, value, "f")
