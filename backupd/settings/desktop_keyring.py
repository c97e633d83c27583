"""Secrets from the keyring of the daemon's user: GNOME's, KDE's, the Keychain of macOS, by the library `keyring`.

A process of its own reads it: a keyring that is locked asks on a screen that nobody may sit at, and waits.
"""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec

from backupd.errors import KeyMissingError

SERVICE = "backupd"
"""What its entries are kept under."""
_MOST_BYTES = 64 << 10
_MOST_SAID = 200
_SECONDS = 30


def read_keyring(name: str) -> bytes:
    """An entry's secret; name: as check_secret takes it. Raises KeyMissingError."""
    put = f"keyring set {SERVICE} {name}, as the user that backupd runs as"
    if find_spec("keyring") is None:
        raise KeyMissingError(
            "a secret stands in a keyring, and the library that reads it is not installed",
            hint="pip install 'backupd[keyring]', or keep the secret in a file: {file: PATH}",
        )
    # Without -P the directory that the daemon was started in could bring a library of that name.
    command = [sys.executable, "-P", "-m", "keyring", "get", SERVICE, name]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        hint = "is it locked? unlock it, or keep the secret in a file: {file: PATH}"
        raise KeyMissingError(f"the keyring gave no answer within {_SECONDS} s", hint=hint) from None
    if not done.returncode:
        return done.stdout[:_MOST_BYTES]
    said = done.stderr.decode(errors="replace").strip().splitlines()
    if not said:
        raise KeyMissingError(f"the keyring has no entry {name} of {SERVICE}", hint=put)
    if "NoKeyringError" in said[-1]:
        raise KeyMissingError(
            "there is no keyring that backupd's user could open",
            hint="one belongs to who is logged in; a machine's daemon has none: {file: PATH} or {credential: NAME}",
        )
    reason = "".join(c if c.isprintable() else "?" for c in said[-1][:_MOST_SAID])
    raise KeyMissingError(f"the keyring can't be read: {reason}", hint=f"keyring get {SERVICE} {name} tells more")
