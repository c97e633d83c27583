"""How much parity new blocks get: what the repository was made with, or what its sets want by now (FEATURES 5.6).

A set's runs say in their snapshots what it wants, so who writes blocks on its behalf later knows it, too.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

import msgspec

from backupd.errors import DamageError, KeyMissingError, NewerVersionError, ObjectMissingError
from backupd.model.structs import Struct
from backupd.repository.opening import OpenRepository
from backupd.repository.records import Records
from backupd.sizes import MOST_PARITY
from backupd.wire.malformed import MALFORMED


class _Settings(Struct, frozen=True):
    """Of the settings of a snapshot what is read here."""

    parity: int | None = None


def with_parity(repository: OpenRepository, percent: int | None) -> OpenRepository:
    """The same, to write blocks with so much parity. None: with what it was made with."""
    keyring = repository.keyring
    if percent is None or percent == keyring.configuration.parity:
        return repository
    configuration = msgspec.structs.replace(keyring.configuration, parity=percent)
    return msgspec.structs.replace(repository, keyring=msgspec.structs.replace(keyring, configuration=configuration))


def wanted_of(settings: Iterable[str]) -> int | None:
    """The most that sets want by the settings of their newest snapshots; None: none of them says."""
    found: list[int] = []
    for text in settings:
        with suppress(*MALFORMED):
            said = msgspec.json.decode(text, type=_Settings).parity
            if said is not None and 0 <= said <= MOST_PARITY:
                found.append(said)
    return max(found, default=None)


def wanted_there(records: Records) -> int | None:
    """The same of all sets of a repository. What can't be read says nothing here."""
    newest = {name.set_id: name.name for name in records.snapshot_names()}
    settings: list[str] = []
    for name in newest.values():
        with suppress(DamageError, KeyMissingError, NewerVersionError, ObjectMissingError):
            settings.append(records.snapshot(name).settings)
    return wanted_of(settings)
