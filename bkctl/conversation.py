"""One order, from its sending to the job's last word: events, signals, questions, time limit in one loop."""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from backupd.errors import (
    BackupError,
    CancelledError,
    DaemonUnreachableError,
    DeadlineError,
    DetachedError,
    StoppedError,
    TerminatedError,
)
from backupd.model.events import Ask, Data, Done, Failed, FromJob, Item, Log, Progress, Step
from backupd.model.results import path_fields
from backupd.model.steering import Answer, CancelRequest, StateRequest
from bkctl.job_link import JobLink
from bkctl.output import ReaderGoneError
from bkctl.questions import answer_beforehand, understood
from bkctl.screen import Screen
from bkctl.session import Session
from bkctl.wakeups import Wakeups, alarm_in, seconds_to_alarm

_GRACE_SECONDS = 15
"""A cancelled job checkpoints within 10 s; then it is killed, and the next run goes on from its last checkpoint."""

_CANCEL = "Cancel? [y/N] "
_DETACH_OR_CANCEL = "Detach or cancel? What is done so far stays. [d/c/N] "
_AT_ONCE = {"int": "; Ctrl-C once more ends it at once", "term": ""}


@dataclass(frozen=True, slots=True)
class Listener:
    """What becomes of a job's output, and whether it should go on when nobody reads it."""

    item_line: Callable[[dict[str, Any]], str] | None = None
    goes_on_unread: bool = True
    is_secret: bool = False


