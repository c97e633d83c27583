"""Which machine a backup set belongs to, as its text says it; pure."""

from __future__ import annotations

import re

import msgspec

from backupd.errors import ConfigError, UsageError
from backupd.model.sets import OwnerText, SetText

MOST_AFTER = 16
"""Former owners that are told of."""
_MOST_NAME = 64
_ID = re.compile(r"[0-9a-f]{32}")

Owner = str | OwnerText


def read_owner(owner: Owner) -> OwnerText:
    """What is written as a word, taken apart."""
    if isinstance(owner, OwnerText):
        return owner
    return OwnerText(id=owner) if _ID.fullmatch(owner) else OwnerText(name=owner)


def written(owner: OwnerText) -> Owner:
    """In the one spelling: a word where that says it all."""
    if owner.after is not None or (owner.name and owner.id is not None):
        return owner
    return owner.name or owner.id or ""


def shown(owner: Owner | None) -> str:
    """As people call it; empty: this machine."""
    if owner is None:
        return ""
    found = read_owner(owner)
    return found.name or (found.id or "")[:8]


def host_word(owner: Owner) -> str:
    """Its name as a command takes it; HOST where only its id is known."""
    return read_owner(owner).name or "HOST"


def check_host(name: str) -> None:
    """Raises UsageError for what can't be the first label of a host's name."""
    if not name or len(name) > _MOST_NAME or not name.isprintable() or any(c.isspace() or c in "/:.\\" for c in name):
        raise UsageError(
            f"'{name[:_MOST_NAME]}' names no machine",
            hint="give what `hostname -s` says there, or its host id, 32 hex digits",
        )


def check_owner(set_name: str, owner: Owner | None) -> Owner | None:
    """The owner of a set's text in its one spelling. Raises ConfigError."""
    if owner is None:
        return None
    found = read_owner(owner)
    try:
        if found.id is not None and not _ID.fullmatch(found.id):
            raise UsageError(f"'{found.id[:40]}' is no host id", hint="it has 32 hex digits, in lower case")
        if found.name or found.id is None:
            check_host(found.name)
        for one in found.after or ():
            check_host(one)
        if len(found.after or ()) > MOST_AFTER:
            raise UsageError(f"{len(found.after or ())} former owners", hint=f"name {MOST_AFTER} at most")
    except UsageError as error:
        raise ConfigError(f"{set_name}: owner: {error.message}", hint=error.hint, context={"at": ["owner"]}) from error
    return written(found)


def is_same(one: Owner | None, other: Owner | None) -> bool:
    """Whether both say the same machine."""
    if one is None or other is None:
        return one is other
    left, right = read_owner(one), read_owner(other)
    if left.id is not None and right.id is not None:
        return left.id == right.id
    return bool(left.name) and left.name.casefold() == right.name.casefold()


def moved_sentence(text: SetText) -> str:
    """For who applies a text that gives a set another owner."""
    return f"{text.name} belongs to {shown(text.owner) or 'this machine'} from now on: no other machine runs it"


def succeeding(text: SetText, old: SetText, here: str, *, is_whole: bool = False) -> SetText:
    """A set's new text, with what it need not say of the owners before.

    here: name of this machine where the set was its own, else empty. A text that says just the owner that is known says
    nothing new of it: so the same document can be applied again and again. Without an owner it belongs to the machine
    where it is. is_whole: the old text stood in a file, so that an id that is left out of it was taken out.
    Raises ConfigError where nobody can tell whose history is to go on.
    """
    if text.owner is None:
        return text
    new = read_owner(text.owner)
    if new.after is not None:
        return text
    if is_same(text.owner, old.owner) and old.owner is not None:
        known = read_owner(old.owner)
        kept_id = None if is_whole and new.name else known.id
        owner = OwnerText(name=new.name or known.name, id=new.id or kept_id, after=known.after)
        return msgspec.structs.replace(text, owner=written(owner))
    former = read_owner(old.owner) if old.owner is not None else OwnerText()
    # Snapshots bear the name that the machine has now, or had.
    names = list(filter(None, dict.fromkeys([here, former.name, *(former.after or ())])))
    if not names:
        raise ConfigError(
            f"{text.name}: owner: the one before is known by its id alone, and what it stored by its name",
            hint="say what it was called: `owner: {name: NEW, after: [OLD]}`; or to begin anew: `after: []`",
            context={"at": ["owner"]},
        )
    kept = [name for name in names if name.casefold() != new.name.casefold()]
    owner = OwnerText(name=new.name, id=new.id, after=kept[:MOST_AFTER] or None)
    return msgspec.structs.replace(text, owner=written(owner))
