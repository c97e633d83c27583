"""The key directory: one text file a repository, that a person can read, print and type in again.

Only random 44-character keys are kept, never passwords.
"""

from __future__ import annotations

import os
import re
import shlex
import stat
import sys
import unicodedata
from datetime import datetime
from itertools import count

import msgspec

from backupd import durable_io
from backupd.clock import to_datetime
from backupd.errors import AccessError, BackupError, KeyMissingError, StateFullError, UsageError
from backupd.settings.directories import ensure
from backupd.state_errors import translated
from backupd.store_errors import KeyDirectoryError

SECRET_LENGTH = 44

_SUFFIX = ".key"
_REPOSITORY = re.compile(r"[a-z0-9][a-z0-9-]{0,127}")
_FIELD = re.compile(r"#\s*(repository|place|slot|made|proved):\s*(.*)")
_LIMIT_BYTES = 64 << 10
_BREAKING = ("Cc", "Zl", "Zp")
_HEAD = (
    "# A key of backupd. Who has the 44 characters below can read the backup; without them nobody can.\n"
    "# Keep a copy apart from this computer and from the disk with the backup.\n"
)


class KeptKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key as the key directory holds it."""

    repository_id: str
    secret: str
    """The 44 characters."""
    place: str = ""
    """Where the repository lay when the key was made, for people."""
    slot: str = ""
    """Name of the key slot that the secret opens."""
    made_ns: int = 0
    proved: bool = False
    """Whether somebody typed the key in from a copy."""
    warning: str = ""
    """Not kept: what is wrong with the file it was read from, and the mend."""


class KeyStore:
    """The files of `<data>/keys`, 0600 in a 0700 directory."""

    def __init__(self, data: str) -> None:
        self.directory = os.path.join(data, "keys")

    def path_of(self, repository_id: str) -> str:
        """Where a repository's key lies. Raises UsageError for what is no repository id."""
        if _REPOSITORY.fullmatch(repository_id) is None:
            raise UsageError(f"'{repository_id}' is no repository id")
        return os.path.join(self.directory, repository_id + _SUFFIX)

    def is_writable(self) -> bool:
        """Whether a key could be kept here, asked before one is made; makes the directory.

        Raises StateFullError: where there is no room, somebody can make some.
        """
        try:
            return os.access(ensure(self.directory), os.W_OK | os.X_OK)
        except StateFullError:
            raise
        except BackupError:
            return False

    def make(self) -> None:
        """Make the directory, so that a key that is copied to its path gets there. Raises as `save`."""
        self.refuse_file()
        ensure(self.directory)

    def refuse_file(self) -> None:
        """Raises KeyDirectoryError where the key directory is none, with what to do."""
        if not os.path.lexists(self.directory) or os.path.isdir(self.directory):
            return
        free = next(path for path in (f"{self.directory}.{n}" for n in count(1)) if not os.path.lexists(path))
        name, moved = shlex.quote(self.directory), shlex.quote(free)
        message = f"{self.directory} is no directory, and keys are kept in one of that name"
        hint = f"mv {name} {moved} && mkdir -m 700 {name}"
        held = self._held()
        if held is not None:
            message = f"{self.directory} is a key that was copied there, and should be the directory of kept keys"
            hint += f" && mv {moved} {shlex.quote(self.path_of(held))}" if held else ""
            hint += "" if held else f"; then move {moved} there, named after its repository, with {_SUFFIX} at its end"
        raise KeyDirectoryError(message, hint=hint, context={"key_directory": self.directory})

    def _held(self) -> str | None:
        """Whose key the file is that lies in place of the directory; empty: it does not say. None: it holds no key."""
        try:
            if not stat.S_ISREG(os.stat(self.directory).st_mode):
                return None
            with open(self.directory, "rb") as file:
                text = file.read(_LIMIT_BYTES).decode("utf-8", "surrogateescape")
            parse(text, "", self.directory)
        except (OSError, KeyMissingError):
            return None
        matches = (_FIELD.fullmatch(line.strip()) for line in text.splitlines())
        found = next((match[2] for match in matches if match is not None and match[1] == "repository"), "")
        return found if _REPOSITORY.fullmatch(found) else ""

    def load(self, repository_id: str) -> KeptKey | None:
        """The kept key of a repository; None: there is none.

        A file that others can read is told by the key's `warning`; it works, for a key that was carried over on a stick
        lost its mode on the way. Raises KeyMissingError when the file holds no key, KeyDirectoryError, AccessError.
        """
        path = self.path_of(repository_id)
        try:
            with open(path, "rb") as file:
                mode = os.fstat(file.fileno()).st_mode
                text = file.read(_LIMIT_BYTES).decode("utf-8", "surrogateescape")
        except FileNotFoundError:
            return None
        except OSError as error:
            self.refuse_file()
            raise AccessError(f"can't read the key {path}: {error.strerror}") from error
        warning = f"others can read the key {path}: chmod 600 {path}" if stat.S_IMODE(mode) & 0o077 else ""
        return parse(text, repository_id, path, warning)

    def save(self, key: KeptKey) -> str:
        """Keep a key, on the disk when this returns; returns its path.

        Another key kept for the same repository goes on as `<repository id>.key.1`, `.2` …: it may be the only copy.
        Raises KeyDirectoryError, AccessError, StateFullError, UsageError.
        """
        path = self.path_of(key.repository_id)
        self.refuse_file()
        ensure(os.path.dirname(self.directory))
        ensure(self.directory)
        try:
            self._set_aside(path, key.secret)
            durable_io.replace(path, [render(key).encode("utf-8", "surrogateescape")])
            durable_io.sync_ancestors(self.directory)
        except OSError as error:
            raise translated(error, path) from error
        return path

    def repository_ids(self) -> list[str]:
        """The repositories whose key is kept, in order. Raises KeyDirectoryError, AccessError."""
        self.refuse_file()
        try:
            names = os.listdir(self.directory)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise AccessError(f"can't read {self.directory}: {error.strerror}") from error
        ids = (name.removesuffix(_SUFFIX) for name in names if name.endswith(_SUFFIX))
        return sorted(one for one in ids if _REPOSITORY.fullmatch(one))

    def remove(self, repository_id: str) -> bool:
        """Forget a repository's key; False when there was none."""
        path = self.path_of(repository_id)
        try:
            os.unlink(path)
            durable_io.sync_directory(self.directory)
        except FileNotFoundError:
            return False
        except OSError as error:
            self.refuse_file()
            raise translated(error, path) from error
        return True

    def _set_aside(self, path: str, secret: str) -> None:
        """Copy what the file holds to a free name, unless it is this very secret."""
        try:
            with open(path, "rb") as file:
                old = file.read(_LIMIT_BYTES)
        except FileNotFoundError:
            return
        if key_in(old.decode("utf-8", "surrogateescape")) == secret:
            return
        for number in count(1):
            try:
                durable_io.write_temporary(f"{path}.{number}", [old])
            except FileExistsError:
                continue
            return


