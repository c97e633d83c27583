"""What a reference to a secret has to be like."""

from __future__ import annotations

import os
import re

from backupd.errors import UsageError
from backupd.model.secret_references import WAYS, SecretReference

_CREDENTIAL = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,254}")


def check_secret(reference: SecretReference) -> None:
    """Raises UsageError for what is no reference to a secret, without repeating it."""
    given = [getattr(reference, way) for way in WAYS if getattr(reference, way) is not None]
    if len(given) != 1 or not given[0]:
        raise UsageError(f"a secret has one of {', '.join(WAYS)}", hint="write it as {file: /etc/backupd/password}")
    if reference.file is not None and not os.path.isabs(reference.file):
        # What stands there may be the password itself, and messages are kept and shown.
        raise UsageError("the secret's file is no absolute path", hint="name a file that holds it, beginning with /")
    if reference.credential is not None and _CREDENTIAL.fullmatch(reference.credential) is None:
        hint = "letters, digits, _ - and inner dots, as LoadCredential= of the service names it"
        raise UsageError("the secret's credential has no name that one can have", hint=hint)
