"""What becomes of the work of a worker that died: done again, alone, in halves, given up (DESIGN 6). Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from backupd.model import work
from backupd.repository.tasks import Assigned, Joined

_DEATHS_MOST = 2
"""Workers that a batch may end before it is halved; what can't be halved may end one more."""
_BEGUN = 2
"""A worker has asked for this many pieces of work at most; what comes after them it never looked at."""


def is_answered(assigned: Assigned) -> bool:
    """Whether its worker has said all there is to say."""
    is_ended = isinstance(assigned.task, work.FilesTask) or assigned.last is not None
    return is_ended and bool(assigned.steps or assigned.last) and all(step.messages for step in assigned.steps)


def blame(lost: Sequence[Assigned]) -> list[int]:
    """How many deaths each task of a worker that had begun to work has now to answer for, in their order.

    The first death makes suspects of all that was begun, what only waits in an open segment too; a suspect is done
    again alone, so that a second death is its own. A region that got on since the last one begins to count anew.
    """
    for at, assigned in enumerate(lost):
        if assigned.task.is_alone and not is_answered(assigned):
            deaths = [other.deaths for other in lost]
            if assigned.is_begun:
                deaths[at] = 1 if assigned.delivered_bytes else assigned.deaths + 1
            return deaths
    begun = [a for a in lost if not is_answered(a)][:_BEGUN]
    return [1 if a in begun or is_answered(a) else a.deaths for a in lost]


def again(assigned: Assigned, deaths: int) -> Assigned:
    """The same work once more, what the sink has of a region left out."""
    task = msgspec.structs.replace(assigned.task, is_alone=deaths > 0)
    if isinstance(task, work.RegionTask) and assigned.delivered_bytes:
        task = msgspec.structs.replace(task, start=task.start + assigned.delivered_bytes)
    return Assigned(task, assigned.sink, deaths)


def redo(assigned: Assigned, deaths: int) -> Iterator[Assigned]:
    """What to do instead of a task that was lost, in order; nothing: it is to be given up."""
    is_divisible = isinstance(assigned.task, work.FilesTask) and len(assigned.task.files) > 1
    if deaths < _DEATHS_MOST or (deaths == _DEATHS_MOST and not is_divisible):
        yield again(assigned, deaths)
    elif isinstance(assigned.task, work.FilesTask) and is_divisible:
        half = len(assigned.task.files) // 2
        joined = Joined(assigned.sink, 2)
        for files in (assigned.task.files[:half], assigned.task.files[half:]):
            task = msgspec.structs.replace(assigned.task, files=files, is_alone=True)
            yield Assigned(task, joined, _DEATHS_MOST - 1)


def give_up(assigned: Assigned) -> None:
    """Tell the sink that the file can't be had."""
    task = assigned.task
    file = task.files[0] if isinstance(task, work.FilesTask) else task.file
    text = "reading it ends the worker process; left out"
    result = work.FileResult(file.number, b"", 0, b"", problem=text, problem_kind="unreadable")
    if isinstance(task, work.FilesTask):
        assigned.sink.files_done([result])
    else:
        assigned.sink.region_done(result)
