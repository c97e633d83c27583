"""Jobs of the daemon watched by who only looks: several at once, live or in lines; leaving harms none of them."""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import msgspec

from backupd.errors import DeadlineError, TerminatedError
from backupd.model.events import Ask, Done, Failed, FromJob, Log, Progress, Step
from backupd.model.files import FileState
from backupd.model.jobs import JobView
from backupd.model.results import path_fields
from bkctl.daemon_job import DaemonJob
from bkctl.job_files import JobFiles
from bkctl.output import ResultWriter
from bkctl.progress import Pace, Sparse, live_lines, log_line
from bkctl.render.files import FileLines, file_document
from bkctl.session import Session
from bkctl.text import clip, escape
from bkctl.wakeups import Wakeups, alarm_in

_PAGES_A_LOOK = 5
"""Of states of files while a job runs; the rest comes with its end."""

Last = Mapping[str, Done | Failed]
Open = Callable[[JobView], DaemonJob]


class Watched:
    """One job on the screen."""

    def __init__(self, view: JobView, link: DaemonJob) -> None:
        self.view, self.link = view, link
        self.pace, self.sparse = Pace(), Sparse()
        self.progress = _progress_of(view)
        self.asks = ""
        self.file_lines = FileLines()

    @property
    def name(self) -> str:
        """What the job is, as `home`, `check of home`; moves no cursor."""
        name = escape(self.view.set_name or self.view.id[:9])
        return name if self.view.kind == "backup" else f"{self.view.kind} of {name}"


def _progress_of(view: JobView) -> Progress | None:
    try:
        return msgspec.convert(view.progress, Progress) if view.progress is not None else None
    except msgspec.ValidationError:
        return None


