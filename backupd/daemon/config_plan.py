"""From what documents say and what is known to the changes that make both agree; pure. Ids survive, nothing is deleted.

What comes from conf.d carries its file. A set of conf.d that no file names any longer is disabled and left to commands;
a file that names a set made by command takes it over.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from backupd.catalog.definitions import (
    StoredContact,
    StoredDefinition,
    StoredDestination,
    StoredNotice,
    StoredSet,
)
from backupd.errors import BackupError, ConfigError, KeptInFileError, NameTakenError
from backupd.model.notices import ContactText, NoticeText
from backupd.model.policies import PolicyArea, PolicyRule
from backupd.model.sets import DestinationText, SetText
from backupd.operations.commands.accounts import command_warnings
from backupd.rules.definition_rules import check_set, difference
from backupd.rules.fixed_settings import refuse_fixed
from backupd.rules.notice_rules import check_notice, notice_difference, unmasked
from backupd.rules.option_policy import locked, refuse
from backupd.rules.owner_rules import is_same, moved_sentence, succeeding
from backupd.rules.pool_rules import check_members, with_place
from backupd.settings.config_documents import Documents, Written, check, check_noticed, remarks


@dataclass(frozen=True, slots=True)
class Known:
    """What the catalog holds before."""

    sets: Sequence[StoredSet]
    destinations: Sequence[StoredDestination]
    left: Collection[str]
    """Ids of those that came from a file of conf.d which names them no longer."""
    notices: Sequence[StoredNotice] = ()
    contacts: Sequence[StoredContact] = ()
    stored: Collection[str] = frozenset()
    """Ids of sets that have a repository somewhere."""
    here: str = ""
    """Name of this machine."""
    own: Collection[str] = frozenset()
    """Ids of the sets that belong to it."""


@dataclass(frozen=True, slots=True)
class Way:
    """How documents are to be taken."""

    is_kept: bool
    """They are the files of conf.d: each thing is kept in its file from now on."""
    prune: bool = False
    """Disable what was made by command and is in none of them."""
    policy: Sequence[PolicyRule] = ()
    """What root laid down; brought to the definitions that are there already, too, where documents are kept."""
    new_id: Callable[[str], str] = field(kw_only=True)
    now_ns: int = field(kw_only=True)


@dataclass(slots=True)
class Plan:
    """What is to be written, and what it means."""

    sets: list[StoredSet] = field(default_factory=list)
    destinations: list[StoredDestination] = field(default_factory=list)
    notices: list[StoredNotice] = field(default_factory=list)
    contacts: list[StoredContact] = field(default_factory=list)
    changes: dict[str, Any] = field(default_factory=dict)
    """`set/NAME`, `destination/NAME`, `notice/NAME` or `contact/NAME` -> field -> {from, to}."""
    warnings: list[str] = field(default_factory=list)
    against_policy: list[str] = field(default_factory=list)
    """A sentence for each definition that can't be as root laid down."""
    left: frozenset[str] = frozenset()


def plan(documents: Documents, known: Known, way: Way) -> tuple[Plan, list[BackupError]]:
    """What has to change, and all that is wrong; with an error nothing is to be written."""
    before = {one.text.name: one.text for one in known.destinations}
    destinations, sets, errors = check(documents, before)
    made = Plan(left=frozenset(known.left))
    for destination in destinations:
        _take(destination, known.destinations, known, way, made, errors)
    for written in sets:
        _take(written, known.sets, known, way, made, errors)
    after = {**before, **{one.text.name: one.text for one in destinations}}
    _check_pools(known, destinations, sets, after, errors)
    _check_users(known, {one.text.name for one in sets}, {one.id: one for one in made.destinations}, after, errors)
    named = {one.text.name for one in sets}
    notices, contacts = _take_noticed(documents, known, way, made, errors)
    written_ids = {one.id for one in made.sets} | {one.id for one in made.destinations}
    for stored in known.sets:
        is_gone = stored.file is not None if way.is_kept else (way.prune and stored.file is None)
        if is_gone and stored.text.name not in named:
            _disable(stored, made)
    if way.is_kept:
        for notice in known.notices:
            if notice.file is not None and notice.text.name not in notices:
                _disable(notice, made)
        made.left = _left(known, named, {one.text.name for one in destinations}, notices, contacts)
        _bring_policy(known, way, made, after, written_ids)
    made.warnings += [*remarks((one.text for one in sets), after)]
    made.warnings += [line for one in sets for line in command_warnings(one.text)]
    return made, errors


