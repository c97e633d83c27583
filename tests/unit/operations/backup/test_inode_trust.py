"""Inode numbers left out where they mean nothing, and nowhere else: elsewhere they show what was renamed over."""

from __future__ import annotations

import os

from backupd.operations.backup.inode_trust import InodeTrust

BODY = bytes(48)


def signature(number: int) -> bytes:
    return BODY + number.to_bytes(8, "little")


def test_one_file_system_that_numbers_anew() -> None:
    told: list[str] = []
    trust = InodeTrust(told.append)
    results = [trust.is_same(signature(number), signature(number + 1), 7, b"/mnt") for number in range(300)]
    assert results == [False] * 99 + [True] * 201
    assert len(told) == 1
    assert "/mnt" in told[0]
    # Another file system is judged by itself, and another size is another file everywhere.
    assert not trust.is_same(signature(1), signature(2), 8, b"/home")
    assert not trust.is_same(signature(1), os.urandom(48) + bytes(8), 7, b"/mnt")
    assert not trust.is_same(b"", signature(1), 7, b"/mnt")


def test_a_few_renamed_over_are_no_reason() -> None:
    trust = InodeTrust(lambda text: None)
    for number in range(1000):
        is_over = number % 3 == 0
        assert trust.is_same(signature(number), signature(number + is_over), 7, b"/") == (not is_over)
