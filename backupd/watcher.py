"""Entry of the process that hears of changes by the library watchfiles: `python -m backupd.watcher SOCKET`.

What the system could not keep, watchfiles tells nobody but in the lines for debugging that it writes to standard error;
these are read by who started this process (backupd/source/hearing.py), where nothing that the library waits for waits
for them.
"""

from __future__ import annotations

import os
import socket
import sys
import threading

from watchfiles import Change
from watchfiles._rust_notify import RustNotify, WatchfilesRustInternalError

from backupd.model.heard import Heard, Listen
from backupd.wire.channel import Channel

_MOST_PATHS = 20_000
"""In one message."""


def main() -> None:
    """Say what changes until nobody listens any more."""
    channel: Channel[Listen] = Channel(socket.socket(fileno=int(sys.argv[1])), Listen)
    order = channel.receive()
    if order is None:
        return
    try:
        given = ((order.trees, True), (order.directories, False))
        watching = [_watch(paths, is_recursive=is_tree) for paths, is_tree in given if paths]
    except (OSError, WatchfilesRustInternalError, ValueError) as error:
        channel.send(Heard(error=str(error)))
        return
    channel.send(Heard())
    sending = threading.Lock()
    for one in watching:
        threading.Thread(target=_tell, args=(one, order.milliseconds, channel, sending), daemon=True).start()
    channel.receive()
    # The library's own threads are waited for else, which may hang at what nobody reads any more.
    os._exit(0)


def _watch(paths: list[bytes], *, is_recursive: bool) -> RustNotify:
    return RustNotify(
        [os.fsdecode(path) for path in paths],
        debug=True,
        force_polling=False,
        poll_delay_ms=0,
        recursive=is_recursive,
        # With these it ignores that a path is not there, too.
        ignore_permission_denied=False,
    )


def _tell(watching: RustNotify, step: int, channel: Channel[Listen], sending: threading.Lock) -> None:
    while True:
        try:
            # Without an end: what comes just as its time is over, it forgets.
            found = watching.watch(2 * step, step, 0, None)
            heard = _heard(found) if isinstance(found, set) else Heard(error=f"watchfiles ended by {found}")
        except WatchfilesRustInternalError as error:
            heard = Heard(error=str(error))
        try:
            with sending:
                channel.send(heard)
        except OSError:
            return
        if heard.error:
            return


def _heard(found: set[tuple[int, str]]) -> Heard:
    if len(found) > _MOST_PATHS:
        return Heard(is_lost=True)
    changed = {path for kind, path in found if kind == Change.modified}
    come = {path for kind, path in found if kind != Change.modified}
    return Heard(come=sorted(map(os.fsencode, come)), changed=sorted(map(os.fsencode, changed - come)))


if __name__ == "__main__":
    main()
