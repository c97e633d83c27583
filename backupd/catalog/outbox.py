"""The outbox: notices from the moment their event is known until they are sent; as functions of a connection.

A trigger of the catalog notes each job whose end is committed as untold, in that very transaction: whoever is killed
then, the next daemon still tells of it. A row is unique for event and recipient, and stays for a month once it is sent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal, NamedTuple

import msgspec

from backupd.catalog.database import Connection
from backupd.catalog.jobs import StoredJob, find

MOST_WAITING = 10_000
_MOST_ENDED = 10_000
_ENDED_KEPT_NS = 30 * 86400 * 10**9
_MOST_AT_ONCE = 200
MOST_OF_LINE = 20
"""What one process is given to send."""
_LINE = "CASE WHEN recipient LIKE 'mailto:%' THEN 'mail' ELSE notice_id END"
TOO_MANY = "too many notices waited"
NOT_NAMED = "no notice that is switched on goes there any more"
_UNSENT = "state IN ('waiting', 'sending')"
_QUEUED = (
    f"SELECT id, {_LINE} AS line, CASE WHEN recipient IN (SELECT value FROM json_each(?))"
    f" THEN FIRST_VALUE(due_ns) OVER (PARTITION BY {_LINE} ORDER BY id) ELSE due_ns END AS decides_ns"
    f" FROM outbox WHERE {_UNSENT}"
)
"""What waits, with its line and when it is due; where order holds, when the oldest of its line is."""

OutboxState = Literal["waiting", "sending", "sent", "refused", "given_up", "dropped", "withdrawn"]
"""The last two: told as lost, and given up because nobody wants it any more."""
_COLUMNS = (
    "id, event, recipient, notice_id, job_id, kind, content, message_id, state, created_ns, due_ns, ended_ns, attempts,"
    " detail, is_sealed"
)


class OutboxRow(msgspec.Struct, frozen=True, kw_only=True):
    """One notice to one recipient."""

    id: int
    event: str
    recipient: str
    notice_id: str
    job_id: str | None
    kind: str
    """The event's kind: failure, start …"""
    content: str
    """JSON; empty once it has ended."""
    message_id: str
    state: OutboxState
    created_ns: int
    due_ns: int
    ended_ns: int | None
    attempts: int
    detail: str
    """Why it was not sent, at the last try."""
    is_sealed: bool
    """Whether mail to that address was encrypted when it was noted."""


class Noted(msgspec.Struct, frozen=True, kw_only=True):
    """What is put into the outbox."""

    event: str
    recipient: str
    notice_id: str
    job_id: str | None
    kind: str
    content: str
    message_id: str
    is_sealed: bool = False


class Dropped(NamedTuple):
    """What nobody is told for want of room."""

    event: str
    recipient: str
    notice_id: str


Tell = Callable[[StoredJob], Iterable[Noted]]


def tell_untold(connection: Connection, tell: Tell, now_ns: int) -> tuple[int, list[Dropped]]:
    """Put what is told of jobs that ended into the outbox; how many jobs are left for another time, and what is lost.

    tell: what each of them says to whom; pure.
    """
    ids = [row[0] for row in connection.execute("SELECT job_id FROM untold ORDER BY rowid LIMIT ?", (_MOST_AT_ONCE,))]
    rows = (one for job_id in ids for job in find(connection, job_id) for one in tell(job))
    dropped = put(connection, rows, now_ns)
    connection.executemany("DELETE FROM untold WHERE job_id = ?", [(job_id,) for job_id in ids])
    (left,) = connection.execute("SELECT COUNT(*) FROM untold").fetchone()
    return int(left), dropped


def put(connection: Connection, noted: Iterable[Noted], now_ns: int) -> list[Dropped]:
    """Note what is to be sent, and give what is lost for it; what was told a recipient already is not told it again.

    Best once a transaction.
    """
    for one in noted:
        named = (one.event, one.recipient, one.notice_id, one.job_id, one.kind, one.content, one.message_id)
        values = (*named, one.is_sealed, now_ns, now_ns)
        connection.execute(
            "INSERT OR IGNORE INTO outbox (event, recipient, notice_id, job_id, kind, content, message_id,"
            " is_sealed, state, created_ns, due_ns) VALUES (?, ?, ?, ?, ?, ?, ?, ?, 'waiting', ?, ?)",
            values,
        )
    return _bound(connection, now_ns)


def _bound(connection: Connection, now_ns: int) -> list[Dropped]:
    """The oldest go first."""
    found = connection.execute(
        "SELECT id, event, recipient, notice_id FROM outbox WHERE state = 'waiting' ORDER BY id DESC LIMIT -1 OFFSET ?",
        (MOST_WAITING,),
    ).fetchall()
    connection.executemany(
        "UPDATE outbox SET state = 'dropped', ended_ns = ?, content = '', detail = ? WHERE id = ?",
        [(now_ns, TOO_MANY, row[0]) for row in found],
    )
    connection.execute(
        "DELETE FROM outbox WHERE ended_ns IS NOT NULL AND (ended_ns < ? OR id IN"
        " (SELECT id FROM outbox WHERE ended_ns IS NOT NULL ORDER BY ended_ns DESC LIMIT -1 OFFSET ?))",
        (now_ns - _ENDED_KEPT_NS, _MOST_ENDED),
    )
    return [Dropped(*row[1:]) for row in reversed(found)]


def take_back(connection: Connection, now_ns: int) -> list[OutboxRow]:
    """After a start: what was under way when the last daemon ended waits again. Nobody knows whether it arrived."""
    found = _rows(connection, "state = 'sending'")
    connection.execute("UPDATE outbox SET state = 'waiting', due_ns = ? WHERE state = 'sending'", (now_ns,))
    return found


