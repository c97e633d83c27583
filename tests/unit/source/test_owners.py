"""Owner names: without them files come back as somebody else's on another machine."""

from __future__ import annotations

from backupd.source.owners import Owners


def test_numbers_get_their_names_and_strangers_none() -> None:
    owners = Owners()
    assert owners.user_name(0) == b"root"
    assert owners.group_name(0) in (b"root", b"wheel")
    assert owners.user_name(3_999_999_999) == b""
    assert owners.group_name(3_999_999_999) == b""
    assert owners.users == {0: b"root", 3_999_999_999: b""}
