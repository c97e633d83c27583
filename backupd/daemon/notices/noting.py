"""From what happened to rows of the outbox: ends of jobs, sets that are overdue, the digest of a day.

All of it runs on the catalog's thread, within the transaction that also notes that it was told; what was dropped for it
is given back, to be told once that is committed.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import msgspec

from backupd.catalog import outbox
from backupd.catalog.database import Connection
from backupd.catalog.definitions import StoredNotice
from backupd.catalog.facts import fact, put_fact
from backupd.catalog.jobs import StoredJob
from backupd.catalog.outbox import Dropped, Noted
from backupd.clock import to_datetime
from backupd.daemon.notices import content
from backupd.daemon.requests import JobRequest
from backupd.model.notices import ContactText, KeyUse, NoticeContent, NoticeEvent, NoticeText, events_of
from backupd.model.status import SetStatus
from backupd.rules.digest import begin_of, latest_due
from backupd.rules.notice_rules import certificate_at, recipients
from backupd.wire.malformed import MALFORMED

_DIGEST = "notices.digest"
_SECOND_NS = 10**9
_DAY_NS = 86400 * _SECOND_NS


class Told(NamedTuple):
    """Who may be told, and from where, as it was when something happened."""

    notices: Sequence[StoredNotice]
    contacts: Sequence[ContactText]
    place: content.Place
    stands: Mapping[str, SetStatus] = {}
    """By id, how sets do."""

    def noted(self, told: NoticeContent, event: NoticeEvent, of_set: str | None) -> Iterator[Noted]:
        """A row for each who is told an event."""
        texts = [(one.id, one.text) for one in self.notices if hears_of(one.text, told.kind)]
        body = content.encoded(told)
        for notice_id, recipient in recipients(texts, self.contacts, event, of_set):
            yield Noted(
                event=told.id,
                recipient=recipient,
                notice_id=notice_id,
                job_id=told.job,
                kind=event,
                content=body,
                message_id=message_id(told.id, recipient, self.place.host),
                is_sealed=certificate_at(recipient, self.contacts) is not None,
            )


def hears_of(text: NoticeText, kind: str | None) -> bool:
    """Whether a kind of job is told: who waits for the begin and end of backups takes a check's end for one."""
    return kind in (None, "backup") or "start" not in events_of(text)


def message_id(event: str, recipient: str, host: str) -> str:
    """Of a mail: the same at each try, another one for each recipient, and nothing of an address in it."""
    digest = hashlib.blake2b(f"{event}\0{recipient}".encode(), digest_size=16).hexdigest()
    kept = "".join(c if c.isascii() and (c.isalnum() or c in "-.") else "-" for c in host) or "localhost"
    return f"<{digest}@{kept}.backupd>"


def ended(connection: Connection, told: Told, now_ns: int) -> tuple[int, list[Dropped]]:
    """Tell of the jobs that ended and were not told yet; how many are left, and what was dropped."""

    def tell(job: StoredJob) -> Iterable[Noted]:
        event = content.event_of(job)
        if event is None or _is_dry(job.kind, job.orders) or not told.notices:
            return ()
        stands = told.stands.get(job.set_id or "")
        if stands is not None:
            # Notices and commands know a set by its name of now, a run by that of when it was begun.
            job = msgspec.structs.replace(job, set_name=stands.set)
        of_set = stands if event != "success" else None
        return told.noted(content.of_job(job, event, told.place, now_ns, of_set), event, job.set_name)

    left, dropped = outbox.tell_untold(connection, tell, now_ns)
    outbox.drop_started(connection, now_ns)
    return left, dropped


def begun(connection: Connection, job: StoredJob, told: Told, now_ns: int) -> list[Dropped]:
    """Tell that a job begins."""
    if job.kind != "backup" or _is_dry(job.kind, job.orders):
        return []
    told_of = content.of_job(job, "start", told.place, now_ns)
    return outbox.put(connection, told.noted(told_of, "start", job.set_name), now_ns)


