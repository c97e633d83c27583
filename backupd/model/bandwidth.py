"""Limits of bandwidth as they are written (docs/settings.md), and as a job process gets them."""

from __future__ import annotations

from typing import Literal

import msgspec

from backupd.model.structs import Text

Direction = Literal["upload", "download"]
Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
MOST_RULES = 64


class RuleText(Text, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One rule. Without days and times it always holds."""

    name: str
    rate: str
    """As `20 Mbit/s` or `2 MiB/s`; of each direction by itself."""
    direction: Literal["upload", "download", "both"] = "both"
    days: list[Day] = []
    """Empty: every day. A time that goes over midnight belongs to the day on which it begins."""
    begins: str | None = msgspec.field(default=None, name="from")
    """HH:MM; None: 00:00."""
    ends: str | None = msgspec.field(default=None, name="to")
    """HH:MM, not itself part of it; None: 24:00. Before `from`: that of the next day."""
    zone: str | None = None
    """IANA name; None: that of the job's set, or the daemon's."""
    destinations: list[str] = []
    """Names; empty: all that are no directories of this machine."""


class BandwidthText(Text, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """All limits; none without rules."""

    mode: Literal["independent", "shared"] = "independent"
    """Each backup and restore has the rate by itself, or all of them have it together."""
    rules: list[RuleText] = []
