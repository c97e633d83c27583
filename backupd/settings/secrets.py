"""Secrets by reference, read at the moment they are needed, never kept.

They come from a file, a command, the environment, a keyring, or from the service manager that started the daemon.
"""

from __future__ import annotations

import os
import stat
import subprocess

from backupd.errors import KeyMissingError, UsageError
from backupd.model.secret_references import WAYS, SecretReference
from backupd.rules.secret_rules import check_secret
from backupd.settings.credentials import read_credential
from backupd.settings.desktop_keyring import read_keyring
from backupd.settings.environment import variables

_MOST_BYTES = 64 << 10
_COMMAND_SECONDS = 60


def read_secret(reference: SecretReference) -> bytes:
    """The secret, white space around it stripped. Raises KeyMissingError, UsageError for no or several references."""
    check_secret(reference)
    given = [way for way in WAYS if getattr(reference, way) is not None]
    if reference.file is not None:
        secret = _from_file(reference.file)
    elif reference.command is not None:
        secret = _from_command(reference.command)
    elif reference.credential is not None:
        secret = read_credential(reference.credential, variables())
    elif reference.keyring is not None:
        secret = read_keyring(reference.keyring)
    else:
        secret = os.environb.get(os.fsencode(reference.env or ""), b"")
    secret = secret.strip()
    if not secret:
        raise KeyMissingError(f"the secret's {given[0]} gives nothing", hint="put the password or login there")
    return secret


def exposure_of(reference: SecretReference) -> str:
    """A warning for a secret in a file that everybody can read; empty: it lies in none. It works all the same."""
    if reference.file is None:
        return ""
    try:
        mode = os.stat(reference.file).st_mode
    except OSError:
        return ""
    return f"everybody can read {reference.file}: chmod 600 {reference.file}" if mode & stat.S_IROTH else ""


def _from_file(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            found = os.fstat(file.fileno())
            if stat.S_IMODE(found.st_mode) & 0o022:
                raise UsageError(f"others can write to {path}", hint=f"chmod 600 {path}")
            return file.read(_MOST_BYTES)
    except OSError as error:
        hint = "is it there, and may the daemon's user read it?"
        raise KeyMissingError(f"can't read the secret in {path}: {error.strerror}", hint=hint) from error


def _from_command(command: list[str]) -> bytes:
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_COMMAND_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired, IndexError) as error:
        # Its arguments may be secrets themselves, and errors are shown to whoever needs the secret.
        reason = f"took over {_COMMAND_SECONDS} s" if isinstance(error, subprocess.TimeoutExpired) else "can't be run"
        name = command[0] if command else "of no words"
        raise KeyMissingError(f"the secret's command {name} {reason}", hint="run it by hand to see why") from None
    if done.returncode:
        raise KeyMissingError(
            f"the secret's command {command[0]} ended with {done.returncode}", hint="run it by hand to see why"
        )
    return done.stdout[:_MOST_BYTES]
