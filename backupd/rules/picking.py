"""Which snapshot a command means: by set, by paths, as of a moment (CLI.md, Names and Restore)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, tzinfo

import msgspec

from backupd.errors import AmbiguousNameError, SetNotFoundError, SnapshotNotFoundError
from backupd.model.orders import Selection
from backupd.model.results import shown
from backupd.rules import moments, names

_MOST_TOLD = 8
"""Of sets that there are, where none is the one that was named."""


class SnapshotRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What picking needs to know of a snapshot."""

    id: str
    """`s` and hex."""
    set_id: str
    """`b` and hex."""
    set_name: str
    host: str
    time_ns: int
    """When its run began to read."""
    is_complete: bool
    sources: list[bytes]
    """Absolute, no trailing slash."""


def pick(
    records: Sequence[SnapshotRecord],
    selection: Selection,
    now: datetime,
    zone: tzinfo,
    own_host: str | None = None,
) -> SnapshotRecord:
    """The snapshot that a selection names.

    records: all of the repository that are not void, any order; of two with one id the complete one counts.
    now: aware. own_host: the caller's machine, which goes first where several have a set of that name.
    An id finds incomplete snapshots too; `latest` and a time only where the selection asks for them.
    Raises SetNotFoundError, SnapshotNotFoundError, AmbiguousNameError, UsageError; candidates stand in the context.
    """
    selection = _by_id_alone(records, selection)
    by_id = names.is_id(selection.as_of, "s")
    set_name, host_name = selection.set_name, selection.host_name
    if not (by_id and set_name is None and host_name is None):
        set_id = choose_set(records, set_name, host_name, selection.paths, own_host)
        host = host_of(set_name, host_name)
        records = [one for one in records if one.set_id == set_id and is_of_host(one.host, host)]
    if by_id:
        found = names.match_prefix(selection.as_of, (record.id for record in records), SnapshotNotFoundError)
        return max((record for record in records if record.id == found), key=lambda record: record.is_complete)
    fit = [record for record in records if record.is_complete or selection.incomplete]
    if not fit:
        raise SnapshotNotFoundError(
            f"{_label(records[0])} has only incomplete snapshots",
            hint=f"take one by its id: --as-of {names.short(records[0].id)}",
            context={"incomplete": sorted({record.id for record in records})},
        )
    if selection.as_of == "latest":
        return max(fit, key=_order)
    return _as_of(fit, moments.parse(selection.as_of, now, zone), zone)


def host_of(set_name: str | None, host_name: str | None) -> str | None:
    """The host whose snapshots are meant: of HOST:SET, else as it is named apart; None: whoever made them.

    A set that moved from one machine to another has snapshots of both. Raises UsageError.
    """
    return (names.split_host(set_name)[0] if set_name is not None else None) or host_name


def is_of_host(name: str, wanted: str | None) -> bool:
    """Whether a host of that name is meant; None: each is. Names of hosts mind no case."""
    return wanted is None or name.casefold() == wanted.casefold()


def _by_id_alone(records: Sequence[SnapshotRecord], selection: Selection) -> Selection:
    """A bare word where a set may stand is a snapshot's id where no set has that name."""
    word = selection.set_name
    if word is None or selection.as_of != "latest" or not names.is_id(word, "s"):
        return selection
    if any(record.set_name == word for record in records):
        return selection
    return msgspec.structs.replace(selection, set_name=None, as_of=word)


def choose_set(
    records: Sequence[SnapshotRecord],
    set_name: str | None,
    host_name: str | None = None,
    paths: Sequence[bytes] = (),
    own_host: str | None = None,
) -> str:
    """The id of the set that a name, an id, HOST:SET or paths mean; with none of them the only set there is.

    Raises SetNotFoundError, AmbiguousNameError, UsageError.
    """
    wanted_host, wanted = host_name, None
    if set_name is not None:
        prefix, wanted = names.split_host(set_name)
        wanted_host = prefix or host_name
    of_host = [record for record in records if is_of_host(record.host, wanted_host)]
    if not of_host:
        where = "is here" if wanted_host is None else f"of the host {wanted_host} is here"
        raise SetNotFoundError(f"no snapshot {where}", hint=_there_is(records), context=_candidates(records))
    if wanted is not None:
        return _by_name(of_host, wanted, own_host)
    hits = of_host if not paths else _holding(of_host, paths)
    if not hits:
        first = shown(paths[0])
        raise SetNotFoundError(f"no set holds {first}", hint="name the set", context=_candidates(records))
    return _only(hits, own_host if paths else None, "several sets fit; name one")