def _take_noticed(
    documents: Documents, known: Known, way: Way, made: Plan, errors: list[BackupError]
) -> tuple[set[str], set[str]]:
    """Notices and contacts of the documents; gives the names of both."""
    all_sets = {one.text.name for one in known.sets} | {one.text.name for one in documents.sets}
    notices, contacts, wrong = check_noticed(documents, all_sets)
    errors += wrong
    for notice in notices:
        old = next((one.text for one in known.notices if one.text.name == notice.text.name), None)
        try:
            # Only now it is seen whether the rest of the text suits the address.
            text = check_notice(unmasked(notice.text, old), all_sets)
            whole = Written(text, notice.document, notice.steps)
        except BackupError as error:
            errors.append(notice.explained(error))
            continue
        _take(whole, known.notices, known, way, made, errors)
    for contact in contacts:
        _take(contact, known.contacts, known, way, made, errors)
    return {one.text.name for one in notices}, {one.text.name for one in contacts}


def _take(
    written: Written[Any], stored: Sequence[Any], known: Known, way: Way, made: Plan, errors: list[BackupError]
) -> None:
    """One definition of a document: new, changed or as it was."""
    text = written.text
    if isinstance(text, DestinationText):
        text = _placed(text, stored)
    file = written.document.name if way.is_kept else None
    old = next((one for one in stored if one.text.name == text.name), None)
    if old is None:
        twin = next((one for one in stored if one.text.name.casefold() == text.name.casefold()), None)
        if twin is not None:
            message = f"the name {text.name} is taken: there is {twin.text.name}"
            errors.append(written.explained(NameTakenError(message, hint="choose another one")))
            return
        _put(_new(text, file, way), made, {**_difference(None, text), **_moved(None, file)})
        return
    if isinstance(text, SetText):
        try:
            here = known.here if old.id in known.own else ""
            text = succeeding(text, old.text, here, is_whole=old.file is not None)
        except BackupError as error:
            errors.append(written.explained(error))
            return
        if not is_same(text.owner, old.text.owner):
            made.warnings.append(moved_sentence(text))
    changes = _difference(old.text, text)
    if not way.is_kept and old.file is not None and old.id not in known.left:
        if changes:
            hint = "change it there, then: bkctl config reload"
            errors.append(written.explained(KeptInFileError(f"{text.name} stands in {old.file}", hint=hint)))
        return
    if old.id in known.stored and isinstance(text, SetText):
        try:
            refuse_fixed(old.text, text)
        except BackupError as error:
            errors.append(written.explained(error))
            return
    changes |= _moved(old.file, file)
    if changes:
        made.left -= {old.id}
        _put(msgspec.structs.replace(old, text=text, file=file), made, changes)


def _placed(text: DestinationText, stored: Sequence[StoredDestination]) -> DestinationText:
    """A pool that is there already with its address; a new one gets it with its id."""
    old = next((one for one in stored if one.text.name == text.name), None)
    return with_place(text, old.id) if old is not None else text


def _difference(old: Any, new: Any) -> dict[str, Any]:
    return notice_difference(old, new) if isinstance(new, NoticeText) else difference(old, new)


def _new(text: SetText | DestinationText | NoticeText | ContactText, file: str | None, way: Way) -> StoredDefinition:
    if isinstance(text, SetText):
        return StoredSet(id=way.new_id("b"), text=text, file=file, created_ns=way.now_ns)
    if isinstance(text, NoticeText):
        return StoredNotice(id=way.new_id("n"), text=text, file=file, created_ns=way.now_ns)
    if isinstance(text, ContactText):
        return StoredContact(id=way.new_id("c"), text=text, file=file, created_ns=way.now_ns)
    identity = way.new_id("d")
    return StoredDestination(id=identity, text=with_place(text, identity), file=file, created_ns=way.now_ns)


def _put(stored: StoredDefinition, made: Plan, changes: dict[str, Any]) -> None:
    match stored:
        case StoredSet():
            made.sets.append(stored)
            kind = "set"
        case StoredDestination():
            made.destinations.append(stored)
            kind = "destination"
        case StoredNotice():
            made.notices.append(stored)
            kind = "notice"
        case StoredContact():
            made.contacts.append(stored)
            kind = "contact"
    made.changes[f"{kind}/{stored.text.name}"] = changes


