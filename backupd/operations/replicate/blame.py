"""Which of the two places an error is about: it stands in the message and in the context."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from backupd.errors import (
    BackupError,
    ConflictError,
    DamageError,
    DestinationError,
    KeyMissingError,
    NewerVersionError,
    NotFoundError,
    WrongKeyError,
)

_OF_A_PLACE = (
    ConflictError,
    DamageError,
    DestinationError,
    KeyMissingError,
    NewerVersionError,
    NotFoundError,
    WrongKeyError,
)
"""Not a stop, nor what is wrong with this host's own state."""


@contextmanager
def told_of(place: str) -> Iterator[None]:
    """Errors of the block are of this place; one that was told of a place already stays as it is."""
    try:
        yield
    except _OF_A_PLACE as error:
        blame(error, place)
        raise


def blame(error: BackupError, place: str) -> None:
    """Say in an error which place it is about."""
    if "destination" not in error.context:
        error.context = {**error.context, "destination": place}
        error.message = f"{place}: {error.message}"