def _by_name(records: Sequence[SnapshotRecord], wanted: str, own_host: str | None) -> str:
    hits = [record for record in records if record.set_name == wanted]
    if hits:
        return _only(hits, own_host, f"several hosts have a set {wanted}; write HOST:SET")
    if names.is_id(wanted, "b"):
        return names.match_prefix(wanted, (record.set_id for record in records), SetNotFoundError)
    raise SetNotFoundError(f"no set is named {wanted}", hint=_there_is(records), context=_candidates(records))


def _holding(records: Sequence[SnapshotRecord], paths: Sequence[bytes]) -> list[SnapshotRecord]:
    """Records of the sets that hold all paths: in a source, else as directories above one."""
    sources: dict[str, set[bytes]] = {}
    for record in records:
        sources.setdefault(record.set_id, set()).update(record.sources)

    def holders(fits: Callable[[bytes, bytes], bool]) -> set[str]:
        return {one for one, held in sources.items() if all(any(fits(path, top) for top in held) for path in paths)}

    fit = holders(_is_at_or_below) or holders(_is_in_line)
    return [record for record in records if record.set_id in fit]


def _only(records: Sequence[SnapshotRecord], own_host: str | None, problem: str) -> str:
    """The one set of these records, the own host's if it has one of several."""
    found = {record.set_id for record in records}
    if len(found) > 1:
        found = {record.set_id for record in records if record.host == own_host} or found
    if len(found) > 1:
        raise AmbiguousNameError(problem, hint=", ".join(_labels(records)), context=_candidates(records))
    return found.pop()


def _as_of(records: Sequence[SnapshotRecord], moment: datetime, zone: tzinfo) -> SnapshotRecord:
    limit = int(moment.timestamp())
    fit = [record for record in records if moments.seconds_of(record.time_ns) <= limit]
    if not fit:
        oldest = min(records, key=_order)
        raise SnapshotNotFoundError(
            f"{_label(oldest)} has no snapshot as old as {moments.show(limit * 1_000_000_000, zone)}",
            hint=f"the oldest is of {moments.show(oldest.time_ns, zone)}",
            context={"oldest": oldest.id, "oldest_time": moments.rfc3339(oldest.time_ns, zone)},
        )
    return max(fit, key=_order)


def _order(record: SnapshotRecord) -> tuple[int, bool, str]:
    return record.time_ns, record.is_complete, record.id


def _is_at_or_below(path: bytes, top: bytes) -> bool:
    return path == top or path.startswith(top.rstrip(b"/") + b"/")


def _is_in_line(path: bytes, source: bytes) -> bool:
    return _is_at_or_below(path, source) or _is_at_or_below(source, path)


def _label(record: SnapshotRecord) -> str:
    return f"{record.host}:{record.set_name}"


def _labels(records: Sequence[SnapshotRecord]) -> list[str]:
    """Each set once, by host and name, with its id where that is not enough."""
    of_set = {record.set_id: _label(record) for record in sorted(records, key=_order)}
    labels = list(of_set.values())
    return sorted(
        label if labels.count(label) == 1 else f"{label} ({names.short(set_id)})" for set_id, label in of_set.items()
    )


def _there_is(records: Sequence[SnapshotRecord]) -> str:
    labels = sorted({f"{one.host}:{one.set_name}" for one in records})
    more = f" and {len(labels) - _MOST_TOLD} more" if len(labels) > _MOST_TOLD else ""
    return f"there is {', '.join(labels[:_MOST_TOLD])}{more}" if labels else ""


def _candidates(records: Sequence[SnapshotRecord]) -> dict[str, list[str]]:
    return {"candidates": _labels(records)}
