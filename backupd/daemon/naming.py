"""Names of what the daemon keeps: found by, taken, and the ids behind them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from backupd.catalog import definitions as rows
from backupd.catalog.definitions import StoredContact, StoredDefinition, StoredDestination, StoredNotice, StoredSet
from backupd.errors import NameTakenError, NotFoundError
from backupd.rules import names

Stored = TypeVar("Stored", StoredSet, StoredDestination, StoredNotice, StoredContact)
_NOUNS = {"b": "set", "d": "destination", "n": "notice", "c": "contact"}


def pick(word: str, stored: Sequence[Stored], letter: str, missing: type[NotFoundError]) -> Stored:
    """By name, id or the begin of one. letter: of ids of its kind. Raises `missing`, AmbiguousNameError."""
    for one in stored:
        if one.text.name == word:
            return one
    if names.is_id(word, letter):
        identity = names.match_prefix(word, [one.id for one in stored], missing)
        return next(one for one in stored if one.id == identity)
    what = _NOUNS[letter]
    raise missing(
        f"no {what} is called '{word}'",
        hint=f"bkctl {what} list shows what there is",
        context={"candidates": [one.text.name for one in stored]},
    )


def refuse_taken(name: str, others: Sequence[StoredDefinition]) -> None:
    """Raises NameTakenError where one of the others is called so."""
    if any(one.text.name.casefold() == name.casefold() for one in others):
        raise NameTakenError(f"the name {name} is taken", hint="choose another one")


def new_id(letter: str, *, is_dry: bool) -> str:
    """A new id; of what is only shown, none that could be taken for one."""
    return letter + "0" * 32 if is_dry else rows.new_id(letter)
