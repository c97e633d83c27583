"""Errors at the door of a store that is no directory: each says what its user can do about it.

They are of the family of `backupd.errors.DestinationError` where the store failed, of UsageError where it was asked
wrongly. `context` may hold `retry_after_seconds` where a store said when to come again.
"""

from __future__ import annotations

from backupd.errors import AnswerNeededError, DestinationError, DestinationFullError, UsageError


class StoreDoorError(DestinationError):
    """All of a store is shut, not one object of it; base of what its owner or this machine's settings can mend."""

    code = "destination.door"
    retryable = False


class StoreLoginError(StoreDoorError):
    """The store does not take the login, or there is none."""

    code = "destination.login"


class StoreFolderError(StoreDoorError):
    """The bucket, share or directory that holds the place is not there."""

    code = "destination.folder"


class HostKeyUnknownError(AnswerNeededError):
    """Nothing vouches for the server's SSH key; its fingerprint stands in the context."""

    code = "destination.host_key_unknown"


class HostKeyChangedError(StoreDoorError):
    """The server shows another SSH key than the known one: another machine, or somebody in between."""

    code = "destination.host_key_changed"


class CertificateError(StoreDoorError):
    """The server's certificate is expired, for another name, or vouched for by nobody known here."""

    code = "destination.certificate"


class StoreClockError(StoreDoorError):
    """The store refuses requests because this machine's clock and its own differ."""

    code = "destination.clock"


class ReadOnlyStoreError(DestinationError):
    """The store can be read, and takes nothing."""

    code = "destination.read_only"
    retryable = False


class NameTooLongError(DestinationError):
    """The store does not take names as long as the place's and the objects' together."""

    code = "destination.name_too_long"
    retryable = False


class StoreBusyError(StoreDoorError):
    """The store asks to come again later."""

    code = "destination.busy"
    retryable = True


class StoreProgramError(StoreDoorError):
    """The program that reaches the store is absent, too old, or ended."""

    code = "destination.program"


class StoreAnswerError(DestinationError):
    """The store answers what its kind never answers, as an object of another size than a moment ago."""

    code = "destination.answer"


class PlaintextError(UsageError):
    """Login or objects would cross the net unencrypted, and nobody allowed that."""

    code = "destination.plaintext"


class QuotaError(DestinationFullError):
    """More may not be stored at a destination, whatever room there is."""

    code = "destination.quota"
