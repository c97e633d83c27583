"""As whom a program of others runs, and what it finds around itself for that."""

from __future__ import annotations

import os
import pwd
from typing import Any

from backupd.settings.accounts import Identity

SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""Where programs are looked for unless somebody says otherwise."""


def base_environment(account: pwd.struct_passwd | None) -> dict[str, str]:
    """What each program finds in its environment."""
    name = account.pw_name if account is not None else str(os.geteuid())
    home = account.pw_dir if account is not None else "/"
    return {"PATH": SEARCH_PATH, "HOME": home, "USER": name, "LOGNAME": name}


def rights_of(identity: Identity | None) -> dict[str, Any]:
    """With whose rights a child works, for Popen; for good: a job that works for a caller could take its own back."""
    if identity is not None:
        return {"user": identity.uid, "group": identity.gid, "extra_groups": identity.groups}
    if os.getuid() != os.geteuid():
        return {"user": os.geteuid(), "group": os.getegid()}
    return {}
