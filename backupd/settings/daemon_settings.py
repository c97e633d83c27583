"""`backupd.yaml`: the settings of the daemon itself."""

from __future__ import annotations

import os
from typing import Literal

from backupd.model.sets import Text
from backupd.settings.yaml_text import load

_MOST_BYTES = 4 << 20


class QueueSettings(Text, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """How much is done at once."""

    jobs_at_once: int = 2


class DaemonSettings(Text, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What stands in backupd.yaml; absent = these defaults."""

    access: dict[Literal["admin", "operator", "restorer", "auditor"], list[str]] = {}
    """Role -> login names, `%group` or `*`."""
    queue: QueueSettings = QueueSettings()
    time_zone: str | None = None


def read_settings(config: str) -> DaemonSettings:
    """Read `<config>/backupd.yaml`. Raises ConfigError."""
    path = os.path.join(config, "backupd.yaml")
    try:
        with open(path, "rb") as file:
            data = file.read(_MOST_BYTES)
    except FileNotFoundError:
        return DaemonSettings()
    return load(data, DaemonSettings, path)
