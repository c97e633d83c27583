"""Where the users of this machine have their homes, documents, music: what shortcuts in sources mean, looked up anew.

What a user says of directories outside his home is heeded only where they are his: else any user could have root's
daemon back up, or leave out, what is somebody else's.
"""

from __future__ import annotations

import os
import pwd
import re
import stat as modes
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import msgspec

from backupd.model.results import shown
from backupd.model.shortcuts import ALL_USERS, HOME, REMOVABLE, ShortcutView, ShortcutWords, shortcut_of
from backupd.rules.user_dirs import DEFAULTS, MOST_BYTES, parse_user_dirs
from backupd.settings.directories import home_of

_LOGIN_DEFS = "/etc/login.defs"
_UID_RANGE = re.compile(rb"^[ \t]*(UID_MIN|UID_MAX)[ \t]+([0-9]{1,10})\b", re.MULTILINE)
_MACOS_UIDS = (501, 65533)
_MOST_HOMES = 100_000
HOMES = "/Users" if sys.platform == "darwin" else "/home"
_MACOS_NAMES = {**DEFAULTS, "movies": b"Movies", "library": b"Library"}


class Person(NamedTuple):
    """A user of this machine."""

    name: str
    uid: int
    home: bytes
    """Real path."""
    config: bytes
    """Directory of user-dirs.dirs."""


class Meaning(msgspec.Struct):
    """What one shortcut means now."""

    word: str
    paths: list[bytes] = []
    """Real ones; of a user who is named also what is not there."""
    left_out: list[tuple[str, bytes]] = []
    """(shortcut, directory) below `home` that a set goes without."""
    trouble: str = ""
    """Why it means nothing."""
    notes: list[str] = []
    """What was passed over, and why."""

    @property
    def view(self) -> ShortcutView:
        """For clients."""
        return ShortcutView(
            word=self.word,
            paths=[shown(path) for path in self.paths],
            left_out=[shown(path) for _, path in self.left_out],
            message="; ".join([self.trouble, *self.notes] if self.trouble else self.notes),
        )


def meanings(given: ShortcutWords, environ: Mapping[str, str]) -> list[Meaning]:
    """What each word means. environ: of the user as whom this process runs. May wait for name services and disks."""
    return [_meaning(word, given.without, environ) for word in given.words]


def unknown(word: str) -> str:
    """Why a shortcut names no user of this machine; empty: it names one, or is a path. May wait for name services."""
    shortcut = shortcut_of(word)
    if shortcut is None or shortcut.user == ALL_USERS:
        return ""
    if shortcut.user is None:
        is_machines = os.geteuid() == 0
        return f"the machine's backupd has to be told whose: {word}@USER, or {word}@{ALL_USERS}" if is_machines else ""
    return f"this machine has no user {shortcut.user}" if _entry(shortcut.user) is None else ""


def people(environ: Mapping[str, str], notes: list[str] | None = None) -> list[Person]:
    """Root and all who may log in, by name; those too whom only their directory below /home tells.

    notes: gets whose homes are passed over, and why.
    """
    first, last = _MACOS_UIDS if sys.platform == "darwin" else _uid_range()
    found: dict[int, Person] = {}
    listed = [entry for entry in pwd.getpwall() if entry.pw_uid == 0 or first <= entry.pw_uid <= last]
    # Name services that list nobody have numbers above those of this machine.
    for entry in [*listed, *_owners_of_homes(first, notes if notes is not None else [])]:
        if entry.pw_uid not in found:
            person = _person(entry, environ)
            if person.home != b"/" and os.path.isdir(person.home):
                found[entry.pw_uid] = person
    return sorted(found.values())


def _meaning(word: str, without: Sequence[str], environ: Mapping[str, str]) -> Meaning:
    made, shortcut = Meaning(word), shortcut_of(word)
    if shortcut is None:
        raise AssertionError(f"{word} is no shortcut")
    if shortcut.user == ALL_USERS:
        # Of the others each would tell the same.
        for person in people(environ, made.notes if shortcut.name == HOME else None):
            _add(made, person, shortcut.name, without, is_named=False)
        if not made.paths:
            made.trouble = "no user of this machine has such a directory"
        return made
    made.trouble, entry = unknown(word), _entry(shortcut.user)
    if made.trouble or entry is None:
        return made
    person = _person(entry, environ)
    _add(made, person, shortcut.name, without, is_named=True)
    if not made.paths:
        made.trouble = "; ".join(made.notes) or f"{person.name} has no such directory"
        made.notes.clear()
    return made


