"""Entry of a job process: `python -m backupd.job SOCKET [PARENT]`; one order comes in, events go out (DESIGN 1)."""

from __future__ import annotations

import ctypes
import faulthandler
import os
import resource
import signal
import socket
import sys
import threading
from collections.abc import Sequence

from backupd import leave_garbage
from backupd.cancel import Cancel
from backupd.clock import SystemClock
from backupd.errors import BackupError, CancelledError, FormatError, TerminatedError, UsageError
from backupd.house import operation_for
from backupd.model import events, orders, steering
from backupd.model.any_order import ToJob
from backupd.model.traffic import Traffic
from backupd.operations import traffic
from backupd.operations.context import JobContext, error_fields
from backupd.operations.own_limits import with_own_limits
from backupd.private_memory import keep_private
from backupd.settings import directories, environment
from backupd.wire.channel import Channel

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Serve one client: its order, its answers and requests, until the job is done."""
    faulthandler.enable()
    _protect()
    channel: Channel[ToJob] = Channel(socket.socket(fileno=int(sys.argv[1])), ToJob)
    try:
        order = channel.receive()
    except FormatError:
        order = None
    cancel = Cancel()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: cancel.request(TerminatedError("ended by SIGTERM")))
    if len(sys.argv) > 2:
        _end_with(int(sys.argv[2]), cancel)
    if not isinstance(order, orders.Order):
        channel.send(_failed(UsageError("the first message is no order"), []))
        return
    send = _Sender(channel)
    try:
        found = directories.find(environment.variables())
        order = with_own_limits(order)
        context = JobContext(order, SystemClock(), cancel, environment.variables(), found, send)
    except BackupError as error:
        send(_failed(error, []))
        return
    threading.Thread(target=_listen, args=(channel, context, send), daemon=True).start()
    try:
        done: events.FromJob = _run(order, context)
    except BackupError as error:
        done = _failed(error, context.warnings, traffic.at_places(order, context))
    except Exception as error:  # noqa: BLE001 - the one place where a job's unknown failure ends
        sys.excepthook(type(error), error, error.__traceback__)
        hint = "this is a defect of the program; please report it"
        unknown = BackupError(f"{type(error).__name__}: {error}", hint=hint)
        done = _failed(unknown, context.warnings, traffic.at_places(order, context))
    finally:
        directories.discard(context.own_directories)
    send(done)


def _run(order: orders.Order, context: JobContext) -> events.Done:
    """Carry the order out, with the rights of its caller if it has one. Raises BackupError."""
    operation = operation_for(order)
    context.work_for_caller()
    return operation(order, context)


class _Sender:
    """Sends while the client is there; a job whose client went away on purpose goes on."""

    def __init__(self, channel: Channel[ToJob]) -> None:
        self._channel = channel
        self._is_open = True

    def __call__(self, event: events.FromJob) -> None:
        if self._is_open:
            try:
                self._channel.send(event)
            except OSError:
                self._is_open = False

    def detach(self) -> None:
        """Send nothing any more."""
        self._is_open = False


def _listen(channel: Channel[ToJob], context: JobContext, send: _Sender) -> None:
    is_detached = False
    while True:
        try:
            message = channel.receive()
        except (OSError, FormatError):
            # Who speaks another protocol can't end this job later: it is as if he were gone.
            message = None
        match message:
            case None:
                if not is_detached:
                    context.cancel.request(TerminatedError("the client went away"))
                return
            case steering.Answer():
                context.answer(message.ask, message.text)
            case steering.StateRequest():
                context.wants_progress.set()
            case steering.PauseRequest():
                context.pause(is_paused=message.paused)
            case steering.CancelRequest(signal="hangup"):
                is_detached = True
                send.detach()
            case steering.CancelRequest(signal="int"):
                context.cancel.request(CancelledError("cancelled"))
            case steering.CancelRequest():
                context.cancel.request(TerminatedError("ended by SIGTERM"))


def _failed(error: BackupError, warnings: list[str], cost: Sequence[Traffic] = ()) -> events.Failed:
    return events.Failed(
        exit_code=error.exit_code, error=error_fields(error), warnings=warnings, traffic=list(cost)
    )


def _end_with(parent: int, cancel: Cancel) -> None:
    """Ask for the end when the daemon that started this job is gone; bkctl's jobs may outlive it."""
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != parent:
        cancel.request(TerminatedError("the daemon went away"))


def _protect() -> None:
    """No core dumps and no tracing by others. Many directories may be open at once."""
    keep_private()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    os.umask(0o077)


if __name__ == "__main__":
    main()
    leave_garbage()
