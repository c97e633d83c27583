"""Ids of plans: who carries one out is sure that it is the one that was shown."""

from __future__ import annotations

from blake3 import blake3


def plan_id(*parts: str) -> str:
    """`p` and 32 hex digits, the same for the same parts."""
    return "p" + blake3("\0".join(parts).encode()).hexdigest(16)
