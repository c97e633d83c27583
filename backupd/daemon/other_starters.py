"""What else on this machine runs backups: cron jobs and systemd timers, of which the daemon knows nothing."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Collection, Iterator, Mapping
from typing import NamedTuple

from backupd.model.status import Finding

_SPOOLS = ("/var/spool/cron/crontabs", "/var/spool/cron/tabs", "/var/spool/cron", "/usr/lib/cron/tabs")
_TABLES = "/etc/cron.d"
_SCRIPTS = tuple(f"/etc/cron.{often}" for often in ("hourly", "daily", "weekly", "monthly"))
_UNITS = ("/etc/systemd/system", "/usr/local/lib/systemd/system", "/usr/lib/systemd/system", "/etc/systemd/user")
_MOST_FILES, _MOST_BYTES, _MOST_CHARACTERS, _MOST_FOUND = 1000, 64 << 10, 4096, 20
_PASSED_OVER = re.compile(r"^\.|[~,]$|\.(bak|disabled|orig|rpm(save|new|orig)|dpkg-[a-z]+|swp)$")
"""Names of files that cron passes over."""
_STARTS = re.compile(
    r"(?:^|[\s/;&|(`'\"=])bkctl\s+(?:-\S+\s+(?:[^-\s;&|#]\S*\s+)?)*?(once|backup)(?=$|[\s;&|)`'\"])([^;&|#)>]*)"
)
"""The program, its options, the verb, and what follows up to the end of the command."""


class Starter(NamedTuple):
    """A line that starts a backup."""

    path: str
    line: int
    verb: str
    words: tuple[str, ...]
    """After the verb."""


def findings(environ: Mapping[str, str], scheduled: Collection[str], root: str = "") -> list[Finding]:
    """What `doctor` says of them. scheduled: names of sets that the daemon runs by itself. root: above the system.

    What can't be read, as other users' tables by a user's daemon, is passed over.
    """
    found = sorted(set(_in_tables(root)) | set(_in_timers(environ, root)), key=lambda one: (one.path, one.line))
    if not found:
        message = "no cron job or timer that can be read runs backups"
        return [Finding(check="other schedules", verdict="ok", message=message)]
    return [_of(one, scheduled) for one in found[:_MOST_FOUND]]


def _of(one: Starter, scheduled: Collection[str]) -> Finding:
    where = f"{one.path}, line {one.line}"
    if one.verb == "once":
        message = f"{where} runs `bkctl once` beside the daemon: no status, report or notice tells of it"
        if scheduled:
            message += "; with the sources of a set both read the same twice"
        mend = "have the daemon do it: bkctl set create, bkctl schedule add; then take that line away"
        return Finding(check="other schedules", verdict="look", message=message, mend=mend)
    twice = [name for name in one.words if name in scheduled] or (sorted(scheduled) if "--all" in one.words else [])
    if not twice:
        return Finding(check="other schedules", verdict="ok", message=f"{where} runs sets that have no schedule here")
    message = (
        f"{where} runs {', '.join(twice)}, as the daemon does by schedule: at one time the set's lock lets one begin, "
        "the other waits or is skipped; at two the set runs more often than its schedule says"
    )
    mend = "take that line away, or the schedule: bkctl schedule list"
    return Finding(check="other schedules", verdict="look", message=message, mend=mend)


def _in_tables(root: str) -> Iterator[Starter]:
    yield from _in_file(f"{root}/etc/crontab")
    for directory in (*_SPOOLS, _TABLES):
        for name in _names(root + directory):
            yield from _in_file(f"{root}{directory}/{name}")
    for directory in _SCRIPTS:
        for name in _names(root + directory):
            yield from _in_file(f"{root}{directory}/{name}", is_script=True)


def _in_timers(environ: Mapping[str, str], root: str) -> Iterator[Starter]:
    own = environ.get("XDG_CONFIG_HOME") or os.path.join(environ.get("HOME", "/nonexistent"), ".config")
    directories = [*(root + one for one in _UNITS), f"{own}/systemd/user"]
    for directory in directories:
        for name in (one for one in _names(directory) if one.endswith(".timer")):
            lines = _lines(f"{directory}/{name}")
            units = [line.partition("=")[2].strip() for line in lines if line.startswith("Unit=")]
            unit = os.path.basename(units[-1] if units else f"{name.removesuffix('.timer')}.service")
            for above in directories:
                yield from _in_file(f"{above}/{unit}", begin="ExecStart")


def _in_file(path: str, *, is_script: bool = False, begin: str = "") -> Iterator[Starter]:
    """Its lines that start a backup. begin: of the lines that count."""
    for number, line in enumerate(_lines(path, is_script=is_script), 1):
        if line.startswith(("#", ";")) or not line.startswith(begin):
            continue
        for verb, words in _STARTS.findall(line):
            yield Starter(path, number, verb, tuple(word.strip("'\"`") for word in words.split()))


def _names(directory: str) -> list[str]:
    try:
        return [name for name in sorted(os.listdir(directory))[:_MOST_FILES] if not _PASSED_OVER.search(name)]
    except OSError:
        return []


def _lines(path: str, *, is_script: bool = False) -> list[str]:
    """Of a regular file, if it can be read; of a program of another kind nothing."""
    try:
        with open(path, "rb", opener=_opened) as file:
            mode = os.fstat(file.fileno()).st_mode
            if not stat.S_ISREG(mode) or (is_script and not mode & 0o111):
                return []
            data = file.read(_MOST_BYTES)
    except (OSError, ValueError):
        return []
    if b"\0" in data:
        return []
    return [line.strip()[:_MOST_CHARACTERS] for line in data.decode(errors="replace").split("\n")]


def _opened(path: str, flags: int) -> int:
    # Without O_NONBLOCK a FIFO would hold whoever opens it.
    return os.open(path, flags | os.O_NONBLOCK)
