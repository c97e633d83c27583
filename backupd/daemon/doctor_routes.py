"""The API's part of `doctor`: what a daemon can tell of itself without touching a destination."""

from __future__ import annotations

import asyncio
import os
import stat
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence

from backupd.catalog import jobs as rows
from backupd.catalog.definitions import StoredSet
from backupd.catalog.reserve import RESERVE_BYTES
from backupd.daemon import conditions, other_starters, sleeping
from backupd.daemon.gate import WATCHERS
from backupd.daemon.mail_reaching import try_mail
from backupd.daemon.owners import Owners, left_out, nothing_runs
from backupd.daemon.places import DaemonPlaces
from backupd.daemon.route import Call, Route
from backupd.daemon.status_routes import KeyTrouble, key_states
from backupd.model.status import Examination, Finding, KeyState
from backupd.settings import directories
from backupd.settings.keys import KeyStore
from backupd.sizes import format_bytes, format_seconds

_SCARCE_BYTES = 512 << 20
_AHEAD_SECONDS = 300
_PROTECTED = "/Library/Application Support/com.apple.TCC/TCC.db"


async def examine(call: Call) -> Examination:
    """State, socket, clock, keys and settings of the daemon, each with its mend."""
    services = call.services
    sets, repositories = list(services.definitions.sets), list(services.definitions.repositories)
    last = await asyncio.wrap_future(services.database.read(rows.last_runs))
    newest_ns = max((run.started_ns for run in last if run.snapshot), default=0)
    keys, troubles = await asyncio.to_thread(key_states, services.environment, sets, repositories)
    store = KeyStore(directories.find(services.environment).data)
    belongs = {one.text.name: store.path_of(r.repository) for one in sets for r in repositories if r.set_id == one.id}
    runs = [one for one in sets if services.definitions.owners.runs(one)]
    scheduled = [one.text.name for one in runs if any(s.enabled for s in one.text.schedules)]
    notices = [one.text for one in services.definitions.notices]
    findings = [
        *await asyncio.to_thread(_of_places, services.places),
        *await asyncio.to_thread(sleeping.findings, services.environment, _waking(runs)),
        *await asyncio.to_thread(other_starters.findings, services.environment, scheduled),
        *await conditions.findings([one.text for one in runs], services.environment),
        *await try_mail(services.configuration.settings.smtp, services.definitions.proxy, notices, services.clock),
        _of_clock(services.clock.now_ns(), newest_ns),
        *_of_keys([(one.text.name, keys[one.id]) for one in sets if one.id in keys], troubles, belongs),
        *_of_settings([*services.warnings, *services.notices.warnings, *services.definitions.owners.warnings(sets)]),
        *_of_sets(runs, sets, services.definitions.owners),
    ]
    return Examination(findings=findings)


def _waking(sets: Iterable[StoredSet]) -> list[str]:
    return sorted(one.text.name for one in sets if any(s.wake and s.enabled for s in one.text.schedules))


def _of_places(places: DaemonPlaces) -> list[Finding]:
    found = [_of_socket(places.socket), _of_reserve(places.state), _of_space(places.state)]
    return [*found, disk_access(_PROTECTED)] if sys.platform == "darwin" else found


def disk_access(protected: str) -> Finding:
    """Whether macOS lets the daemon read everything. protected: a file that it shows only to who may."""
    try:
        with open(protected, "rb") as file:
            file.read(1)
    except PermissionError:
        return Finding(
            check="disk access",
            verdict="wrong",
            message="macOS lets backupd read only a part of homes and libraries: backups and restores have gaps",
            mend=f"System Settings, Privacy & Security, Full Disk Access: add {sys.executable}, switch it on, "
            "then: bkctl daemon restart",
        )
    except OSError as error:
        return Finding(check="disk access", verdict="ok", message=f"can't be told: {error.strerror}")
    return Finding(check="disk access", verdict="ok", message="macOS lets backupd read everything")


