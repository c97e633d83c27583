"""Errors at the door of a store that is no directory: each says what its user can do about it.

They are of the family of `backupd.errors.DestinationError` where the store failed, of UsageError where it was asked
wrongly. `context` may hold `retry_after_seconds` where a store said when to come again.
"""

from __future__ import annotations

from typing import Self

from backupd import errors
from backupd.errors import (
    AnswerNeededError,
    BackupError,
    ConfigError,
    ConflictError,
    DestinationError,
    DestinationFullError,
    DestinationRefusedError,
    DestinationUnreachableError,
    KeyMissingError,
    LeftOutError,
    RepositoryNotFoundError,
    SkippedError,
    UsageError,
)


class StoreDoorError(DestinationError):
    """All of a store is shut, not one object of it; base of what its owner or this machine's settings can mend."""

    code = "destination.door"
    retryable = False


class DestinationAbsentError(DestinationUnreachableError):
    """The drive or share that the place lies on is not mounted; nothing is written in its stead."""

    code = "destination.absent"


ABSENT_CODES = frozenset({DestinationUnreachableError.code, DestinationAbsentError.code})
"""With which a run ends where its destination is not there, which some may be."""


class StoreLoginError(StoreDoorError):
    """The store does not take the login, or there is none."""

    code = "destination.login"


class ProxyUnreachableError(DestinationUnreachableError):
    """The proxy itself is not reached, or what answers there is none."""

    code = "proxy.unreachable"


class ProxyTargetError(DestinationUnreachableError):
    """The proxy is well and does not reach the server."""

    code = "proxy.target"


class ProxyLoginError(StoreDoorError):
    """The proxy does not take the login, or wants one."""

    code = "proxy.login"


class ProxyRefusedError(StoreDoorError):
    """The proxy's rules let nobody to that server."""

    code = "proxy.refused"


class StoreFolderError(StoreDoorError):
    """The bucket, share or directory that holds the place is not there."""

    code = "destination.folder"


class NotAMemberError(StoreDoorError):
    """A place that belongs to a pool lacks its mark: another disk, or one that was emptied."""

    code = "destination.not_a_member"


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


class ObjectLockedError(DestinationRefusedError):
    """The object is retained until a day (`context`: `until_ns`), and nobody can delete it before."""

    code = "destination.object_locked"
    exit_code = 23


class NoObjectLockError(StoreDoorError):
    """Objects are to be locked at a store that does not do that, or whose bucket was made without."""

    code = "destination.no_object_lock"


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


class StoreSlowError(StoreDoorError):
    """Others have all of a run's blocks while this one has so few that they find no room to wait for it."""

    code = "destination.slow"


class BlocksLostError(DestinationError):
    """Blocks, index or snapshot of a run are missing at the destination, or other than they were sent."""

    code = "destination.blocks_lost"


class StoredAgainError(LeftOutError):
    """Blocks were lost at the destination before the commit; the run stored them again, and its snapshot is whole."""

    code = "destination.stored_again"

    @classmethod
    def after(cls, message: str) -> Self:
        """What to say after an error of that message."""
        hint = "the snapshot is whole; a store that loses what it took needs a look: bkctl check --crc"
        return cls(f"{message}; what was lost was stored again before the commit", hint=hint)


class RetentionFailedError(LeftOutError):
    """The backup is whole; which older snapshots are to go could not be decided or written, so none went."""

    code = "retention.failed"


class LocksFailedError(LeftOutError):
    """The backup is whole; the locks of what it needs could not all be extended."""

    code = "destination.locks_failed"


class PeriodicCheckError(LeftOutError):
    """The backup is whole; the periodic check that came before it found something there."""

    code = "check.periodic"


class MigrationFailedError(LeftOutError):
    """The backup is whole; not all that was to be stored anew could be."""

    code = "migration.failed"


class EmptyPolicyError(ConfigError):
    """A retention policy by which nothing but the newest snapshot would stay."""

    code = "retention.empty_policy"


class PlanOutdatedError(ConflictError):
    """What a plan said was to be dropped is not what would be dropped now."""

    code = "retention.plan_outdated"


class TargetMissedError(LeftOutError):
    """Less space was given back than was asked for: what still takes it may not be dropped, or not be written anew."""

    code = "free.target_missed"


class FreeingWaitsError(BackupError):
    """The snapshots are dropped; running writers may still need what they held, so it is given back later."""

    code = "free.waits"
    exit_code = 23
    retryable = True


class RepositoryPurgedError(RepositoryNotFoundError):
    """A purge of all of the repository has begun, and nobody writes there any more."""

    code = "repository.purged"
    usual_hint = "let it be finished: bkctl purge --all --from PLACE; then a backup makes a new repository there"


class PurgeWaitsError(BackupError):
    """What was to be purged is dropped or accepted; a part of it waits for others who write there, or for the store."""

    code = "purge.waits"
    exit_code = 23
    retryable = True


class NoSnapshotError(SkippedError):
    """The set has no snapshot there yet, so nothing of it can be checked; others are."""

    code = "check.no_data"


class DecisionOutdatedError(ConflictError):
    """What is lost now is not what was decided about: nothing was given up."""

    code = "check.outdated"


class StoreLaggingError(StoreDoorError):
    """Of several destinations of a set this one lacks snapshots that another has: it is filled from there."""

    code = "destination.lagging"


class DestinationSeedingError(SkippedError):
    """The first copy for a destination is on its way on a disk: runs leave it alone until it is adopted."""

    code = "destination.seeding"


class QuotaError(DestinationFullError):
    """More may not be stored at a destination, whatever room there is."""

    code = "destination.quota"


class AccountQuotaError(BackupError):
    """All sets together may hold no more, counted in bytes of their sources."""

    code = "account.quota"
    exit_code = 16


class StreamError(BackupError):
    """A command whose output is to be stored, or that is to fill a database, could not be run or failed."""

    code = "source.stream_failed"


class FewerFilesError(BackupError):
    """All is stored, and it is far less than the last snapshot has: a disk may not be mounted."""

    code = "source.fewer_files"
    exit_code = 3


class OtherOwnerError(ConflictError):
    """The set belongs to another machine: that one alone runs it, and changes what it stored."""

    code = "set.other_owner"


class KeyDirectoryError(KeyMissingError):
    """Where the directory of kept keys belongs lies something else, mostly a key that was copied to its name."""

    code = "key.directory"


class DatabaseInUseError(ConflictError):
    """A database that is to be filled holds something."""

    code = "target.database_in_use"


def error_of(code: str, message: str, hint: str = "") -> BackupError:
    """As `errors.error_of`, which knows those of stores only where they were imported."""
    return errors.error_of(code, message, hint)
