"""What comes near its end, quotas and certificates: found at each look, told when it becomes so.

The second half runs on the catalog's thread, within the transaction that also notes that it was told.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence

from backupd.catalog import outbox
from backupd.catalog.database import Connection
from backupd.catalog.facts import drop_fact, fact, put_fact
from backupd.catalog.outbox import Dropped, Noted
from backupd.daemon.notices import near_content
from backupd.daemon.notices.noting import Told
from backupd.model.notices import NearEnd, NearQuota
from backupd.model.status import StatusReport

_QUOTA, _EXPIRY = "notices.quota.", "notices.expiry."
_SECOND_NS = 10**9
_DAY_NS = 86400 * _SECOND_NS
SOON_NS = 10 * _DAY_NS
"""So long before its end a certificate is told of."""
_WELL_BELOW = 50
"""Thousandths of a quota that less than its share must be used, that it counts as having been less: a set that is freed
and stored to daily would else be told of daily."""


def near_quotas(report: StatusReport, ids: Mapping[str, str], share: int) -> list[NearQuota]:
    """The quotas of sets that are switched on, of destinations, and of the account, of which about so much is used.

    ids: of destinations, by name. share: in thousandths.
    """
    share = max(share - _WELL_BELOW, 0)
    found: dict[str, NearQuota] = {}
    account = report.account
    every = [one.set for one in report.sets]
    if account is not None and _is_near(account.used_bytes, account.quota_bytes, share):
        used, quota = account.used_bytes, account.quota_bytes
        found["account"] = NearQuota(id="account", of="account", quota_bytes=quota, used_bytes=used, sets=every)
    for one in report.sets:
        for copy in one.copies:
            place = ids.get(copy.destination)
            for use in copy.quotas:
                is_own = use.of == "set"
                is_meant = place is not None and (one.is_enabled or not is_own)
                if not is_meant or not _is_near(use.used_bytes, use.quota_bytes, share):
                    continue
                identity = f"{one.id}-{place}" if is_own else str(place)
                before = found.get(identity)
                found[identity] = NearQuota(
                    id=identity,
                    of=use.of,
                    quota_bytes=use.quota_bytes,
                    used_bytes=use.used_bytes,
                    set_name=one.set if is_own else None,
                    destination=copy.destination,
                    sets=[*(before.sets if before is not None else ()), one.set],
                )
    return list(found.values())


def tell_quotas(
    connection: Connection, near: Iterable[NearQuota], share: int, told: Told, now_ns: int
) -> list[Dropped]:
    """Tell of quotas of which so much is used, in thousandths; of one again once it was well below that."""
    noted: list[Noted] = []
    still: set[str] = set()
    for one in near:
        still.add(key := _QUOTA + one.id)
        if not _is_near(one.used_bytes, one.quota_bytes, share) or fact(connection, key) is not None:
            continue
        told_of = near_content.of_quota(one, f"quota-{one.id}-{now_ns // _SECOND_NS}", told.place, now_ns)
        # Who waits for news of some sets hears of what those are stored in.
        whole = [n for n in told.notices if not n.text.sets or set(n.text.sets) & set(one.sets)]
        rows = list(told._replace(notices=whole).noted(told_of, "quota", None))
        noted += rows
        if rows:
            put_fact(connection, key, str(now_ns))
    _forget(connection, _QUOTA, still)
    return outbox.put(connection, noted, now_ns)


def tell_ends(connection: Connection, near: Sequence[NearEnd], told: Told, now_ns: int) -> list[Dropped]:
    """Tell of certificates that end within ten days, once a day; of one that has ended once more."""
    noted: list[Noted] = []
    still: set[str] = set()
    for one in near:
        named = f"{one.path}\0{one.ends_ns}".encode(errors="surrogateescape")
        digest = hashlib.blake2b(named, digest_size=8).hexdigest()
        still.add(key := _EXPIRY + digest)
        before = fact(connection, key)
        told_ns = int(before) if before is not None and before.isdigit() else None
        if told_ns is not None and _is_enough(told_ns, one.ends_ns, now_ns):
            continue
        told_of = near_content.of_end(one, f"expiry-{digest}-{now_ns // _SECOND_NS}", told.place, now_ns)
        rows = list(told.noted(told_of, "expiry", None))
        noted += rows
        if rows:
            put_fact(connection, key, str(now_ns))
    _forget(connection, _EXPIRY, still)
    return outbox.put(connection, noted, now_ns)


def _is_near(used: int, quota: int, share: int) -> bool:
    return used * 1000 >= quota * share


def _is_enough(told_ns: int, ends_ns: int, now_ns: int) -> bool:
    """Whether it is not yet time to tell again; a clock that was set back makes told times lie ahead."""
    if ends_ns <= now_ns:
        return ends_ns <= told_ns <= now_ns
    return 0 <= now_ns - told_ns < _DAY_NS


def _forget(connection: Connection, prefix: str, still: Iterable[str]) -> None:
    """Of what is no longer so."""
    known = connection.execute("SELECT key FROM facts WHERE substr(key, 1, ?) = ?", (len(prefix), prefix)).fetchall()
    for (key,) in known:
        if key not in still:
            drop_fact(connection, key)
