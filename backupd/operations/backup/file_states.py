"""States of single files while a run is under way (FEATURES 6.6): kept where the order says so, never at its cost."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from backupd.cache.file_states import FileStatesWriter
from backupd.errors import BackupError
from backupd.model.events import FilesUnderWay
from backupd.model.files import FileStateName, KeptStates
from backupd.model.work import FilesTask, RegionTask, StreamTask
from backupd.repository.redoing import is_answered
from backupd.repository.tasks import Assigned

_SHOWN_MOST = 100


class FileStates:
    """Keeps states until that fails; what fails is told once, and the run goes on."""

    def __init__(self, wanted: KeptStates | None, tell: Callable[[str], None]) -> None:
        """wanted: None keeps nothing. tell: of what failed."""
        self._writer: FileStatesWriter | None = None
        self._tell = tell
        if wanted is not None:
            try:
                self._writer = FileStatesWriter(wanted.path, wanted.destination)
            except BackupError as error:
                self._give_up(error)

    @property
    def is_kept(self) -> bool:
        """Whether anybody will ever see a state."""
        return self._writer is not None

    def add(self, path: bytes, state: FileStateName, reason: str = "", files: int = 1) -> None:
        """Keep a state."""
        self._try(lambda writer: writer.add(path, state, reason, files))

    def flush(self) -> None:
        """Let others see what is held."""
        self._try(FileStatesWriter.flush)

    def close(self) -> None:
        """No state comes any more."""
        self._try(FileStatesWriter.close)
        self._writer = None

    def _try(self, step: Callable[[FileStatesWriter], None]) -> None:
        writer = self._writer
        if writer is not None:
            try:
                step(writer)
            except BackupError as error:
                self._give_up(error)

    def _give_up(self, error: BackupError) -> None:
        self._writer = None
        self._tell(f"states of further files are not kept: {error.message}")


def files_under_way(tasks: Iterable[Assigned], unsent: Iterable[bytes]) -> FilesUnderWay:
    """Which files are read now and which wait. unsent: those that are in no task yet.

    A worker takes its tasks in order: the first that it has not answered is under way, and what it has answered waits
    for nothing but its chunks being sealed.
    """
    running: list[bytes] = []
    waiting: list[bytes] = []
    more = 0
    busy: set[int] = set()
    for one in tasks:
        is_running = one.worker >= 0 and (is_answered(one) or one.worker not in busy)
        if is_running and not is_answered(one):
            busy.add(one.worker)
        for path in _paths(one):
            into = running if is_running else waiting
            if len(into) < _SHOWN_MOST and path not in into[-1:]:
                into.append(path)
            elif len(into) >= _SHOWN_MOST and into is waiting:
                more += 1
    for path in unsent:
        if len(waiting) < _SHOWN_MOST:
            waiting.append(path)
        else:
            more += 1
    return FilesUnderWay(running=running, waiting=waiting, more=more)


def _paths(one: Assigned) -> Iterator[bytes]:
    task = one.task
    match task:
        case RegionTask() | StreamTask():
            yield _joined(task.directory, task.file.name)
        case FilesTask():
            for file in task.files:
                yield _joined(task.directories[file.directory], file.name)


def _joined(directory: bytes, name: bytes) -> bytes:
    return directory.rstrip(b"/") + b"/" + name
