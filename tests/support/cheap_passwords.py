"""Passwords that a test chooses are stretched as little as programs accept: each costs a twelfth of a second's work.

What is made with them is a repository like any other: each slot says what its password costs.
"""

from __future__ import annotations

from backupd.seal import slot

COST = slot.Argon2(memory_kib=64 << 10, passes=1)


def use() -> None:
    """From now on, in new slots that this process makes: the test's own, or a job of a program that it starts."""
    vars(slot)["PASSWORD_COST"] = COST