def due(connection: Connection, now_ns: int, latest_ns: int, ordered: Iterable[str] = ()) -> list[OutboxRow]:
    """What is to be sent now, oldest first, some of each line: all mail is one, each other notice one of its own.

    latest_ns: what is due only after that was noted by another clock. What was begun is due again where nothing was
    noted of its end. ordered: notices in whose line nothing overtakes: its oldest are due when the very oldest is, and
    none before, whatever was noted since.
    """
    return _rows(
        connection,
        f"id IN (SELECT id FROM (SELECT id, ROW_NUMBER() OVER (PARTITION BY line ORDER BY id) AS place"
        f" FROM ({_QUEUED}) WHERE decides_ns <= ? OR decides_ns > ?) WHERE place <= ?) ORDER BY id",
        (_json(ordered), now_ns, latest_ns, MOST_OF_LINE),
    )


def next_due_ns(connection: Connection, ordered: Iterable[str] = ()) -> int | None:
    """When the next one is to be sent; None: none waits. ordered: as of `due`."""
    (found,) = connection.execute(f"SELECT MIN(decides_ns) FROM ({_QUEUED})", (_json(ordered),)).fetchone()
    return None if found is None else int(found)


def is_untried(connection: Connection, job_id: str) -> bool:
    """Whether what is told of the end of a job is not noted yet, or was not tried to be sent to everybody."""
    (found,) = connection.execute(
        "SELECT EXISTS (SELECT 1 FROM untold WHERE job_id = ?) OR EXISTS (SELECT 1 FROM outbox"
        " WHERE job_id = ? AND (state = 'sending' OR (state = 'waiting' AND attempts = 0)))",
        (job_id, job_id),
    ).fetchone()
    return bool(found)


def begin(connection: Connection, tries: Sequence[tuple[int, int]]) -> None:
    """From now on these may have arrived. tries: id, and when the next try is due if nothing is heard of this one."""
    connection.executemany(
        "UPDATE outbox SET state = 'sending', attempts = attempts + 1, due_ns = ? WHERE id = ?",
        [(due_ns, identity) for identity, due_ns in tries],
    )


def end(connection: Connection, identity: int, state: OutboxState, detail: str, now_ns: int) -> None:
    """It was sent, or never will be."""
    connection.execute(
        "UPDATE outbox SET state = ?, detail = ?, ended_ns = ?, content = '' WHERE id = ?",
        (state, detail, now_ns, identity),
    )


def put_off(connection: Connection, identity: int, detail: str, due_ns: int, now_ns: int) -> None:
    """It was not sent, and is tried again; but no start whose end came meanwhile."""
    connection.execute(
        "UPDATE outbox SET state = 'waiting', detail = ?, due_ns = ? WHERE id = ?", (detail, due_ns, identity)
    )
    drop_started(connection, now_ns)


def drop_started(connection: Connection, now_ns: int) -> None:
    """A start is not told once its job's end is there to be told: the two would come in the wrong order."""
    connection.execute(
        "UPDATE outbox SET state = 'withdrawn', ended_ns = ?, content = '' WHERE state = 'waiting' AND kind = 'start'"
        " AND EXISTS (SELECT 1 FROM outbox AS later WHERE later.recipient = outbox.recipient"
        " AND later.job_id = outbox.job_id AND later.kind != 'start')",
        (now_ns,),
    )


def withdraw_others(connection: Connection, recipients: Iterable[str], now_ns: int) -> None:
    """What waits for anybody but these, whom notices name now."""
    connection.execute(
        f"UPDATE outbox SET state = 'withdrawn', ended_ns = ?, content = '', detail = '{NOT_NAMED}'"
        " WHERE state = 'waiting' AND recipient NOT IN (SELECT value FROM json_each(?))",
        (now_ns, _json(recipients)),
    )


class Trouble(msgspec.Struct, frozen=True, kw_only=True):
    """What did not get through to a recipient."""

    recipient: str
    notice_id: str
    waiting: int
    lost: int
    """Refused, given up or dropped for want of room, since the last one that got through, in the last week."""
    detail: str


def troubles(connection: Connection, since_ns: int) -> list[Trouble]:
    """For each recipient to which something did not get through since then."""
    rows = connection.execute(
        "SELECT recipient, notice_id, SUM(state IN ('waiting', 'sending')), SUM(state NOT IN ('waiting', 'sending')),"
        " MAX(CASE WHEN detail = '' THEN '' ELSE printf('%020d', id) || detail END) FROM outbox LEFT JOIN"
        " (SELECT recipient, MAX(ended_ns) AS through_ns FROM outbox WHERE state = 'sent' GROUP BY recipient)"
        " USING (recipient) WHERE (state IN ('waiting', 'sending') AND detail != '') OR"
        " (state IN ('refused', 'given_up', 'dropped') AND ended_ns >= ? AND ended_ns > COALESCE(through_ns, 0))"
        " GROUP BY recipient ORDER BY recipient",
        (since_ns,),
    )
    return [Trouble(recipient=t, notice_id=n, waiting=w, lost=g, detail=d[20:]) for t, n, w, g, d in rows]


def _json(texts: Iterable[str]) -> str:
    return msgspec.json.encode(list(texts)).decode()


def _rows(connection: Connection, where: str, values: Sequence[Any] = ()) -> list[OutboxRow]:
    names = OutboxRow.__struct_fields__
    found = connection.execute(f"SELECT {_COLUMNS} FROM outbox WHERE {where}", tuple(values))
    return [OutboxRow(**dict(zip(names, row, strict=True))) for row in found]