def _of_socket(path: str) -> Finding:
    try:
        mode = stat.S_IMODE(os.stat(path).st_mode)
    except OSError as error:
        return Finding(
            check="socket",
            verdict="wrong",
            message=f"{path} is gone: {error.strerror}",
            mend="restart backupd; nobody new can reach it",
        )
    return Finding(check="socket", verdict="ok", message=f"{path}, mode {mode:04o}")


def _of_reserve(state: str) -> Finding:
    path = os.path.join(state, "reserve")
    try:
        is_whole = os.stat(path).st_size == RESERVE_BYTES
    except OSError:
        is_whole = False
    if is_whole:
        return Finding(check="reserve", verdict="ok", message=f"{format_bytes(RESERVE_BYTES)} are kept for a full disk")
    return Finding(
        check="reserve",
        verdict="look",
        message=f"the {format_bytes(RESERVE_BYTES)} kept for a full disk are not there",
        mend=f"make space below {state}; backupd then makes them again",
    )


def _of_space(state: str) -> Finding:
    space = os.statvfs(state)
    free = space.f_bavail * space.f_frsize
    message = f"{format_bytes(free)} free below {state}"
    if free < _SCARCE_BYTES:
        return Finding(check="state", verdict="wrong", message=message, mend="make space on that file system")
    return Finding(check="state", verdict="ok", message=message)


def _of_clock(now_ns: int, newest_ns: int) -> Finding:
    ahead = (newest_ns - now_ns) / 1e9
    if ahead > _AHEAD_SECONDS:
        return Finding(
            check="clock",
            verdict="wrong",
            message=f"the newest run began {format_seconds(ahead)} after now",
            mend="set this machine's clock; runs from the future look fresh for too long",
        )
    return Finding(check="clock", verdict="ok", message="not behind the newest run")


def _of_keys(
    states: Sequence[tuple[str, KeyState]], troubles: Sequence[KeyTrouble], belongs: Mapping[str, str]
) -> Iterator[Finding]:
    """belongs: path of a set's key."""
    for one in troubles:
        mend = one.mend or "take the key from its sheet: key prove"
        yield Finding(check="key", verdict="wrong", message=one.message, mend=mend)
    is_all_told = any(one.mend for one in troubles)
    told = {one.message.partition(":")[0] for one in troubles}
    for name, state in states:
        if state == "missing" and name not in told and not is_all_told:
            yield Finding(
                check="key",
                verdict="wrong",
                message=f"the key of {name} is not kept here: its next run can't write",
                mend=f"put it back as {belongs[name]}, then: bkctl key show {name}",
            )
    unproved = [name for name, state in states if state == "unproved"]
    if unproved:
        yield Finding(
            check="key",
            verdict="look",
            message=f"nobody proved a copy of the key of {', '.join(unproved)}",
            mend=f"print it: bkctl key sheet {unproved[0]}; then: bkctl key prove {unproved[0]}",
        )
    if states and all(state in ("proved", "unneeded") for _, state in states):
        yield Finding(check="key", verdict="ok", message="every set's key is kept and proved")


def _of_settings(warnings: Iterable[str]) -> Iterator[Finding]:
    found = list(warnings)
    for message in found:
        yield Finding(
            check="settings", verdict="wrong", message=message, mend="mend the file, then: bkctl config reload"
        )
    if not found:
        yield Finding(check="settings", verdict="ok", message="read without complaint")


def _of_sets(runs: Sequence[StoredSet], sets: Sequence[StoredSet], owners: Owners) -> Iterator[Finding]:
    if not runs and sets:
        told = nothing_runs(left_out(sets, owners), owners.name)
        is_of_others = not any(owners.is_own(one) for one in sets)
        yield Finding(
            check="sets", verdict="look" if is_of_others else "wrong", message=told.message, mend=told.hint
        )
    elif not runs:
        yield Finding(
            check="sets",
            verdict="wrong",
            message="no set is enabled: nothing is backed up",
            mend="bkctl set create NAME --source PATH --to DIRECTORY",
        )


ROUTES = [
    Route("GET", "/v1/doctor", "doctor show", WATCHERS, None, Examination, examine, "What is wrong with the daemon.")
]
