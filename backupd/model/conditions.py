"""Under which conditions a set runs by itself."""

from __future__ import annotations

from backupd.model.structs import Text


class ConditionsText(Text, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A run that is begun by a schedule, or by changes, is skipped where one of them is not met."""

    battery: bool = True
    """Whether it runs while the machine is on battery."""
    metered: bool = True
    """Whether it runs while what the network carries is paid for by volume."""
    networks: list[str] = []
    """Names of connections and Wi-Fi networks: it runs while one of them is connected; none: in any, and in none."""
    present: list[str] = []
    """Absolute paths that have to be there."""
    mounted: list[str] = []
    """Absolute paths of directories on which something has to be mounted."""
