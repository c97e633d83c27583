"""The API's verbs on backup sets."""

from __future__ import annotations

import asyncio
import functools
import os
from collections.abc import Mapping

import msgspec

from backupd.catalog.definitions import StoredSet
from backupd.daemon import one_disk
from backupd.daemon.conditions import untold
from backupd.daemon.definitions import Definitions
from backupd.daemon.gate import ADMINS, EVERYONE
from backupd.daemon.hanging import Asking
from backupd.daemon.route import Call, Route
from backupd.daemon.run_as import refuse_user
from backupd.daemon.set_origins import origins_of
from backupd.daemon.shortcuts import refuse_unknown, views_of, with_paths
from backupd.errors import BusyError, ConfigError, UsageError
from backupd.model.api import Change, EditSet, RepositoryView, SetChange, SetList, SetView
from backupd.model.places import inside
from backupd.model.sets import SetText
from backupd.model.shortcuts import ShortcutView
from backupd.operations.commands.accounts import command_warnings
from backupd.rules.definition_rules import check_set, places_inside
from backupd.rules.filter_checking import filter_warnings
from backupd.rules.option_policy import by_policy, refuse
from backupd.settings import directories
from backupd.settings.zone import find_zone
from backupd.source.live_search import live_warnings

_LOOK_SECONDS = 2.0
_asking = Asking()


def view(stored: StoredSet, known: Definitions, shortcuts: list[ShortcutView] | None = None) -> SetView:
    """A set as the API shows it. shortcuts: what they mean now."""
    places = {one.id: one.text for one in known.destinations}
    return SetView(
        id=stored.id,
        text=stored.text,
        file=stored.file,
        created_ns=stored.created_ns,
        repositories=[
            RepositoryView(
                destination=places[one.destination_id].name,
                repository=one.repository,
                place=inside(places[one.destination_id].place, one.repository),
            )
            for one in known.repositories
            if one.set_id == stored.id and one.destination_id in places
        ],
        shortcuts=shortcuts,
        owner=known.owners.view(stored),
    )


async def list_sets(call: Call) -> SetList:
    """All sets."""
    known = call.services.definitions
    return SetList(sets=[view(one, known) for one in known.sets])


async def show_set(call: Call) -> SetView:
    """One set."""
    known = call.services.definitions
    stored = known.set(call.path["set"])
    shown = view(stored, known, await views_of(stored.text, call.services.environment))
    configuration = call.services.configuration
    origins = origins_of(stored, configuration.policy, configuration.setting_views())
    gap = call.services.scheduler.ahead.gap_of(stored.text)
    limit = 2 * int(gap.total_seconds()) if gap is not None else None
    return msgspec.structs.replace(shown, origins=origins, limit_seconds=limit)


async def create_set(call: Call) -> SetChange:
    """Make a set."""
    known, edit = call.services.definitions, call.body
    policy, places = call.services.configuration.policy, known.places
    check = functools.partial(check_set, destinations=places)
    # Patterns by the thousand take seconds.
    text = await asyncio.to_thread(by_policy, edit.text, "sets", policy, edit.said, check)
    await refuse_unknown(text)
    await refuse_user(text)
    await _refuse_zone(text)
    made = await known.add_set(text, dry_run=edit.dry_run)
    shortcuts = await views_of(made.text, call.services.environment)
    warnings = await _about_places(made.text, shortcuts, known)
    warnings += await asyncio.to_thread(command_warnings, made.text)
    warnings += await asyncio.to_thread(filter_warnings, made.text)
    warnings += await _live_warnings(with_paths(made.text, shortcuts), call.services.environment)
    warnings += await untold([made.text], call.services.environment)
    change = Change(changed=True, dry_run=edit.dry_run, warnings=warnings)
    return SetChange(set=view(made, known, shortcuts), change=change)


