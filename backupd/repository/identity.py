"""What makes a place a repository: `once.json`, `repository.json` and its twin."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from datetime import UTC
from typing import Any

from blake3 import blake3

from backupd.clock import to_datetime
from backupd.destination.contract import Destination
from backupd.errors import (
    ConflictError,
    DamageError,
    FormatError,
    NewerVersionError,
    ObjectExistsError,
    ObjectMissingError,
    PlaceOccupiedError,
    RepositoryNotFoundError,
    UsageError,
)

_ID = re.compile(r"r[0-9a-f]{32}")
_MAX_TEXT_BYTES = 64 << 10
TWINS = ("repository.json", "repository.json.2")


def id_text(repository_id: bytes) -> str:
    """`r` and 32 hex digits."""
    return "r" + repository_id.hex()


def is_id_text(text: str) -> bool:
    """Whether a name is a repository's id."""
    return _ID.fullmatch(text) is not None


def place_tag(shown: str) -> str:
    """16 hex digits that tell places apart in this host's cache directory. shown: path or URL."""
    return blake3(shown.encode(errors="surrogateescape")).hexdigest(8)


def write_identity(place: Destination, repository_id: bytes, keyring: str, now_ns: int) -> None:
    """Make a repository's text objects: from then on it is one. keyring: name of its first keyring.

    Raises ConflictError when another maker of the same repository was first.
    """
    text = json.dumps(
        {
            "magic": "backupd repository",
            "version": 1,
            "required": [],
            "optional": [],
            "id": id_text(repository_id),
            "keyring": keyring,
            "created": to_datetime(now_ns).astimezone(UTC).isoformat(timespec="seconds"),
        }
    ).encode()
    for twin in TWINS:
        name = f"{id_text(repository_id)}/{twin}"
        try:
            place.put(name, [text])
        except ObjectExistsError as error:
            if _read_text(place, name, "backupd repository").get("keyring") != keyring:
                raise ConflictError(
                    "another run made the repository at the same moment", hint="run it again: it uses that one"
                ) from error


def complete_twins(place: Destination, repository: str) -> None:
    """Make the second text object of a repository whose maker was stopped between the two."""
    first, second = (f"{repository}/{twin}" for twin in TWINS)
    if place.size(second) is None and _is_whole(place, first, repository):
        # Another run may do the same at this moment, with the same bytes.
        with suppress(ObjectExistsError):
            place.put(second, [place.get(first, 0, _MAX_TEXT_BYTES)])


def first_keyrings(below: Destination) -> set[str]:
    """What the text objects that are whole call a repository's first keyring, seen from its own folder.

    One name; two where a digit of one twin is damaged; none where neither is whole, or nobody knows.
    """
    names: set[str] = set()
    for twin in TWINS:
        try:
            found = _read_text(below, twin, "backupd repository").get("keyring")
        except (ObjectMissingError, FormatError, NewerVersionError):
            continue
        if isinstance(found, str) and found:
            names.add(found)
    return names


def read_identity(place: Destination, repository: str) -> list[str]:
    """Check a repository's text objects; returns warnings, as when only the twin is whole.

    Raises NewerVersionError, DamageError when neither is whole.
    """
    warnings: list[str] = []
    for twin in TWINS:
        name = f"{repository}/{twin}"
        try:
            found = _read_text(place, name, "backupd repository")
            if found.get("id") != repository:
                raise FormatError(f"{name} names another repository")
        except (ObjectMissingError, FormatError) as error:
            warnings.append(f"{error.message}; its twin is used" if twin == TWINS[0] else error.message)
            continue
        except NewerVersionError as error:
            # A newer program writes both; one alone is a damaged digit.
            if twin == TWINS[0] and _is_whole(place, f"{repository}/{TWINS[1]}", repository):
                return [f"{error.message}, but its twin is not: the twin is used"]
            raise
        return warnings if twin != TWINS[0] else []
    raise DamageError(
        f"neither {' nor '.join(TWINS)} of {repository} is whole: {'; '.join(warnings)}",
        hint="copy one of the two from another destination of this repository",
    )


