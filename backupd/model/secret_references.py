"""Where a secret stands: as people write it in place of the secret itself."""

from __future__ import annotations

from backupd.model.structs import Text


class SecretReference(Text, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Where a secret is read from at each job's start; one of the three."""

    file: str | None = None
    command: list[str] | None = None
    env: str | None = None