def render(key: KeptKey) -> str:
    """The text of a key file, as `--key-out` writes it too."""
    made = to_datetime(key.made_ns).replace(microsecond=0).isoformat()
    facts = {
        "repository": key.repository_id,
        "place": _escaped(key.place),
        "slot": _escaped(key.slot),
        "made": made,
        "proved": "yes" if key.proved else "no",
    }
    return _HEAD + "".join(f"# {name}: {value}\n" for name, value in facts.items()) + f"\n{key.secret}\n"


def parse(text: str, repository_id: str, path: str, warning: str = "") -> KeptKey:
    """Read a key file: comments may be missing, white space may be anywhere. Raises KeyMissingError."""
    secret = key_in(text)
    if len(secret) != SECRET_LENGTH or not secret.isascii():
        raise KeyMissingError(
            f"{path} holds no key",
            hint=f"its last line should be the {SECRET_LENGTH} characters of the key; take them from the key sheet",
        )
    matches = (_FIELD.fullmatch(line.strip()) for line in text.splitlines())
    fields = {match[1]: match[2] for match in matches if match is not None}
    return KeptKey(
        repository_id=repository_id,
        secret=secret,
        place=_unescaped(fields.get("place", "")),
        slot=_unescaped(fields.get("slot", "")),
        made_ns=_made_ns(fields.get("made", "")),
        proved=fields.get("proved") == "yes",
        warning=warning,
    )


def key_in(text: str) -> str:
    """The characters of the key in a key file's text, white space and comments left out."""
    lines = (line.strip() for line in text.removeprefix("\ufeff").splitlines())
    return "".join("".join(line.split()) for line in lines if not line.startswith("#"))


def _made_ns(text: str) -> int:
    try:
        return int(datetime.fromisoformat(text).timestamp()) * 1_000_000_000
    except ValueError:
        return 0


_FIRST_SURROGATE, _LAST_SURROGATE = 0xD800, 0xDFFF


def _escaped(text: str) -> str:
    """The text on one line; what would break it is written as a backslash and six hex digits."""
    return "".join(f"\\{ord(c):06x}" if c == "\\" or unicodedata.category(c) in _BREAKING else c for c in text)


def _unescaped(text: str) -> str:
    return re.sub(r"\\([0-9a-f]{6})", lambda match: _character(match) or match[0], text)


def _character(match: re.Match[str]) -> str:
    """What was escaped; empty where that is no character of a text."""
    number = int(match[1], 16)
    return chr(number) if number <= sys.maxunicode and not _FIRST_SURROGATE <= number <= _LAST_SURROGATE else ""