async def _refuse_zone(text: SetText, old: SetText | None = None) -> None:
    """Raises ConfigError for a time zone that is none. old: of what was there, nothing is said."""
    if text.time_zone is None or (old is not None and text.time_zone == old.time_zone):
        return
    try:
        await asyncio.to_thread(find_zone, text.time_zone, {})
    except UsageError as error:
        at = {"at": ["time_zone"]}
        raise ConfigError(f"{text.name}: {error.message}", hint=error.hint, context=at) from error


async def edit_set(call: Call) -> SetChange:
    """Give a set a new text."""
    known, edit = call.services.definitions, call.body
    stored = known.set(call.path["set"])
    call.services.scheduler.ahead.refuse_past(edit.text, stored.text)
    text = await asyncio.to_thread(check_set, edit.text, known.places)
    refuse(text, "sets", call.services.configuration.policy, stored.text)
    await refuse_unknown(text, stored.text)
    await refuse_user(text, stored.text)
    await _refuse_zone(text, stored.text)
    made, changes = await known.change_set(stored, edit.text, dry_run=edit.dry_run)
    shortcuts = await views_of(made.text, call.services.environment)
    warnings: list[str] = []
    if changes.keys() & {"sources", "to", "without"}:
        warnings = await _about_places(made.text, shortcuts, known)
    if "commands" in changes:
        warnings += await asyncio.to_thread(command_warnings, made.text)
    if changes.keys() & {"filters", "unmatched", "only_types", "never_types"}:
        warnings += await asyncio.to_thread(filter_warnings, made.text)
    if changes.keys() & {"sources", "without", "filters", "streams", "tolerate", "fs_snapshot"}:
        warnings += await _live_warnings(with_paths(made.text, shortcuts), call.services.environment)
    if "conditions" in changes:
        warnings += await untold([made.text], call.services.environment)
    call.services.scheduler.nudge()
    change = Change(changed=bool(changes), diff=changes, dry_run=edit.dry_run, warnings=warnings)
    return SetChange(set=view(made, known, shortcuts), change=change)


async def _about_places(text: SetText, shortcuts: list[ShortcutView], known: Definitions) -> list[str]:
    """Warnings about where the sources and destinations of a set lie."""
    found = [f"{text.name}: {one.word}: {one.message}" for one in shortcuts if one.message]
    meant = with_paths(text, shortcuts)
    return [*found, *places_inside(meant, known.places), *await one_disk.warnings(meant, known)]


async def _live_warnings(text: SetText, environment: Mapping[str, str]) -> list[str]:
    """Of a share whose server is gone nobody waits for an answer."""
    found = directories.find(environment)
    own = frozenset(os.fsencode(os.path.realpath(one)) for one in (found.state, found.cache, found.temporary))
    look = functools.partial(live_warnings, text, own)
    try:
        return await _asking.answered(msgspec.json.encode(text), look, _LOOK_SECONDS)
    except TimeoutError:
        return []


async def remove_set(call: Call) -> Change:
    """Forget a set; what it stored stays."""
    services = call.services
    stored = services.definitions.set(call.path["set"])
    busy = services.jobs.is_busy(stored.id)
    if busy is not None:
        raise BusyError(
            f"job {busy.stored.id[:9]} of {stored.text.name} is under way",
            hint=f"bkctl job cancel {busy.stored.id[:9]}, or wait for it",
        )
    await services.definitions.remove_set(stored)
    return Change(changed=True)


ROUTES = [
    Route("GET", "/v1/sets", "set list", EVERYONE, None, SetList, list_sets, "List sets."),
    Route("POST", "/v1/sets", "set create", ADMINS, EditSet, SetChange, create_set, "Make a set."),
    Route("GET", "/v1/sets/{set}", "set show", EVERYONE, None, SetView, show_set, "Show a set."),
    Route("PUT", "/v1/sets/{set}", "set edit", ADMINS, EditSet, SetChange, edit_set, "Change a set."),
    Route("DELETE", "/v1/sets/{set}", "set delete", ADMINS, None, Change, remove_set, "Forget a set."),
]
