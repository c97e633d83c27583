"""What `policy.yaml` lays down of the options of sets, destinations and the daemon."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from backupd.model.structs import Struct, Text

PolicyArea = Literal["sets", "destinations", "settings"]
PolicyKind = Literal["lock", "preset", "allow"]


class OptionText(Text, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One option as it stands in the file; one of the three."""

    lock: Any = msgspec.UNSET
    """It is this, and nobody changes it."""
    preset: Any = msgspec.UNSET
    """It is this where nobody says otherwise."""
    allow: list[Any] | msgspec.UnsetType = msgspec.UNSET
    """It is one of these; the first where nobody says which."""


class PolicyText(Text, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """The file: name of an option -> what holds of it. Settings have dotted names."""

    sets: dict[str, OptionText] = {}
    destinations: dict[str, OptionText] = {}
    settings: dict[str, OptionText] = {}


class PolicyRule(Struct, frozen=True, kw_only=True):
    """What holds of one option."""

    area: PolicyArea
    option: str
    """Name of a field, of settings a dotted one."""
    kind: PolicyKind
    values: list[Any]
    """In plain types: the one of a lock or preset, or those to choose from."""
    origin: str
    """`FILE, line N`."""


class PolicyView(Struct, frozen=True, kw_only=True):
    """All that holds."""

    rules: list[PolicyRule]
