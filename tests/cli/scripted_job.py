"""A job process that behaves as its first argument says, for what a sound job can't be made to do at will.

It speaks the real protocol over the real socket pair; `bkctl` can't tell it from backupd's own.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import sys
import time
from pathlib import Path

import msgspec

from backupd.model import events, orders, steering
from backupd.model.any_order import ToJob
from backupd.wire.channel import Channel

MISSING_KEY = {"code": "key.missing", "message": "no key at hand", "hint": "type it", "retryable": False, "context": {}}
STOPPED = {"code": "run.interrupted", "message": "cancelled", "hint": "", "retryable": True, "context": {}}
LOST = {"code": "damage.found", "message": "1 block is lost", "hint": "", "retryable": False, "context": {"blocks": 1}}

Client = Channel[ToJob]


def main() -> None:
    behaviour, _, detail = sys.argv[1].partition(":")
    channel: Client = Channel(socket.socket(fileno=int(sys.argv[2])), ToJob)
    order = channel.receive()
    assert isinstance(order, orders.Order)
    _BEHAVIOURS[behaviour](channel, order, detail)


def _echo(channel: Client, order: orders.Order, _detail: str) -> None:
    channel.send(events.Done(exit_code=0, result={"order": msgspec.to_builtins(order)}))


def _end(_channel: Client, _order: orders.Order, detail: str) -> None:
    if detail == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    sys.exit(int(detail))


def _garble(channel: Client, _order: orders.Order, _detail: str) -> None:
    channel.send({"type": "of another version"})
    channel.receive()


def _want_key(channel: Client, order: orders.Order, _detail: str) -> None:
    if order.unlock.secret is None:
        channel.send(events.Failed(exit_code=12, error=MISSING_KEY))
    else:
        channel.send(events.Done(exit_code=0, result={"opened_with": order.unlock.secret.decode()}))


def _ask(channel: Client, _order: orders.Order, _detail: str) -> None:
    answers = []
    questions = (
        events.Ask(ask=1, question="Replace it?", kind="yes_no"),
        events.Ask(ask=2, question="Delete 2 files?", kind="typed", expected="Documents", details=["/a", "/b"]),
        events.Ask(ask=3, question="Replace /x?", kind="one_by_one"),
    )
    for question in questions:
        channel.send(question)
        answer = channel.receive()
        assert isinstance(answer, steering.Answer)
        answers.append(answer.text)
    channel.send(events.Done(exit_code=0, result={"answers": answers}))


def _list(channel: Client, _order: orders.Order, detail: str) -> None:
    entry = {"kind": "file", "mode": 0o644, "uid": 0, "gid": 0, "owner": "anna", "group": None, "size": 1234}
    for number in range(int(detail)):
        item = {"path": f"/home/anna/{number}\x1b[31m", "mtime": "2026-11-21T21:07:10+01:00", **entry}
        channel.send(events.Item(item=item))
    channel.send(events.Done(exit_code=0, result={}))


def _pour(channel: Client, _order: orders.Order, detail: str) -> None:
    for _ in range(int(detail)):
        channel.send(events.Data(data=b"\x00\xff\x1b" * 1000))
    channel.send(events.Done(exit_code=0, result={}))


def _half(channel: Client, _order: orders.Order, _detail: str) -> None:
    channel.send(events.Data(data=b"first half"))
    channel.send(events.Failed(exit_code=20, error=LOST))


def _partly(channel: Client, _order: orders.Order, detail: str) -> None:
    channel.send(events.Log(severity="warning", message="Permission denied", path=b"/etc/\xffshadow\n"))
    channel.send(events.Log(severity="information", message="told with -v", verbosity=1))
    channel.send(events.Log(severity="warning", message="named with -v", path=b"/etc/one", verbosity=1))
    done = events.Done(exit_code=int(detail), result={"left": 1}, warnings=["one thing"], error=LOST)
    channel.send(done)


def _work(channel: Client, _order: orders.Order, detail: str) -> None:
    """Reports progress until told to end; writes what it was told into the file `detail`."""
    for number in range(600):
        channel.send(
            events.Progress(
                step="store",
                files_done=number,
                bytes_done=number << 20,
                elapsed_seconds=number / 20,
                current=b"/a/\xff",
            )
        )
        time.sleep(0.05)
        if not select.select([channel.socket], [], [], 0)[0]:
            continue
        told = channel.receive()
        if isinstance(told, steering.StateRequest):
            channel.send(events.Progress(step="asked", files_done=7))
            continue
        word = told.signal if isinstance(told, steering.CancelRequest) else "end"
        Path(detail).write_text(word)
        if word in ("int", "term"):
            channel.send(events.Failed(exit_code=130 if word == "int" else 143, error=STOPPED))
        return


def _sleep(channel: Client, _order: orders.Order, _detail: str) -> None:
    """Says one thing, then hears nothing."""
    channel.send(events.Log(severity="information", message="asleep"))
    time.sleep(60)


_BEHAVIOURS = {
    "echo": _echo,
    "end": _end,
    "garble": _garble,
    "want-key": _want_key,
    "ask": _ask,
    "list": _list,
    "pour": _pour,
    "half": _half,
    "partly": _partly,
    "work": _work,
    "sleep": _sleep,
}

if __name__ == "__main__":
    main()
