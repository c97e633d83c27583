"""Credentials: secrets that the service manager gives to the daemon alone, in a directory that only it may read.

systemd fills it at the service's start, from LoadCredential= and its like, and never changes it while the service runs.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping

from backupd.errors import KeyMissingError, UsageError

_VARIABLE = "CREDENTIALS_DIRECTORY"
MOST_BYTES = 64 << 10


def read_credential(name: str, environ: Mapping[str, str]) -> bytes:
    """What the credential holds. name: checked (`check_secret`).

    Raises KeyMissingError where the daemon was not started with it, UsageError for what is no secret.
    """
    directory = environ.get(_VARIABLE, "")
    if not os.path.isabs(directory):
        raise _missing("the daemon was started without any credentials", name)
    try:
        with open(os.path.join(directory, name), "rb", opener=_opened) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise UsageError(f"the credential {name} is no regular file", hint="give one secret by that name")
            found = file.read(MOST_BYTES + 1)
    except FileNotFoundError as error:
        raise _missing(f"the daemon was not started with the credential {name}", name) from error
    except OSError as error:
        raise KeyMissingError(
            f"can't read the credential {name}: {error.strerror}", hint="is it a file that the daemon's user may read?"
        ) from error
    if len(found) > MOST_BYTES:
        raise UsageError(f"the credential {name} is over 64 KiB", hint="is it the right file?")
    return found


def _opened(path: str, flags: int) -> int:
    # Without O_NONBLOCK a FIFO would hold whoever opens it.
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)


def _missing(message: str, name: str) -> KeyMissingError:
    hint = f"LoadCredential={name}:/path in the service's unit (systemctl edit backupd); then: bkctl daemon restart"
    return KeyMissingError(message, hint=hint)
