"""Documents of sets, destinations, notices, contacts: read, merged, held against the rules; faults with their line."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from backupd.command_errors import RunAsError
from backupd.destination.stores import check_known
from backupd.errors import BackupError, ConfigError, ConflictError
from backupd.model.notices import ContactText, NoticeText
from backupd.model.policies import PolicyArea, PolicyRule
from backupd.model.secret_references import SecretReference
from backupd.model.sets import ConfigDocument, ConfigText, DestinationText, SetText
from backupd.rules.definition_rules import check_destination, check_set, places_inside
from backupd.rules.filter_checking import filter_warnings
from backupd.rules.notice_rules import check_contact, check_notice
from backupd.rules.option_policy import filled, refuse
from backupd.rules.owner_rules import read_owner
from backupd.settings.accounts import reader_of
from backupd.settings.host import host_name
from backupd.settings.user_directories import unknown
from backupd.settings.yaml_text import Located, load_located
from backupd.settings.zone import find_zone

Definition = TypeVar("Definition", DestinationText, SetText, NoticeText, ContactText)


@dataclass(frozen=True, slots=True)
class Written(Generic[Definition]):
    """One definition of a document."""

    text: Definition
    document: Located[ConfigText]
    steps: tuple[str | int, ...]

    @property
    def where(self) -> str:
        """`FILE, line N`."""
        return self.document.where(*self.steps)

    def explained(self, error: BackupError) -> BackupError:
        """An error about this, with file and line; a conflict stays one, all else is a ConfigError."""
        where = self.document.where(*self.steps, *error.context.get("at", ()))
        kind = type(error) if isinstance(error, ConflictError) else ConfigError
        return kind(f"{where}: {error.message}", hint=error.hint, context={**error.context, "file": self.document.name})


@dataclass(slots=True)
class Documents:
    """What several documents say together."""

    names: list[str] = field(default_factory=list)
    empty: list[str] = field(default_factory=list)
    """Names of those that say nothing."""
    policy: Sequence[PolicyRule] = ()
    """What is laid down, and was filled in."""
    destinations: list[Written[DestinationText]] = field(default_factory=list)
    sets: list[Written[SetText]] = field(default_factory=list)
    notices: list[Written[NoticeText]] = field(default_factory=list)
    contacts: list[Written[ContactText]] = field(default_factory=list)
    errors: list[BackupError] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    """A sentence for each secret whose file is not there, and each user whom nobody knows."""

    @property
    def is_without_sets(self) -> bool:
        """Whether one of them says nothing, or none has a set."""
        return bool(self.empty) or not self.sets


def read(texts: Iterable[ConfigDocument], policy: Sequence[PolicyRule] = ()) -> Documents:
    """Read documents; looks at zones and secret files, too. Faults stand in `errors`."""
    found = Documents(policy=policy)
    for text in texts:
        found.names.append(text.name)
        try:
            document = load_located(text.text.encode(errors="surrogatepass"), ConfigText, text.name)
        except ConfigError as error:
            found.errors.append(error)
            continue
        value = document.value
        if not (value.destinations or value.sets or value.notices or value.contacts):
            found.empty.append(text.name)
        for at, destination in enumerate(value.destinations):
            place = Written(destination, document, ("destinations", at))
            found.destinations.append(_filled(place, "destinations", policy))
        for at, one in enumerate(value.sets):
            found.sets.append(_filled(Written(one, document, ("sets", at)), "sets", policy))
        for at, notice in enumerate(value.notices):
            found.notices.append(Written(notice, document, ("notices", at)))
        for at, contact in enumerate(value.contacts):
            found.contacts.append(Written(contact, document, ("contacts", at)))
    for written in found.sets:
        _look_around(written, found)
    for of_notice in found.notices:
        for name, secret in (("url_from", of_notice.text.url_from), ("secret", of_notice.text.secret)):
            _look_for_secret(of_notice, name, secret=secret, found=found)
    return found


def check(
    found: Documents, known: Mapping[str, DestinationText | None]
) -> tuple[list[Written[DestinationText]], list[Written[SetText]], list[BackupError]]:
    """All of them in their one spelling, and what is wrong with the others.

    known: destinations that are there already, by name; None: nobody knows the place here.
    """
    errors = list(found.errors)
    destinations: list[Written[DestinationText]] = []
    for written in found.destinations:
        try:
            checked = check_destination(written.text)
            check_known(checked.place)
            refuse(checked, "destinations", found.policy)
            destinations.append(Written(checked, written.document, written.steps))
        except BackupError as error:
            errors.append(written.explained(error))
    _refuse_twins(destinations, errors)
    together = {**known, **{one.text.name: one.text for one in destinations}}
    places: dict[str, str] = {}
    for name, text in together.items():
        if text is not None and text.pool is None and places.setdefault(text.place, name) != name:
            errors.append(_shared_place(destinations, text, places[text.place], name))
    # A destination with a fault of its own is no unknown one.
    together |= {one.text.name: None for one in found.destinations if one.text.name not in together}
    sets: list[Written[SetText]] = []
    for one in found.sets:
        try:
            whole = check_set(one.text, together)
            refuse(whole, "sets", found.policy)
            sets.append(Written(whole, one.document, one.steps))
        except BackupError as error:
            errors.append(one.explained(error))
    _refuse_twins(sets, errors)
    return destinations, sets, errors


def check_noticed(
    found: Documents, sets: Collection[str] | None
) -> tuple[list[Written[NoticeText]], list[Written[ContactText]], list[BackupError]]:
    """Notices and contacts in their one spelling, and what is wrong with the others.

    sets: names of all that there are; None: nobody knows here.
    """
    errors: list[BackupError] = []
    notices: list[Written[NoticeText]] = []
    contacts: list[Written[ContactText]] = []
    for written in found.notices:
        try:
            notices.append(Written(check_notice(written.text, sets), written.document, written.steps))
        except BackupError as error:
            errors.append(written.explained(error))
    for one in found.contacts:
        try:
            contacts.append(Written(check_contact(one.text), one.document, one.steps))
        except BackupError as error:
            errors.append(one.explained(error))
    _refuse_twins(notices, errors)
    _refuse_twins(contacts, errors)
    return notices, contacts, errors


def remarks(sets: Iterable[SetText], known: Mapping[str, DestinationText | None]) -> list[str]:
    """What is allowed and may still surprise."""
    return [line for one in sets for line in (*places_inside(one, known), *filter_warnings(one))]


def sentences(errors: Iterable[BackupError]) -> list[str]:
    """What is wrong and what helps, a line each."""
    return [one.message + f" ({one.hint})" * bool(one.hint) for one in errors]


def raise_all(errors: Sequence[BackupError]) -> None:
    """Raise the first of several errors, all of them in its context; does nothing without one."""
    if not errors:
        return
    first = errors[0]
    if len(errors) == 1:
        raise first
    more = f" (and {len(errors) - 1} more)"
    context = {**first.context, "problems": sentences(errors)}
    raise type(first)(first.message + more, hint=first.hint, context=context)


def _filled(
    written: Written[Definition], area: PolicyArea, policy: Sequence[PolicyRule]
) -> Written[Definition]:
    """A definition with what a policy lays down of what it does not say."""
    document, steps = written.document, written.steps
    text = filled(written.text, area, policy, lambda option: document.has(*steps, option))
    return Written(text, document, steps)


def _look_around(written: Written[SetText], found: Documents) -> None:
    try:
        if written.text.time_zone is not None:
            find_zone(written.text.time_zone, {})
    except BackupError as error:
        located = written.explained(type(error)(error.message, hint=error.hint, context={"at": ["time_zone"]}))
        found.errors.append(located)
    if is_elsewhere(written.text):
        # Of its users, and where its secrets lie, only that machine can tell.
        return
    _look_for_secret(written, "password", secret=written.text.password, found=found)
    for at, stream in enumerate(written.text.streams):
        _look_for_secret(written, "streams", at, "password", secret=stream.password, found=found)
    try:
        reader_of(written.text.run_as)
    except RunAsError as error:
        found.missing.append(f"{written.document.where(*written.steps, 'run_as')}: {error.message}")
    for at, word in enumerate(written.text.sources):
        trouble = unknown(word)
        if trouble:
            found.missing.append(f"{written.document.where(*written.steps, 'sources', at)}: {word}: {trouble}")


def is_elsewhere(text: SetText) -> bool:
    """Whether a set names another machine as its owner."""
    name = read_owner(text.owner).name if text.owner is not None else ""
    return bool(name) and name.casefold() != host_name().casefold()


def _look_for_secret(
    written: Written[SetText] | Written[NoticeText], *steps: str | int, secret: SecretReference | None, found: Documents
) -> None:
    """steps: the way from the definition to the secret."""
    # A file that is no absolute path is refused elsewhere, and may be the password itself.
    if secret is not None and secret.file is not None and os.path.isabs(secret.file) and not _is_there(secret):
        where = written.document.where(*written.steps, *steps, "file")
        found.missing.append(f"{where}: the secret's file {secret.file} is not there")


def _is_there(secret: SecretReference) -> bool:
    return secret.file is not None and "\0" not in secret.file and os.path.exists(secret.file)


def _refuse_twins(written: Sequence[Written[Definition]], errors: list[BackupError]) -> None:
    first: dict[str, Written[Definition]] = {}
    for one in written:
        earlier = first.setdefault(one.text.name.casefold(), one)
        if earlier is not one:
            error = ConfigError(
                f"{one.text.name} stands in {earlier.where} already",
                hint="a name is given once, in all files together",
                context={"at": ["name"]},
            )
            errors.append(one.explained(error))


def _shared_place(
    destinations: Sequence[Written[DestinationText]], text: DestinationText, first: str, second: str
) -> BackupError:
    """Two names of one place; the one that a document has is to blame."""
    written = next((one for one in destinations if one.text.name == second), None)
    other = first
    if written is None:
        written = next((one for one in destinations if one.text.name == first), None)
        other = second
    error = ConflictError(
        f"{text.place} is destination {other} already", hint=f"use {other}", context={"at": ["place"]}
    )
    return written.explained(error) if written is not None else error