class Panel:
    """Two lines a job on a terminal that come and go; elsewhere now and then a line."""

    def __init__(self, session: Session) -> None:
        is_terminal = os.isatty(2) and not session.environment.is_dumb_terminal
        wanted = session.has_progress and not session.is_quiet and not session.is_jsonl
        self._is_live, self._is_sparse = wanted and is_terminal, wanted and not is_terminal
        self._verbosity, self._is_quiet = session.verbosity, session.is_quiet
        self._drawn = 0

    def heard(self, job: Watched, event: FromJob, shown: Sequence[Watched]) -> None:
        """Show what a job said, among all that are watched."""
        if isinstance(event, Progress):
            job.progress = event
            job.pace.note(event)
            if self._is_sparse and job.sparse.is_due(event):
                self._write(f"{job.name}: {log_line(event, job.pace)}\n")
        elif isinstance(event, Step) and self._is_sparse:
            self._write(f"{job.name}: {escape(event.name)}\n")
        elif isinstance(event, Log) and self._is_loud(event):
            label = "" if event.severity == "information" else f"{event.severity}: "
            where = f"{path_fields(event.path)['path']}: " if event.path is not None else ""
            self.clear()
            self._write(f"{job.name}: {label}{escape(where + event.message)}\n")
        elif isinstance(event, Ask):
            job.asks = event.question
        if self._is_live:
            self._draw(shown)

    def clear(self) -> None:
        """Take the live lines away."""
        if self._drawn:
            self._write(f"\x1b[{self._drawn}A\r\x1b[J")
            self._drawn = 0

    def start(self, shown: Sequence[Watched]) -> None:
        """Show what is watched before it says anything."""
        if self._is_live:
            self._draw(shown)

    def _draw(self, shown: Sequence[Watched]) -> None:
        try:
            size = os.get_terminal_size(2)
            columns, rows = max(20, size.columns), max(4, size.lines)
        except OSError:
            columns, rows = 80, 24
        lines: list[str] = []
        for job in shown[: max(1, (rows - 2) // 3)]:
            lines += [*self._job_lines(job, columns)]
        if len(lines) // 3 < len(shown):
            lines.append(f"and {len(shown) - len(lines) // 3} more: bkctl job list")
        self.clear()
        self._write("".join(f"{line}\n" for line in lines))
        self._drawn = len(lines)

    def _job_lines(self, job: Watched, columns: int) -> list[str]:
        head = f"{job.name}  {job.view.id[:9]}"
        if job.asks:
            return [head, clip(f"  asks: {escape(job.asks)}", columns - 1), ""]
        if job.progress is None:
            waits = f"waits for {job.view.waits_for}" if job.view.waits_for else "begins"
            return [head, clip(f"  {escape(waits)}", columns - 1), ""]
        first, second = live_lines(job.progress, job.pace, columns - 2, is_unicode=True)
        return [head, f"  {first}", f"  {second}".rstrip()]

    def _is_loud(self, event: Log) -> bool:
        if event.severity != "information":
            return not self._is_quiet or event.severity == "error"
        return not self._is_quiet and event.verbosity <= self._verbosity

    def _write(self, text: str) -> None:
        data = text.encode(errors="backslashreplace")
        try:
            while data:
                data = data[os.write(2, data) :]
        except OSError:
            return


def watch(session: Session, jobs: Sequence[JobView], open_link: Open, files: Mapping[str, JobFiles]) -> Last:
    """Watch until the last one ends, or Ctrl-C: then those that go on are not in the answer.

    files: of the jobs, by their ids, whose files' states are told, too.
    Raises TerminatedError, DeadlineError, DaemonUnreachableError; the jobs go on.
    """
    writer = session.open_writer()
    panel = Panel(session)
    last: dict[str, Done | Failed] = {}
    with Wakeups() as wakeups, ExitStack() as links:
        seconds = session.timeout_seconds
        if seconds is not None:
            alarm_in(seconds)
        open_jobs = [Watched(view, links.enter_context(open_link(view))) for view in jobs]
        panel.start(open_jobs)
        try:
            while open_jobs and not _is_left(wakeups, open_jobs):
                for job in _ready(open_jobs):
                    for event in _events(job):
                        if isinstance(event, Done | Failed):
                            last[job.view.id] = event
                            open_jobs.remove(job)
                        else:
                            writer.event(_described(job, event))
                        if job.view.id in files and isinstance(event, Progress | Done | Failed):
                            pages = _PAGES_A_LOOK if isinstance(event, Progress) else None
                            _tell_files(job, files[job.view.id].look(pages), panel, writer)
                        panel.heard(job, event, open_jobs)
                writer.flush()
        finally:
            panel.clear()
    return last


def _tell_files(job: Watched, states: Iterable[FileState], panel: Panel, writer: ResultWriter) -> None:
    """Above what comes and goes on the screen; as events in JSON lines."""
    for one in states:
        panel.clear()
        if writer.form == "text":
            writer.lines([f"{job.name}: {line}" for line in job.file_lines.of(one)])
        else:
            writer.event({"event": "file", "job": job.view.id, **file_document(one)})
    writer.flush()


def _ready(open_jobs: Sequence[Watched]) -> list[Watched]:
    poller = select.poll()
    for job in open_jobs:
        poller.register(job.link, select.POLLIN)
    ready = {descriptor for descriptor, _ in poller.poll(0)}
    return [job for job in open_jobs if job.link.fileno() in ready]


def _is_left(wakeups: Wakeups, open_jobs: Sequence[Watched]) -> bool:
    """Wait for the next word or signal; whether Ctrl-C says that enough was seen. Raises what other signals mean."""
    poller = select.poll()
    poller.register(wakeups, select.POLLIN)
    for job in open_jobs:
        poller.register(job.link, select.POLLIN)
    poller.poll()
    for number in wakeups.arrived():
        match number:
            case signal.SIGINT | signal.SIGHUP:
                return True
            case signal.SIGTERM:
                raise TerminatedError("terminated; the job goes on")
            case signal.SIGALRM:
                hint = "bkctl watch follows it again"
                raise DeadlineError("the time of --timeout is over; the job goes on", hint=hint)
            case _:
                pass
    return False


def _events(job: Watched) -> Iterator[FromJob]:
    """What has arrived, to the last word."""
    for event in job.link.events():
        yield event
        if isinstance(event, Done | Failed):
            return


def _described(job: Watched, event: FromJob) -> dict[str, Any]:
    fields: dict[str, Any] = msgspec.to_builtins(event)
    path = getattr(event, "path", None) or getattr(event, "current", None)
    for name in ("type", "path", "current"):
        fields.pop(name, None)
    return {"event": event.__struct_config__.tag, "job": job.view.id, **fields, **(path_fields(path) if path else {})}