def _add(made: Meaning, person: Person, name: str, without: Sequence[str], *, is_named: bool) -> None:
    """What a shortcut means of one person. is_named: what is not there counts as well."""
    if name != HOME:
        path = _own_directory(person, name, made.notes)
        if path is not None and (is_named or os.path.isdir(path)):
            made.paths.append(path)
        return
    if person.home == b"/":
        made.notes.append(f"the home directory of {person.name} is /")
        return
    made.paths.append(person.home)
    for one in REMOVABLE:
        # What is not his is passed over in silence where it is to stay out.
        path = _own_directory(person, one, [] if one in without else made.notes)
        is_inside = path is not None and path.startswith(person.home + b"/")
        if path is None or is_inside != (one in without):
            continue
        if is_inside:
            made.left_out.append((one, path))
        elif is_named or os.path.isdir(path):
            made.paths.append(path)


def _own_directory(person: Person, name: str, notes: list[str]) -> bytes | None:
    """The real path of one of a person's directories; None: there is none, or it is another's."""
    if sys.platform == "darwin":
        written = {key: os.path.join(person.home, below) for key, below in _MACOS_NAMES.items()}.get(name)
    else:
        below = DEFAULTS.get(name)
        default = os.path.join(person.home, below) if below is not None else None
        written = _said(person).get(name, default)
    if written is None:
        return None
    path = os.path.realpath(written)
    if path == person.home:
        return None
    if not path.startswith(person.home + b"/") and not _is_his(path, person):
        notes.append(f"the {name} of {person.name} are said to be {shown(written)}, which is not {person.name}'s")
        return None
    return path


def _is_his(path: bytes, person: Person) -> bool:
    if person.uid == os.geteuid():
        return True
    try:
        return os.lstat(path).st_uid == person.uid
    except OSError:
        # A disk that is away: a run that passed it over would show all of it as deleted.
        return not os.path.lexists(path)


def _said(person: Person) -> dict[str, bytes]:
    """What the person's user-dirs.dirs says; a file that is none, too large or another's says nothing."""
    try:
        # Opened to be read, a device that a user has linked there would act.
        handle = os.open(os.path.join(person.config, b"user-dirs.dirs"), os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return {}
    try:
        stat = os.fstat(handle)
        if not modes.S_ISREG(stat.st_mode) or stat.st_size > MOST_BYTES or stat.st_uid not in (0, person.uid):
            return {}
        with open(f"/proc/self/fd/{handle}", "rb") as file:
            return parse_user_dirs(file.read(MOST_BYTES), person.home)
    except OSError:
        return {}
    finally:
        os.close(handle)


def _person(entry: pwd.struct_passwd, environ: Mapping[str, str]) -> Person:
    home, config = entry.pw_dir, os.path.join(entry.pw_dir, ".config")
    if entry.pw_uid == os.geteuid():
        home = home_of(environ)
        given = environ.get("XDG_CONFIG_HOME", "")
        config = given if os.path.isabs(given) else os.path.join(home, ".config")
    return Person(entry.pw_name, entry.pw_uid, os.fsencode(os.path.realpath(home or "/")), os.fsencode(config))


def _entry(user: str | None) -> pwd.struct_passwd | None:
    try:
        if user is None:
            return pwd.getpwuid(os.geteuid())
        return pwd.getpwnam(user)
    except KeyError:
        pass
    if user is None:
        # A user without a name still has a home.
        return pwd.struct_passwd((str(os.geteuid()), "", os.geteuid(), os.getegid(), "", "/", ""))
    try:
        return pwd.getpwuid(int(user)) if user.isascii() and user.isdigit() else None
    except (KeyError, OverflowError):
        return None


def _owners_of_homes(first: int, notes: list[str]) -> Iterator[pwd.struct_passwd]:
    """Users of name services that list nobody: who owns a directory there that is said to be his home.

    first: the least number of a user. notes: gets the directories of whom nobody knows just now.
    """
    try:
        with os.scandir(HOMES) as found:
            for _, one in zip(range(_MOST_HOMES), found, strict=False):
                try:
                    stat = one.stat(follow_symlinks=False)
                except OSError:
                    continue
                try:
                    entry = pwd.getpwuid(stat.st_uid)
                except KeyError:
                    if stat.st_uid >= first and modes.S_ISDIR(stat.st_mode):
                        who = f"user {stat.st_uid}, whom nobody knows here: name it as a source if it counts"
                        notes.append(f"{shown(os.fsencode(one.path))} belongs to {who}")
                    continue
                if (entry.pw_uid == 0 or entry.pw_uid >= first) and os.path.normpath(entry.pw_dir) == one.path:
                    yield entry
    except OSError:
        return


def _uid_range() -> tuple[int, int]:
    found = {b"UID_MIN": 1000, b"UID_MAX": 60000}
    try:
        with open(_LOGIN_DEFS, "rb") as file:
            text = file.read(MOST_BYTES)
    except OSError:
        text = b""
    found.update((name, int(number)) for name, number in _UID_RANGE.findall(text))
    return found[b"UID_MIN"], found[b"UID_MAX"]
