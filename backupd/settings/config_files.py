"""The files of the settings directory: backupd.yaml and conf.d/*.yaml."""

from __future__ import annotations

import os
import stat

from backupd import durable_io
from backupd.errors import ConfigError, NotFoundError
from backupd.model.sets import ConfigDocument
from backupd.settings.yaml_text import MOST_BYTES
from backupd.state_errors import translated

SETTINGS_NAME = "backupd.yaml"
DEFINITIONS_NAME = "conf.d"
_ENDING = ".yaml"
_OTHER_ENDING = ".yml"
_OTHERS_WRITE = 0o002


def settings_path(config: str) -> str:
    """Where the daemon's own settings stand."""
    return os.path.join(config, SETTINGS_NAME)


def read_definitions(config: str) -> tuple[list[ConfigDocument], list[str]]:
    """All files of conf.d by name, and warnings about those that are passed over. Raises ConfigError."""
    directory = os.path.join(config, DEFINITIONS_NAME)
    try:
        _refuse_open(config)
        entries = sorted(name for name in os.listdir(directory) if not name.startswith("."))
        _refuse_open(directory)
    except FileNotFoundError:
        return [], []
    except OSError as error:
        raise _unreadable(directory, error) from error
    warnings = [
        f"{os.path.join(directory, name)} is not read: its name does not end in {_ENDING}; rename it"
        for name in entries
        if name.endswith(_OTHER_ENDING)
    ]
    paths = [os.path.join(directory, name) for name in entries if name.endswith(_ENDING)]
    return [ConfigDocument(name=path, text=read_text(path)) for path in paths], warnings


def read_text(path: str) -> str:
    """A settings file. Raises NotFoundError; ConfigError: unreadable, no UTF-8, too large, or anyone may write it."""
    try:
        with open(path, "rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            data = file.read(MOST_BYTES + 1) if stat.S_ISREG(mode) else b""
    except FileNotFoundError as error:
        raise NotFoundError(f"there is no {path}") from error
    except OSError as error:
        raise _unreadable(path, error) from error
    if not stat.S_ISREG(mode):
        raise ConfigError(f"{path} is no file", hint="move it away")
    _refuse_open_mode(path, mode)
    if len(data) > MOST_BYTES:
        raise ConfigError(f"{path} is over {MOST_BYTES >> 20} MiB", hint="split it")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise ConfigError(f"{path}, line {line}: is not UTF-8", hint="store it as UTF-8") from error


def write_text(path: str, text: str) -> None:
    """Write a settings file as a whole, on the disk when this returns; it keeps its mode and owner.

    Raises StateFullError, AccessError.
    """
    path = os.path.realpath(path)
    try:
        os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
        try:
            before = os.stat(path)
        except FileNotFoundError:
            durable_io.replace(path, [text.encode()])
            return
        durable_io.replace(path, [text.encode()], stat.S_IMODE(before.st_mode))
        os.chmod(path, stat.S_IMODE(before.st_mode))
        if (before.st_uid, before.st_gid) != (os.geteuid(), os.getegid()):
            os.chown(path, before.st_uid, before.st_gid)
    except OSError as error:
        raise translated(error, path) from error


def _refuse_open(path: str) -> None:
    _refuse_open_mode(path, os.stat(path).st_mode)


def _refuse_open_mode(path: str, mode: int) -> None:
    if mode & _OTHERS_WRITE:
        raise ConfigError(f"anyone may write to {path}, and so give the daemon orders", hint=f"chmod o-w {path}")


def _unreadable(path: str, error: OSError) -> ConfigError:
    return ConfigError(f"{path} can't be read: {error.strerror}", hint="give the daemon's user the right to read it")