def _is_whole(place: Destination, name: str, repository: str) -> bool:
    try:
        return bool(_read_text(place, name, "backupd repository").get("id") == repository)
    except (ObjectMissingError, FormatError, NewerVersionError):
        return False


def damaged_twins(place: Destination, repository: str) -> dict[str, str]:
    """What is wrong with either of a repository's text objects: message by name. Raises NewerVersionError."""
    found: dict[str, str] = {}
    for twin in TWINS:
        try:
            if _read_text(place, f"{repository}/{twin}", "backupd repository").get("id") != repository:
                raise FormatError(f"{repository}/{twin} names another repository")
        except (ObjectMissingError, FormatError) as error:
            found[twin] = error.message
    first, second = (f"{repository}/{twin}" for twin in TWINS)
    if not found and place.get(first, 0, _MAX_TEXT_BYTES) != place.get(second, 0, _MAX_TEXT_BYTES):
        found[TWINS[1]] = f"{first} and its twin differ: one of them is damaged"
    return found


def reserve_once(place: Destination, repository_id: bytes) -> str:
    """Make `once.json` if absent; returns the id of the repository that it names, ours or an earlier one's."""
    text = {"magic": "backupd once", "version": 1, "repository": id_text(repository_id)}
    try:
        place.put("once.json", [json.dumps(text).encode()])
    except ObjectExistsError:
        return read_once(place) or id_text(repository_id)
    return id_text(repository_id)


def read_once(place: Destination) -> str | None:
    """The repository that `once` uses at this place, None when none was chosen. Raises FormatError."""
    try:
        repository = _read_text(place, "once.json", "backupd once").get("repository")
    except ObjectMissingError:
        return None
    except FormatError as error:
        # Of this object alone: a damaged repository.json must never be removed.
        hint = "where no repository lies beside it, nothing is lost: remove it, or name another place"
        raise FormatError(error.message, hint=hint) from error
    if not isinstance(repository, str) or not _ID.fullmatch(repository):
        raise FormatError("once.json names no repository")
    return repository


def list_repositories(place: Destination, top_names: list[str]) -> list[str]:
    """Ids among the names at the top of a place that are repositories."""
    found = sorted(name for name in top_names if _ID.fullmatch(name))
    return [name for name in found if any(place.size(f"{name}/{twin}") is not None for twin in TWINS)]


def check_is_ours(place: Destination, top_names: list[str]) -> None:
    """Refuse to make a repository among foreign things. Raises PlaceOccupiedError."""
    # backupd-probe: of tests of the store (destination.trial).
    ours = ("once.json", "tmp", "lost+found", "backupd-probe")
    foreign = sorted(n for n in top_names if n not in ours and not _ID.fullmatch(n))
    if foreign:
        raise PlaceOccupiedError(
            f"{place.shown} holds something else: {', '.join(foreign[:3])}{' …' if len(foreign) > 3 else ''}",
            hint="name an empty or new directory for the backups",
        )


def choose(place: Destination, top_names: list[str]) -> str:
    """The repository at a place that commands mean. Raises RepositoryNotFoundError; UsageError: there are several."""
    repositories = list_repositories(place, top_names)
    try:
        once = read_once(place) if "once.json" in top_names else None
    except FormatError:
        # It only says which of several is meant.
        if len(repositories) != 1:
            raise
        once = None
    if once in repositories:
        return str(once)
    if not repositories:
        raise RepositoryNotFoundError(
            f"no repository in {place.shown}", hint=f"make one with: bkctl once PATH... --to {place.shown}"
        )
    if len(repositories) > 1:
        raise UsageError(
            f"{len(repositories)} repositories in {place.shown}",
            hint="name one of them as PLACE/ID",
            context={"candidates": repositories},
        )
    return repositories[0]


def _read_text(place: Destination, name: str, magic: str) -> dict[str, Any]:
    try:
        found = json.loads(place.get(name, 0, _MAX_TEXT_BYTES))
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{name} is truncated or damaged") from error
    if not isinstance(found, dict) or found.get("magic") != magic:
        raise FormatError(f"{name} is not what its name says")
    if found.get("version") != 1 or found.get("required"):
        raise NewerVersionError(
            f"{name} was written by a newer version (format {found.get('version')})",
            hint="update this program; nothing was touched",
        )
    return found
