"""Where each setting of a set comes from: the program, the daemon's settings, a policy, a file or the set itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from backupd.catalog.definitions import StoredSet
from backupd.model.api import SettingView
from backupd.model.policies import PolicyRule
from backupd.model.retention import policy_of
from backupd.model.sets import SetText
from backupd.rules.option_policy import value_of

DEFAULT, OF_SET = "default", "set"
_OF_DAEMON = {"time_zone": "time_zone", "temp_dir": "temp"}
"""Option that a set need not name -> setting of the daemon that holds then."""
_WITHOUT = SetText(name="", to=[])


def origins_of(
    stored: StoredSet, policy: Sequence[PolicyRule], settings: Sequence[SettingView]
) -> list[SettingView]:
    """Each setting of a set as it holds, with its origin; pure.

    What a policy presets and the set says in the same words counts as the policy's. settings: the daemon's.
    """
    of_daemon = {one.key: one for one in settings}
    return [
        _origin(name, stored, [rule for rule in policy if rule.area == "sets"], of_daemon)
        for name in SetText.__struct_fields__
        if name != "name"
    ]


def _origin(
    name: str, stored: StoredSet, rules: Sequence[PolicyRule], of_daemon: dict[str, SettingView]
) -> SettingView:
    value = getattr(stored.text, name)
    for rule in rules:
        is_of = rule.option == name or rule.option.startswith(f"{name}.")
        if is_of and rule.values and value_of(stored.text, rule.option) == rule.values[0]:
            return _view(name, value, f"{rule.origin}: {rule.kind}")
    if name not in ("to", "sources") and value == getattr(_WITHOUT, name):
        setting = of_daemon.get(_OF_DAEMON.get(name, ""))
        if setting is not None and setting.value is not None:
            return _view(name, setting.value, setting.origin)
        return _view(name, policy_of(None, {}, "") if name == "retention" else value, DEFAULT)
    return _view(name, value, stored.file or OF_SET)


def _view(name: str, value: Any, origin: str) -> SettingView:
    return SettingView(key=name, value=msgspec.to_builtins(value), origin=origin)
