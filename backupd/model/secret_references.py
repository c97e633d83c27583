"""Where a secret stands: as people write it in place of the secret itself."""

from __future__ import annotations

from backupd.model.structs import Text

WAYS = ("file", "command", "env", "credential")
"""One of them is given."""


class SecretReference(Text, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Where a secret is read from at each job's start; one of the four."""

    file: str | None = None
    command: list[str] | None = None
    env: str | None = None
    credential: str | None = None
    """Name of what the service manager gave the daemon at its start (systemd's LoadCredential)."""
