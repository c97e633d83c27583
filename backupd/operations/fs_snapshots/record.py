"""What stands of a job, on disk before it is made: who comes after a crash removes just that."""

from __future__ import annotations

import json
import os
import re
from contextlib import suppress

import msgspec

from backupd import durable_io
from backupd.errors import BackupError
from backupd.operations.fs_snapshots.contract import Made
from backupd.settings.directories import ensure
from backupd.state_errors import translated
from backupd.wire.malformed import MALFORMED

_FILE = re.compile(r"(j[0-9a-f]{32})\.json")
_MOST_BYTES = 1 << 20


class Records:
    """One file a job, in a directory of the state."""

    def __init__(self, state: str, *, of_once: bool = False) -> None:
        """of_once: those of jobs that no daemon looks after; they are left over where nobody holds their set's lock."""
        above = os.path.join(state, "fs-snapshots")
        self.directory = os.path.join(above, "once") if of_once else above
        self.mounts = os.path.join(above, "mounts")
        """Where snapshots are mounted that show nowhere by themselves."""

    def jobs(self) -> list[str]:
        """Ids of jobs of which something stands, perhaps."""
        try:
            names = os.listdir(self.directory)
        except OSError:
            return []
        return sorted(match[1] for name in names if (match := _FILE.fullmatch(name)) is not None)

    def read(self, job_id: str) -> list[Made]:
        """What stands of a job. Raises BackupError for what nobody can read."""
        path = self._path(job_id)
        try:
            with open(path, "rb") as file:
                return parse_record(file.read(_MOST_BYTES))
        except FileNotFoundError:
            return []
        except OSError as error:
            raise translated(error, path) from error

    def write(self, job_id: str, made: list[Made]) -> None:
        """Keep what stands of a job; nothing: its file goes. Raises BackupError."""
        path = self._path(job_id)
        try:
            if made:
                ensure(self.directory)
                durable_io.replace(path, [json.dumps(msgspec.to_builtins(made)).encode()])
            else:
                with suppress(FileNotFoundError):
                    os.unlink(path)
        except OSError as error:
            raise translated(error, path) from error

    def _path(self, job_id: str) -> str:
        return os.path.join(self.directory, f"{job_id}.json")


def has_leftovers(state: str) -> bool:
    """Whether something stands, perhaps, that jobs with this state made."""
    return any(Records(state, of_once=one).jobs() for one in (False, True))


def parse_record(text: bytes) -> list[Made]:
    """What a record holds. Raises BackupError."""
    try:
        # Paths that are no UTF-8 have surrogates, which msgspec's own reader refuses.
        return msgspec.convert(json.loads(text), list[Made])
    except (ValueError, *MALFORMED) as error:
        raise BackupError(f"a record of file-system snapshots can't be read: {error}") from error
