"""Where this program keeps what it needs: the XDG directories, or a private temporary one."""

from __future__ import annotations

import os
import pwd
import shutil
import stat
import tempfile
from collections.abc import Mapping

import msgspec

from backupd import durable_io
from backupd.errors import AccessError
from backupd.state_errors import translated

_NAME = "backupd"


class Directories(msgspec.Struct, frozen=True, kw_only=True):
    """Absolute paths; only the state directory is there for certain, `ensure` makes the others when needed."""

    config: str
    data: str
    """Holds the keys, the only thing here that can't be made again."""
    state: str
    cache: str
    temporary: str
    is_temporary: bool = False
    """State and cache lie in a directory that ends with this run; callers say so and `discard` it."""

    @property
    def stand_in_cache(self) -> str:
        """The cache of runs that can't keep one in its usual place."""
        return os.path.join(self.state, "cache")


def find(environ: Mapping[str, str]) -> Directories:
    """Find the directories of the caller, by XDG's variables or its defaults below the home directory.

    `BACKUPD_STATE`, as the daemon sets it for its jobs, puts all of it below one directory.
    Makes the state directory; where that can't be, state, cache and temporary files go to a private directory.
    Raises AccessError when the state directory is there but others could write to it.
    """
    one = environ.get("BACKUPD_STATE", "")
    if os.path.isabs(one):
        cache = os.path.join(one, "cache")
        return Directories(config=one, data=one, state=ensure(one), cache=cache, temporary=os.path.join(one, "tmp"))
    home = home_of(environ)
    config = _place(environ, "XDG_CONFIG_HOME", home, ".config")
    data = _place(environ, "XDG_DATA_HOME", home, ".local/share")
    state = _place(environ, "XDG_STATE_HOME", home, ".local/state")
    cache = _place(environ, "XDG_CACHE_HOME", home, ".cache")
    if _can_keep(state):
        found = Directories(config=config, data=data, state=state, cache=cache, temporary=os.path.join(cache, "tmp"))
        if _can_keep(cache):
            return found
        cache = found.stand_in_cache
        return msgspec.structs.replace(found, cache=cache, temporary=os.path.join(cache, "tmp"))
    return private(config, data, environ)


def private(config: str, data: str, environ: Mapping[str, str]) -> Directories:
    """State, cache and temporary files in a private directory of the effective user that ends with this run."""
    above = _make_private(environ)
    return Directories(
        config=config,
        data=data,
        state=os.path.join(above, "state"),
        cache=os.path.join(above, "cache"),
        temporary=os.path.join(above, "tmp"),
        is_temporary=True,
    )


def discard(directories: Directories) -> None:
    """Remove the private directory at the end of a run; does nothing with lasting ones."""
    if directories.is_temporary:
        shutil.rmtree(os.path.dirname(directories.state), ignore_errors=True)


def ensure(path: str) -> str:
    """Make a directory and those above it, 0700 each, and refuse one that others could write to; returns the path.

    Raises AccessError with the mend, StateFullError, StateError.
    """
    try:
        _make(path)
    except OSError as error:
        raise translated(error, path) from error
    return path


def _make(path: str) -> None:
    """Make and check a directory. Raises OSError, and AccessError when it is unsafe."""
    durable_io.make_directories(path)
    found = os.stat(path)
    if found.st_uid not in (os.geteuid(), 0):
        raise AccessError(
            f"{path} belongs to {_owner(found.st_uid)}, not to you",
            hint=f"chown {_owner(os.geteuid())} {path}, or name others by the XDG_… variables",
        )
    if stat.S_IMODE(found.st_mode) & 0o022:
        raise AccessError(f"others can write to {path}", hint=f"chmod go-w {path}")


def _can_keep(path: str) -> bool:
    """Whether a directory is there or can be made, and takes files."""
    try:
        _make(path)
        return os.access(path, os.W_OK | os.X_OK)
    except OSError:
        return False


def _make_private(environ: Mapping[str, str]) -> str:
    given = environ.get("TMPDIR", "")
    above = given if os.path.isdir(given) and os.access(given, os.W_OK | os.X_OK, effective_ids=True) else None
    try:
        private = tempfile.mkdtemp(prefix=f"{_NAME}-", dir=above)
        for name in ("state", "cache", "tmp"):
            os.mkdir(os.path.join(private, name), 0o700)
    except OSError as error:
        raise translated(error, above or tempfile.gettempdir()) from error
    return private


def _place(environ: Mapping[str, str], variable: str, home: str, default: str) -> str:
    given = environ.get(variable, "")
    # XDG: a relative path is invalid and to be ignored.
    above = given if os.path.isabs(given) else os.path.join(home, default)
    return os.path.join(above, _NAME)


def home_of(environ: Mapping[str, str]) -> str:
    """The home directory of the effective user; a HOME that is another user's does not count."""
    home = environ.get("HOME", "")
    if os.path.isabs(home) and not _is_someone_elses(home):
        return home
    try:
        return pwd.getpwuid(os.geteuid()).pw_dir
    except KeyError:
        return home if os.path.isabs(home) else "/"


def _is_someone_elses(home: str) -> bool:
    """Whether root was given a user's HOME (sudo on macOS): files of root there would shut that user out."""
    try:
        return os.geteuid() == 0 and os.stat(home).st_uid != 0
    except OSError:
        return False


def _owner(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