def overdue(
    connection: Connection, sets: Sequence[SetStatus], ids: dict[str, str], told: Told, now_ns: int
) -> list[Dropped]:
    """Tell of sets that have become overdue at a destination, and of each again after a day.

    ids: of destinations, by name.
    """
    known = {
        (set_id, destination_id): (since_ns, told_ns)
        for set_id, destination_id, since_ns, told_ns in connection.execute("SELECT * FROM overdue")
    }
    still: set[tuple[str, str]] = set()
    noted: list[Noted] = []
    for one in sets:
        copies = [copy for copy in one.copies if copy.verdict == "overdue" and copy.destination in ids]
        keys = {(one.id, ids[copy.destination]) for copy in copies}
        still |= keys
        # A clock that was set back makes told times lie ahead: told again, rather than not for a year.
        fresh = {key for key in keys if key not in known or not 0 <= now_ns - known[key][1] < _DAY_NS}
        if not fresh:
            continue
        identity = f"overdue-{one.id}-{now_ns // _SECOND_NS}"
        told_of = content.of_overdue(one, copies, identity, told.place, now_ns)
        noted += told.noted(told_of, "overdue", one.set)
        connection.executemany(
            "INSERT OR REPLACE INTO overdue (set_id, destination_id, since_ns, told_ns) VALUES (?, ?, ?, ?)",
            [(*key, known.get(key, (now_ns, 0))[0], now_ns) for key in keys],
        )
    connection.executemany(
        "DELETE FROM overdue WHERE set_id = ? AND destination_id = ?", [key for key in known if key not in still]
    )
    return outbox.put(connection, noted, now_ns)


def key(connection: Connection, use: KeyUse, identity: str, told: Told, now_ns: int) -> list[Dropped]:
    """Tell that somebody was shown a key or changed what opens a repository."""
    told_of = content.of_key(use, identity, told.place, now_ns)
    return outbox.put(connection, told.noted(told_of, "key", use.set_name), now_ns)


def digest(
    connection: Connection, sets: Sequence[SetStatus], minutes: int, told: Told, now_ns: int
) -> list[Dropped]:
    """Tell of the last day once its time has come; of several that nobody was there for at once.

    minutes: of the day at which it is due.
    """
    due = latest_due(to_datetime(now_ns), minutes, told.place.zone)
    due_ns = int(due.timestamp()) * _SECOND_NS
    before = fact(connection, _DIGEST)
    last_ns = int(before) if before is not None and before.isdigit() else None
    if last_ns is not None and last_ns >= due_ns and last_ns <= now_ns:
        return []
    put_fact(connection, _DIGEST, str(due_ns))
    if last_ns is None or last_ns > now_ns:
        # There is nothing to tell of the time before; or the clock was set back, and it was told already.
        return []
    since = begin_of(to_datetime(last_ns), due)
    since_ns = int(since.timestamp()) * _SECOND_NS
    if not any("digest" in events_of(one.text) for one in told.notices):
        return []
    counted = Counter(
        (set_id, state)
        for set_id, state, orders in connection.execute(
            "SELECT set_id, state, orders FROM jobs WHERE COALESCE(finished_ns, created_ns) >= ?"
            " AND COALESCE(finished_ns, created_ns) < ? AND set_id IS NOT NULL AND state NOT IN"
            " ('queued', 'running', 'paused') AND kind = 'backup'",
            (since_ns, due_ns),
        )
        if not _is_dry("backup", orders)
    )
    jobs = [(set_id, state, count) for (set_id, state), count in counted.items()]
    noted: list[Noted] = []
    for notice in told.notices:
        if "digest" not in events_of(notice.text):
            continue
        wanted = [one for one in sets if not notice.text.sets or one.set in notice.text.sets]
        identity = f"digest-{due:%Y%m%d%H%M}-{_digest_of(notice.text.sets)}"
        told_of = content.of_digest(jobs, wanted, identity, told.place, (since_ns, due_ns))
        noted += told._replace(notices=[notice]).noted(told_of, "digest", None)
    return outbox.put(connection, noted, now_ns)


def _digest_of(sets: Sequence[str]) -> str:
    return hashlib.blake2b(msgspec.json.encode(sorted(sets)), digest_size=4).hexdigest()


def _is_dry(kind: str, orders: bytes) -> bool:
    if kind != "backup" or not orders:
        return False
    try:
        request = JobRequest.restored(orders)
    except MALFORMED:
        return False
    return request.backup is not None and request.backup.dry_run
