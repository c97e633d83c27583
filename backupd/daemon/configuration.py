"""The settings directory and what is in force of it: read at the start and at each reload, all of it or nothing.

With a fault in any file everything stays as it was, and `warnings` says what is wrong; at a start, too: sets are in the
catalog, and so are the last good settings.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec

from backupd.catalog.database import Database
from backupd.catalog.definitions import new_id
from backupd.catalog.facts import fact, put_fact
from backupd.clock import Clock
from backupd.daemon.config_plan import Known, Plan, Way, plan
from backupd.daemon.definitions import Definitions
from backupd.errors import BackupError, ConfigError, ConflictError, KeptInFileError, NotFoundError, UsageError
from backupd.model.api import Change, ConfigFileView, SettingView
from backupd.model.policies import PolicyRule
from backupd.model.sets import ConfigDocument
from backupd.settings import config_files
from backupd.settings.bandwidth import unknown_destinations
from backupd.settings.config_documents import Documents, raise_all, read
from backupd.settings.daemon_settings import DaemonSettings, entries, parse_settings, read_settings
from backupd.settings.policy_file import read_policies, with_policy
from backupd.settings.settings_edit import with_value
from backupd.settings.yaml_text import Located

_FACT, _POLICY_FACT = "settings", "policy"
_BY_ITSELF = "a file of conf.d"
"""Who changed what a start or a signal finds: nobody who called."""
_DEFAULTS = dict(entries(DaemonSettings()))

_log = logging.getLogger("backupd.settings")

_Fact = TypeVar("_Fact")


@dataclass(frozen=True, slots=True)
class _Found:
    """What lies in the settings directory."""

    settings: Located[DaemonSettings]
    policy: list[PolicyRule]
    documents: Documents
    warnings: list[str]


class Configuration:
    """What is in force. All on the event loop; files are read on other threads."""

    def __init__(
        self,
        directory: str,
        database: Database,
        definitions: Definitions,
        clock: Clock,
        hear_changes: Callable[[Mapping[str, Any], str], Awaitable[None]],
    ) -> None:
        """hear_changes: gets what files or documents changed of definitions, as `Plan` has it, and who did it."""
        self.directory, self._database, self._definitions, self._clock = directory, database, definitions, clock
        self._one_at_a_time = asyncio.Lock()
        self._followers: list[Callable[[DaemonSettings], None]] = []
        self._hear_changes = hear_changes
        self._located: Located[DaemonSettings] = Located(DaemonSettings(), config_files.settings_path(directory), None)
        self.policy: list[PolicyRule] = []
        """What root laid down of sets, destinations and settings."""
        self._kept: dict[str, str] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self.warnings: list[str] = []
        """What is wrong with the files; what they said before is in force. One list for good."""

    @property
    def settings(self) -> DaemonSettings:
        """Those of backupd.yaml that are in force."""
        return self._located.value

    def follow(self, adopt: Callable[[DaemonSettings], None]) -> None:
        """Have new settings told."""
        self._followers.append(adopt)

    async def start(self) -> None:
        """Read all; with a fault in it the last good state goes on. Raises nothing for what stands in files."""
        settings = await self._kept_before(_FACT, DaemonSettings)
        if settings is not None:
            self._located = Located(settings, self._located.name, None)
        self.policy = await self._kept_before(_POLICY_FACT, list[PolicyRule]) or []
        try:
            await self.reload()
        except (UsageError, ConflictError) as error:
            _log.warning("%s; the last good settings are in force", error.message)

    async def reload(self, user: str = _BY_ITSELF) -> Change:
        """Read all files again. Raises ConfigError, ConflictError: nothing has changed then; StateFullError.

        user: who wants it.
        """
        async with self._one_at_a_time:
            try:
                found = await asyncio.to_thread(_read_all, self.directory)
                made = await self._definitions.apply(self._maker(found.documents, found.policy, is_kept=True))
            except BackupError as error:
                problems = error.context.get("problems") or [error.message + f" ({error.hint})" * bool(error.hint)]
                self.warnings[:] = [f"{one}: the last good settings are in force" for one in problems]
                raise
            await self._hear_changes(made.changes, user)
            changes = _differences(self.settings, found.settings.value)
            self._located, self.policy = found.settings, found.policy
            await self._keep(_FACT, self.settings)
            await self._keep(_POLICY_FACT, self.policy)
            self.warnings[:] = [*found.warnings, *found.documents.missing, *made.against_policy]
            names = [one.text.name for one in self._definitions.destinations]
            self.warnings += unknown_destinations(self.settings.bandwidth, names)
            for adopt in self._followers:
                adopt(self.settings)
            changes |= made.changes
            return Change(changed=bool(changes), diff=changes, warnings=[*self.warnings, *made.warnings])

    def reload_soon(self, tell_done: Callable[[], None] = lambda: None) -> None:
        """As `reload`, on a signal; what is wrong goes to the log and to `warnings`."""
        task = asyncio.get_running_loop().create_task(self._reload_on_signal(tell_done))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _reload_on_signal(self, tell_done: Callable[[], None]) -> None:
        try:
            await self.reload()
        except BackupError as error:
            _log.warning("%s; the last good settings are in force", error.message)
        finally:
            tell_done()

    async def apply(self, texts: Sequence[ConfigDocument], user: str, *, prune: bool, dry_run: bool) -> Change:
        """Bring sets and destinations to what documents say. Raises UsageError, ConfigError, ConflictError.

        user: who wants it.
        """
        if any(one.holds == "settings" for one in texts):
            raise UsageError("backupd.yaml is not applied", hint="bkctl config set changes it")
        documents = await asyncio.to_thread(read, texts, self.policy)
        raise_all(documents.errors)
        if prune and documents.is_without_sets:
            empty = f"{documents.empty[0]} is empty" if documents.empty else "the documents have no set"
            hint = "leave --prune out, or name the sets to keep"
            raise UsageError(f"{empty}: that would disable all sets", hint=hint)
        if not dry_run:
            hint = "put it there first; --dry-run goes on without it"
            documents.errors += [ConfigError(one, hint=hint) for one in documents.missing]
        maker = self._maker(documents, self.policy, is_kept=False, prune=prune)
        made = await self._definitions.apply(maker, dry_run=dry_run)
        if not dry_run:
            await self._hear_changes(made.changes, user)
        warnings = [*documents.missing, *made.warnings]
        return Change(changed=bool(made.changes), diff=made.changes, dry_run=dry_run, warnings=warnings)

    async def set(self, key: str, value: str, user: str, *, dry_run: bool) -> Change:
        """Write a value into backupd.yaml, then reload. Raises UsageError, ConfigError, AccessError."""
        async with self._one_at_a_time:
            new = await asyncio.to_thread(self._edit, key, value, dry_run=dry_run)
            changes = _differences(self.settings, new)
        if not dry_run:
            try:
                await self.reload(user)
            except ConfigError as error:
                path = config_files.settings_path(self.directory)
                raise ConfigError(
                    f"{path} is written, but not yet in force: {error.message}", hint=error.hint, context=error.context
                ) from error
        return Change(changed=bool(changes), diff=changes, dry_run=dry_run)

    def setting_views(self) -> list[SettingView]:
        """Each setting in force with its origin."""
        views: list[SettingView] = []
        for steps, value in entries(self.settings):
            rule = next((one for one in self.policy if _is_of(one, steps)), None)
            if self._located.has(*steps):
                origin = self._located.where(*steps)
            elif rule is not None:
                origin = f"{rule.origin}: {rule.kind}"
            elif _DEFAULTS.get(steps) == value:
                origin = "default"
            else:
                origin = f"{self._located.name} as it was before it had a fault"
            views.append(SettingView(key=".".join(steps), value=msgspec.to_builtins(value), origin=origin))
        return views

    def file_views(self) -> list[ConfigFileView]:
        """The files of conf.d that something in the catalog comes from."""
        known = self._definitions
        files = {one.file for one in known.sets} | {one.file for one in known.destinations}
        files |= {one.file for one in known.notices} | {one.file for one in known.contacts}
        return [
            ConfigFileView(
                file=file,
                sets=[one.text.name for one in known.sets if one.file == file],
                destinations=[one.text.name for one in known.destinations if one.file == file],
                notices=[one.text.name for one in known.notices if one.file == file],
                contacts=[one.text.name for one in known.contacts if one.file == file],
            )
            for file in sorted(file for file in files if file is not None)
        ]

    def _maker(
        self, documents: Documents, policy: Sequence[PolicyRule], *, is_kept: bool, prune: bool = False
    ) -> Callable[[Known], Plan]:
        way = Way(is_kept=is_kept, prune=prune, policy=policy, new_id=new_id, now_ns=self._clock.now_ns())

        def make(known: Known) -> Plan:
            made, errors = plan(documents, known, way)
            raise_all(errors)
            return made

        return make

    def _edit(self, key: str, value: str, *, dry_run: bool) -> DaemonSettings:
        path = config_files.settings_path(self.directory)
        try:
            text = config_files.read_text(path)
        except NotFoundError:
            text = ""
        changed = with_value(text, key, value, path)
        found = with_policy(parse_settings(changed, path), self.policy)
        if not dry_run and changed != text:
            config_files.write_text(path, changed)
        return found.value

    async def _kept_before(self, name: str, kind: type[_Fact]) -> _Fact | None:
        """What was in force last; None: nothing was, or it is not understood."""
        text = await asyncio.wrap_future(self._database.read(fact, name))
        if text is None:
            return None
        self._kept[name] = text
        try:
            return msgspec.json.decode(text, type=kind)
        except msgspec.MsgspecError as error:
            # Another version had settings that this one does not know.
            _log.warning("the %s kept from before is not understood: %s", name, error)
            return None

    async def _keep(self, name: str, value: DaemonSettings | list[PolicyRule]) -> None:
        text = msgspec.json.encode(value).decode()
        if text != self._kept.get(name):
            await asyncio.wrap_future(self._database.write(put_fact, name, text))
            self._kept[name] = text


def _read_all(directory: str) -> _Found:
    """Read backupd.yaml and conf.d. Raises ConfigError with all problems."""
    errors: list[BackupError] = []
    policy: list[PolicyRule] = []
    settings: Located[DaemonSettings] | None = None
    texts: list[ConfigDocument] = []
    warnings: list[str] = []
    try:
        policy = read_policies(directory)
        settings = with_policy(read_settings(directory), policy)
    except (ConfigError, KeptInFileError) as error:
        errors.append(error)
    try:
        texts, warnings = config_files.read_definitions(directory)
    except BackupError as error:
        errors.append(error)
    documents = read(texts, policy)
    documents.errors[:0] = errors
    if settings is None:
        raise_all(documents.errors)
        raise AssertionError("settings that can't be read are an error")
    return _Found(settings, policy, documents, warnings)


def _is_of(rule: PolicyRule, steps: tuple[str, ...]) -> bool:
    """Whether a rule is about a setting, or about what holds it."""
    option = tuple(rule.option.split("."))
    return rule.area == "settings" and steps[: len(option)] == option


def _differences(old: DaemonSettings, new: DaemonSettings) -> dict[str, Any]:
    """Dotted key -> {from, to}, as a change of many things has it: below `settings`."""
    before, after = dict(entries(old)), dict(entries(new))
    fields = {
        ".".join(steps): {"from": before.get(steps, _DEFAULTS.get(steps)), "to": after.get(steps, _DEFAULTS.get(steps))}
        for steps in {**before, **after}
        if before.get(steps, _DEFAULTS.get(steps)) != after.get(steps, _DEFAULTS.get(steps))
    }
    return {"settings": fields} if fields else {}