class Conversation:
    """Runs one job to its end."""

    def __init__(self, session: Session, screen: Screen, listener: Listener) -> None:
        self._session = session
        self._screen = screen
        self._listener = listener
        self._writer = session.open_writer(is_secret=listener.is_secret)
        self._last: Done | Failed | None = None
        self._cancelled: Literal["int", "term"] | None = None
        self._question: Ask | None = None
        self._asks_cancel = False

    def hold(self, begin: Callable[[], JobLink]) -> Done | Failed:
        """Begin a job and follow it to its last word.

        Raises what `begin` raises, DaemonUnreachableError when it ends without one, DeadlineError and DetachedError
        when it goes on without us, ReaderGoneError when nobody reads our output.
        """
        with Wakeups() as wakeups, begin() as job:
            if self._session.timeout_seconds is not None:
                alarm_in(self._session.timeout_seconds)
            try:
                self._follow(job, wakeups)
            except ReaderGoneError:
                self._part(job, "hangup" if self._listener.goes_on_unread else "term")
                raise
            finally:
                self._screen.finish()
                if self._session.timeout_seconds is not None:
                    self._session.timeout_seconds = seconds_to_alarm()
        if self._last is None:
            raise self._silent_end(job)
        return self._as_cancelled_here(self._last)

    def _follow(self, job: JobLink, wakeups: Wakeups) -> None:
        poller = select.poll()
        poller.register(job, select.POLLIN)
        poller.register(wakeups, select.POLLIN)
        while self._last is None:
            if self._is_asking:
                poller.register(0, select.POLLIN)
            ready = [descriptor for descriptor, _ in poller.poll()]
            if self._is_asking:
                poller.unregister(0)
            if wakeups.fileno() in ready:
                for number in wakeups.arrived():
                    self._signalled(number, job)
            if 0 in ready and self._is_asking:
                self._typed(job)
            if job.fileno() in ready:
                try:
                    for event in job.events():
                        self._heard(event, job)
                except EOFError:
                    return
                self._writer.flush()

    @property
    def _is_asking(self) -> bool:
        return self._question is not None or self._asks_cancel

    def _heard(self, event: FromJob, job: JobLink) -> None:
        match event:
            case Progress():
                self._writer.event(_described(event, event.current))
                self._screen.progress(event)
            case Step():
                self._writer.event({"event": "step", "name": event.name})
                self._screen.step(event.name)
            case Log():
                self._writer.event(_described(event, event.path))
                self._screen.log(event)
            case Item():
                line = self._listener.item_line
                self._writer.item(event.item, line(event.item) if line and self._session.form == "text" else "")
            case Data():
                self._writer.data(event.data)
            case Ask():
                self._asked(event, job)
            case Done() | Failed():
                self._last = event

    def _asked(self, ask: Ask, job: JobLink) -> None:
        text = answer_beforehand(ask, self._session)
        if text is None and not self._session.is_interactive:
            text = ""
        if text is not None:
            job.send(Answer(ask=ask.ask, text=text))
            return
        self._question = ask
        self._asks_cancel = False
        self._screen.ask(ask)

    def _typed(self, job: JobLink) -> None:
        line = os.read(0, 4096).decode(errors="surrogateescape")
        if self._question is None:
            self._asks_cancel = False
            self._screen.answered()
            self._parting(line.strip().lower(), job)
            return
        text = understood(self._question, line)
        if text is None:
            self._screen.ask(self._question)
            return
        job.send(Answer(ask=self._question.ask, text=text))
        self._question = None
        self._screen.answered()

    def _parting(self, word: str, job: JobLink) -> None:
        can_detach = self._listener.goes_on_unread
        if word in (("c", "cancel") if can_detach else ("y", "yes")):
            self._cancel("int", job)
        elif can_detach and word in ("d", "detach"):
            self._part(job, "hangup")
            raise DetachedError("detached; the job goes on")

    def _signalled(self, number: signal.Signals, job: JobLink) -> None:
        match number:
            case signal.SIGINT if self._cancelled:
                job.kill()
            case signal.SIGINT if self._session.is_interactive and not self._is_asking:
                self._asks_cancel = True
                self._screen.prompt(_DETACH_OR_CANCEL if self._listener.goes_on_unread else _CANCEL)
            case signal.SIGINT:
                self._cancel("int", job)
            case signal.SIGTERM:
                self._cancel("term", job)
            case signal.SIGHUP:
                self._part(job, "hangup")
                raise DetachedError("the terminal is gone; the job goes on without it")
            case signal.SIGUSR1:
                self._screen.show_next_state()
                job.send(StateRequest())
            case signal.SIGALRM if self._cancelled:
                job.kill()
            case signal.SIGALRM:
                self._part(job, "hangup")
                raise DeadlineError(
                    "the time of --timeout is over; the job goes on", hint="run the command again to see how it went"
                )
            case _:
                pass

    def _cancel(self, name: Literal["int", "term"], job: JobLink) -> None:
        self._question = None
        self._asks_cancel = False
        self._screen.finish()
        if self._cancelled is None:
            self._cancelled = name
            job.send(CancelRequest(signal=name))
            alarm_in(_GRACE_SECONDS)
            self._screen.say("", f"cancelling: what is done so far stays{_AT_ONCE[name]}")

    def _part(self, job: JobLink, name: Literal["hangup", "term"]) -> None:
        job.send(CancelRequest(signal=name))
        job.leave()

    def _as_cancelled_here(self, last: Done | Failed) -> Done | Failed:
        """A job of the daemon that our signal stopped: this call says so, while for all others it is 5 (CLI.md)."""
        if self._cancelled is None or last.exit_code != StoppedError.exit_code:
            return last
        kind = CancelledError if self._cancelled == "int" else TerminatedError
        error = {**(last.error or {}), "code": kind.code}
        result = last.result
        if result is not None and result.get("runs"):
            result = {**result, "runs": [{**run, "exit": kind.exit_code} for run in result["runs"]]}
        return msgspec.structs.replace(last, exit_code=kind.exit_code, error=error, result=result)

    def _silent_end(self, job: JobLink) -> BackupError:
        if self._cancelled == "int":
            return CancelledError("cancelled", hint="run the command again: it goes on from what is stored")
        if self._cancelled == "term":
            return TerminatedError("terminated", hint="run the command again: it goes on from what is stored")
        ending = job.ending()
        hint = "run the command again: it goes on from what is stored"
        if ending.endswith("SIGKILL"):
            hint += "; if memory ran out, give --jobs 1"
        return DaemonUnreachableError(f"the job process {ending} before it was done", hint=hint)


def _described(event: Progress | Log, path: bytes | None) -> dict[str, Any]:
    fields: dict[str, Any] = {"event": event.__struct_config__.tag}
    fields.update((name, getattr(event, name)) for name in event.__struct_fields__ if name not in ("current", "path"))
    return fields if path is None else {**fields, **path_fields(path)}
