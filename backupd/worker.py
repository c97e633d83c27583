"""Entry of a worker process: `python -m backupd.worker SOCKET [MEMORY|TARGET]`, inherited descriptors."""

from __future__ import annotations

import faulthandler
import gc
import select
import signal
import socket
import sys
from contextlib import suppress

from backupd import leave_garbage
from backupd.cancel import Cancel
from backupd.destination.contract import Destination, Store
from backupd.destination.meter import Meter
from backupd.destination.reading import ReadWithOwnRights
from backupd.destination.stores import open_store
from backupd.errors import BackupError, StoppedError
from backupd.model import work
from backupd.private_memory import keep_private
from backupd.repository.fetching import FetchWorker
from backupd.repository.storing import StoreWorker
from backupd.repository.verifying import CheckWorker
from backupd.rights import Rights
from backupd.shared_memory import map_memory
from backupd.source.user_rights import rights_of
from backupd.wire.channel import Channel


def main() -> None:
    """Serve one coordinator until it closes its end."""
    faulthandler.enable()
    # Nothing here makes cycles; collecting would look at every object of every batch.
    gc.disable()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    keep_private()
    end = socket.socket(fileno=int(sys.argv[1]))
    channel: Channel[work.ToWorker] = Channel(end, work.ToWorker)
    meter = Meter()
    try:
        setup = channel.receive()
        if isinstance(setup, work.StoreSetup):
            with rights_of(setup.reads_as) as rights:
                StoreWorker(channel, setup, map_memory(int(sys.argv[2])), rights).run()
        elif isinstance(setup, work.FetchSetup):
            place = _place_for(setup, _Gone(end), meter)
            FetchWorker(channel, setup, place, int(sys.argv[2]), meter).run()
        elif isinstance(setup, work.CheckSetup):
            CheckWorker(channel, setup, _store(setup.repository, _Gone(end), meter), meter).run()
    except BackupError as error:
        with suppress(BrokenPipeError, ConnectionResetError):
            channel.send(work.WorkerFailed(error.code, error.message, error.hint, meter.take()))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        # The coordinator is gone; its next run goes on from what was stored.
        return


class _Gone(Cancel):
    """Requested once the coordinator has closed its end: who waits for a store then waits for nobody."""

    def __init__(self, end: socket.socket) -> None:
        super().__init__()
        self._end = end

    @property
    def is_requested(self) -> bool:
        """Whether it is closed."""
        self._look()
        return super().is_requested

    def check(self) -> None:
        """Raise StoppedError if it is."""
        self._look()
        super().check()

    def _look(self) -> None:
        """Look at it; on any thread, and one poll object serves no two at once."""
        poll = select.poll()
        poll.register(self._end, 0)
        if poll.poll(0):
            self.request(StoppedError("the coordinator is gone"))


def _store(setup: work.RepositorySetup, cancel: Cancel, meter: Meter) -> Store:
    return open_store(setup.place, "reader", setup.access, cancel=cancel, meter=meter)


def _place_for(setup: work.FetchSetup, cancel: Cancel, meter: Meter) -> Destination:
    """Where segments are fetched from; from here on all else is done with the caller's rights."""
    place = _store(setup.repository, cancel, meter)
    if setup.caller is None:
        return place
    rights = Rights(setup.caller)
    rights.lower()
    return ReadWithOwnRights(place, rights)


if __name__ == "__main__":
    main()
    leave_garbage()
