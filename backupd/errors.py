"""Every error a user can meet: its code, exit code, whether to try again.

The class carries what never changes (code, exit code, retryable); the instance carries message, hint and context.
docs/errors.md is generated from this file. A file that can't be read is no error of this family but a
`model.results.Problem`: sources and destinations never share a class.
"""

from __future__ import annotations

from typing import Any, ClassVar


class BackupError(Exception):
    """Something failed that no narrower class names."""

    code: ClassVar[str] = "internal.failed"
    exit_code: ClassVar[int] = 1
    retryable: ClassVar[bool] = False
    usual_hint: ClassVar[str] = ""
    """Where who raises it knows no better."""

    def __init__(self, message: str, *, hint: str = "", context: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint or self.usual_hint
        self.context = context or {}


class UsageError(BackupError):
    """The words of the command or a setting do not fit."""

    code = "usage.invalid"
    exit_code = 2


class ConfigError(UsageError):
    """A settings document says something that nobody understands, or that can't be."""

    code = "config.invalid"


class UnquotedPatternError(UsageError):
    """A path stands where the shell expanded a pattern that should have been quoted."""

    code = "usage.unquoted_pattern"


class AmbiguousNameError(UsageError):
    """A name or id prefix fits several things; they stand in the context."""

    code = "usage.ambiguous"


class NotFoundError(BackupError):
    """Nothing of that name is there."""

    code = "not_found"
    exit_code = 10


class SourceNotFoundError(NotFoundError):
    """None of the paths to back up exists."""

    code = "source.not_found"


class RepositoryNotFoundError(NotFoundError):
    """The place holds no repository."""

    code = "repository.not_found"


class SetNotFoundError(NotFoundError):
    """No backup set of that name is in the repository."""

    code = "set.not_found"


class DestinationNotFoundError(NotFoundError):
    """No destination has that name or id."""

    code = "destination.not_found"


class JobNotFoundError(NotFoundError):
    """No job has that id."""

    code = "job.not_found"


class SnapshotNotFoundError(NotFoundError):
    """No snapshot fits the id, time or `latest`."""

    code = "snapshot.not_found"
    usual_hint = "`bkctl snapshot list` shows what there is; --incomplete shows partial ones, too"


class PathNotFoundError(NotFoundError):
    """The snapshot does not hold that path."""

    code = "path.not_found"


class KeySlotNotFoundError(NotFoundError):
    """The repository has no key slot of that name."""

    code = "key.not_found"


class BusyError(BackupError):
    """A job of that set is running."""

    code = "set.busy"
    exit_code = 11
    retryable = True


class WrongKeyError(BackupError):
    """The password or key opens none of the repository's key slots."""

    code = "key.wrong"
    exit_code = 12


class KeyMissingError(BackupError):
    """No password and no kept key is at hand for the repository."""

    code = "key.missing"
    exit_code = 12


class DaemonUnreachableError(BackupError):
    """No daemon answers, or the job process ended without a word."""

    code = "daemon.unreachable"
    exit_code = 13
    retryable = True


class DaemonBusyError(BackupError):
    """The daemon has more to do for this caller than it takes on at once."""

    code = "daemon.busy"
    exit_code = 11
    retryable = True


class AccessError(BackupError):
    """The caller may not do that."""

    code = "access.refused"
    exit_code = 14


class RoleError(AccessError):
    """The caller's role does not allow it."""

    code = "access.role"


class DestinationError(BackupError):
    """A destination failed; base of all errors that end one destination's part."""

    code = "destination.failed"
    exit_code = 15
    retryable = True


class DestinationUnreachableError(DestinationError):
    """The destination can't be reached or opened."""

    code = "destination.unreachable"


class DestinationRefusedError(DestinationError):
    """The destination refused the login or the right to write."""

    code = "destination.refused"
    retryable = False


class ObjectMissingError(DestinationError):
    """The destination has no object of that name."""

    code = "destination.object_missing"
    retryable = False


class ObjectExistsError(DestinationError):
    """Create-if-absent met an object of that name."""

    code = "destination.object_exists"
    retryable = False


class DestinationFullError(DestinationError):
    """The destination has no space left, or too little for the run to end well."""

    code = "space.destination"
    exit_code = 16
    retryable = False


class TargetFullError(BackupError):
    """The file system a restore writes to has no space left."""

    code = "space.target"
    exit_code = 16


class StateFullError(BackupError):
    """The file system of the state directory has no space left."""

    code = "space.state"
    exit_code = 16


class StateError(BackupError):
    """A file of the program's own state, cache or keys could not be read or written; the disk below it is suspect."""

    code = "state.failed"


class TargetError(BackupError):
    """A restore can't write below the directory it was given."""

    code = "target.failed"


class RestoreLossError(BackupError):
    """Some entries were not written, or lost metadata; all else was restored."""

    code = "target.incomplete"
    exit_code = 3


class ConflictError(BackupError):
    """What is asked contradicts what is there."""

    code = "conflict"
    exit_code = 17


class NameTakenError(ConflictError):
    """Something else has that name."""

    code = "name.taken"


class KeptInFileError(ConflictError):
    """What stands in a settings file is changed there, not by command."""

    code = "config.kept_in_file"


class PlaceOccupiedError(ConflictError):
    """The place holds something else than a repository."""

    code = "place.occupied"


class LastKeyError(ConflictError):
    """Removing this key slot would leave nobody able to open the repository."""

    code = "key.last"


class NewerVersionError(BackupError):
    """The repository or an object needs a newer version of this program; nothing was touched."""

    code = "version.newer"
    exit_code = 18


class DamageError(BackupError):
    """Stored bytes are missing or fail their check."""

    code = "damage.found"
    exit_code = 20
    usual_hint = "`bkctl check --crc` says all that is hit; another destination of this repository may have it whole"


class FormatError(DamageError):
    """Stored bytes break the format: truncated, malformed or over a limit."""

    code = "damage.format"


class DamagedCacheError(FormatError):
    """Bytes of a local file cache are not what was written: nothing of it is used, and every file is read again."""

    code = "damage.cache"


class SealError(DamageError):
    """Sealed bytes fail authentication: damaged, forged or put under another name."""

    code = "damage.seal"


class ChunkLostError(DamageError):
    """No readable place gives a chunk."""

    code = "damage.chunk_lost"


class CheckFailedError(DamageError):
    """What was sealed does not come back: memory or processor are at fault."""

    code = "damage.before_sending"


class RollbackError(DamageError):
    """Snapshots this host has seen are gone without a drop record."""

    code = "damage.rollback"


class AnswerNeededError(BackupError):
    """A confirmation or secret is needed and there is no terminal to ask."""

    code = "answer.needed"
    exit_code = 22


class StoppedError(BackupError):
    """The run stopped before its end; what it stored stays."""

    code = "run.stopped"
    exit_code = 5
    retryable = True


class CancelledError(StoppedError):
    """The run was cancelled by SIGINT."""

    code = "run.interrupted"
    exit_code = 130


class TerminatedError(StoppedError):
    """The run was cancelled by SIGTERM."""

    code = "run.terminated"
    exit_code = 143


class DeadlineError(BackupError):
    """`--timeout` ran out."""

    code = "run.timeout"
    exit_code = 124
    retryable = True


class DetachedError(DeadlineError):
    """The terminal hung up; nobody waits any longer, the job goes on."""

    code = "run.detached"


class SomeDestinationsError(BackupError):
    """Done on some destinations, not on all."""

    code = "destination.some"
    exit_code = 4
    retryable = True


class AttentionError(BackupError):
    """Something is overdue, or was found wanting."""

    code = "attention"
    exit_code = 21


class LeftOutError(BackupError):
    """Some entries of the source could not be backed up as they are; all else was."""

    code = "source.left_out"
    exit_code = 3


class SkippedError(BackupError):
    """Skipped because a condition of the order was not met."""

    code = "run.skipped"
    exit_code = 75
    retryable = True


def error_of(code: str, message: str, hint: str = "") -> BackupError:
    """The error of a code, as another process of ours told it."""
    known = [BackupError]
    for error_class in known:
        if error_class.code == code:
            return error_class(message, hint=hint)
        known += error_class.__subclasses__()
    return BackupError(message, hint=hint)