def _disable(stored: StoredSet | StoredNotice, made: Plan) -> None:
    if stored.text.enabled:
        text: SetText | NoticeText = msgspec.structs.replace(stored.text, enabled=False)
        _put(msgspec.structs.replace(stored, text=text), made, {"enabled": {"from": True, "to": False}})


def _moved(old: str | None, new: str | None) -> dict[str, Any]:
    return {"kept_in": {"from": old, "to": new}} if old != new else {}


def _bring_policy(
    known: Known, way: Way, made: Plan, after: Mapping[str, DestinationText], written: Collection[str]
) -> None:
    """What is locked holds of all; what can't follow, or is none of those allowed, is told.

    written: ids of what the documents changed, by the policy.
    """
    disabled = {one.id: one for one in made.sets if one.id not in written}
    existing: list[StoredSet | StoredDestination] = [*known.sets, *known.destinations]
    for before in existing:
        if before.id in written:
            continue
        stored = disabled.get(before.id, before)
        text, against = _as_laid_down(stored.text, way.policy, after, is_stored=stored.id in known.stored)
        made.against_policy += against
        if text != stored.text:
            made.sets = [one for one in made.sets if one.id != stored.id]
            _put(msgspec.structs.replace(stored, text=text), made, difference(before.text, text))


def _as_laid_down(
    text: SetText | DestinationText,
    rules: Sequence[PolicyRule],
    after: Mapping[str, DestinationText],
    *,
    is_stored: bool,
) -> tuple[SetText | DestinationText, list[str]]:
    """A text as all rules want it, or as many as it can follow; a sentence for each of the others."""
    try:
        return _following(text, rules, after, is_stored=is_stored), []
    except BackupError:
        left = list(rules)
    while True:
        against: list[tuple[PolicyRule, str]] = []
        for rule in left:
            try:
                text = _following(text, [rule], after, is_stored=is_stored)
            except BackupError as error:
                against.append((rule, f"{error.message}: against {rule.origin}, it stays as it is"))
        # One that needs another may stand before that.
        if len(against) == len(left):
            return text, [sentence for _, sentence in against]
        left = [rule for rule, _ in against]


def _following(
    old: SetText | DestinationText,
    rules: Sequence[PolicyRule],
    after: Mapping[str, DestinationText],
    *,
    is_stored: bool,
) -> SetText | DestinationText:
    """A text as rules want it. Raises BackupError: it can't be so."""
    area: PolicyArea = "sets" if isinstance(old, SetText) else "destinations"
    new = locked(old, area, rules)
    if isinstance(old, SetText) and isinstance(new, SetText) and new != old:
        if is_stored:
            refuse_fixed(old, new)
        new = check_set(new, after)
    refuse(new, area, rules)
    return new


def _left(known: Known, *named: Collection[str]) -> frozenset[str]:
    """named: of sets, destinations, notices and contacts, what files name."""
    every: tuple[Sequence[StoredDefinition], ...] = (known.sets, known.destinations, known.notices, known.contacts)
    return frozenset(
        one.id
        for stored, names in zip(every, named, strict=True)
        for one in stored
        if one.file is not None and one.text.name not in names
    )


def _check_pools(
    known: Known,
    destinations: Sequence[Written[DestinationText]],
    sets: Sequence[Written[SetText]],
    after: Mapping[str, DestinationText],
    errors: list[BackupError],
) -> None:
    """Pools of documents need members that are there, and that no set uses past them."""
    texts = {**{one.text.name: one.text for one in known.sets}, **{one.text.name: one.text for one in sets}}
    for written in destinations:
        try:
            check_members(written.text, after, texts.values())
        except BackupError as error:
            errors.append(written.explained(error))


def _check_users(
    known: Known,
    named: Collection[str],
    changed: Mapping[str, StoredDestination],
    after: Mapping[str, DestinationText],
    errors: list[BackupError],
) -> None:
    """Sets that no document names may not fit the new place of a destination that they use."""
    names = {one.text.name for one in changed.values()}
    for stored in known.sets:
        if stored.text.name in named or not names & set(stored.text.to) or not stored.text.enabled:
            continue
        try:
            check_set(stored.text, after)
        except BackupError as error:
            errors.append(ConfigError(error.message, hint=error.hint))
